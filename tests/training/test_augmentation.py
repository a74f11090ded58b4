"""Augmentation: that each part does what its numbers say, and that targets are what was asked for."""

import numpy as np
import pytest
from scipy.signal import welch

from tokbench.corpora.acoustics import coloured_noise, drawn_response, from_peak, mixed_at
from tokbench.specs.augmentation import Augmentation, Mixing, Noise, Reverberation
from tokbench.training.augmentation import Augmenter

RATE_HZ = 16000


def other(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal(RATE_HZ).astype(np.float32)


def augmented(samples: np.ndarray, seed: int = 0, **spec: object) -> tuple[np.ndarray, np.ndarray, bool]:
    declared = Augmentation.model_validate(spec)
    return Augmenter(declared, sample_rate_hz=RATE_HZ)(samples, other, np.random.default_rng(seed))


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def test_nothing_asked_for_changes_nothing(voice_16khz: np.ndarray) -> None:
    wanted, inputs, wants_clean = augmented(voice_16khz)
    assert wanted is inputs
    np.testing.assert_array_equal(inputs, voice_16khz)
    assert not wants_clean


def test_noise_has_the_ratio_that_was_asked_for(voice_16khz: np.ndarray) -> None:
    samples = 0.1 * voice_16khz
    for snr_db in (-3.0, 0.0, 12.0):
        noise = Noise(probability=1, snr_db=(snr_db, snr_db))
        wanted, inputs, wants_clean = augmented(samples, noise=noise, target="clean")
        assert wants_clean
        np.testing.assert_array_equal(wanted, samples)
        assert level_db(wanted) - level_db(inputs - wanted) == pytest.approx(snr_db, abs=1e-3)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_as_its_exponent_says(exponent: float) -> None:
    noise = coloured_noise(2**18, exponent, np.random.default_rng(0))
    frequencies, power = welch(noise, RATE_HZ, nperseg=4096)
    inner = slice(20, -20)
    slope = np.polyfit(np.log(frequencies[inner]), np.log(power[inner]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)
    assert abs(noise.mean()) < 1e-6


@pytest.mark.parametrize("rt60_s", [0.3, 1.0])
def test_a_drawn_response_falls_by_60_db_in_its_time(rt60_s: float) -> None:
    response = drawn_response(RATE_HZ, rt60_s, 6.0, np.random.default_rng(0))
    assert response[0] == 1.0
    tail = response[1:].astype(np.float64)
    assert -10 * np.log10(np.square(tail).sum()) == pytest.approx(6.0, abs=1e-3)
    # Schroeder's backward integral falls along a line whose slope is that of the decay.
    remaining_db = 10 * np.log10(np.cumsum(np.square(tail)[::-1])[::-1])
    usable = slice(0, int(0.6 * len(tail)))
    slope_db = np.polyfit(np.arange(len(tail))[usable] / RATE_HZ, remaining_db[usable], 1)[0]
    assert -60 / slope_db == pytest.approx(rt60_s, rel=0.1)


def test_a_room_keeps_the_direct_sound_where_it_was() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[4000] = 0.5
    room = Reverberation(probability=1, rt60_s=(0.3, 0.3), direct_db=(10, 10))
    wanted, inputs, _ = augmented(click, reverberation=room, target="clean")
    assert np.abs(inputs).argmax() == 4000
    assert not np.abs(inputs[:4000]).max() > 1e-6
    np.testing.assert_allclose(inputs[4000], 0.5, rtol=1e-5)
    np.testing.assert_array_equal(wanted, click)


def test_a_recorded_response_begins_with_its_direct_sound() -> None:
    recorded = np.array([0.0, 0.01, -0.5, 0.1, 0.05], np.float32)
    np.testing.assert_allclose(from_peak(recorded), [1.0, -0.2, -0.1], rtol=1e-6)
    spec = Augmentation(reverberation=Reverberation(probability=1, responses="folder:x"), target="clean")
    augmenter = Augmenter(spec, sample_rate_hz=RATE_HZ, responses=lambda _: recorded)
    click = np.zeros(100, np.float32)
    click[10] = 0.5
    _, inputs, _ = augmenter(click, other, np.random.default_rng(0))
    np.testing.assert_allclose(inputs[9:14], [0, 0.5, -0.1, -0.05, 0], atol=1e-7)


def test_a_second_voice_and_a_gain_are_part_of_what_is_wanted(voice_16khz: np.ndarray) -> None:
    samples = 0.01 * voice_16khz[:RATE_HZ]
    wanted, inputs, _ = augmented(samples, mixing=Mixing(probability=1, level_db=(-4, -4)), target="clean")
    assert wanted is inputs
    assert level_db(wanted - samples) - level_db(samples) == pytest.approx(-4.0, abs=1e-3)
    louder, _, _ = augmented(samples, gain_db=(6, 6))
    np.testing.assert_allclose(louder, samples * 10**0.3, rtol=1e-6)


def test_full_scale_is_never_left_and_both_are_scaled_alike(voice_16khz: np.ndarray) -> None:
    samples = voice_16khz / np.abs(voice_16khz).max()
    noise = Noise(probability=1, snr_db=(0, 0))
    wanted, inputs, _ = augmented(samples, noise=noise, gain_db=(10, 10), target="clean")
    assert max(np.abs(wanted).max(), np.abs(inputs).max()) == pytest.approx(1.0, abs=1e-6)
    assert level_db(wanted) - level_db(inputs - wanted) == pytest.approx(0.0, abs=1e-3)


def test_silence_stays_silence() -> None:
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(mixed_at(silence, np.ones(1000, np.float32), 0.0), silence)
    np.testing.assert_array_equal(mixed_at(silence, silence, 0.0), silence)


def test_targets_are_the_same_clean_or_drawn(voice_16khz: np.ndarray) -> None:
    noise = Noise(probability=1, snr_db=(0, 0))
    wanted, inputs, wants_clean = augmented(voice_16khz, noise=noise, target="same")
    assert wanted is inputs
    assert not wants_clean
    drawn = [augmented(voice_16khz, seed, noise=noise, target="either") for seed in range(60)]
    assert 18 <= sum(wants for *_, wants in drawn) <= 42
    assert all((wanted is inputs) != wants for wanted, inputs, wants in drawn)


def test_probabilities_are_kept(voice_16khz: np.ndarray) -> None:
    samples = 0.1 * voice_16khz[:1000]
    noise = Noise(probability=0.25, snr_db=(0, 0))
    changed = [augmented(samples, seed, noise=noise)[1] is not samples for seed in range(400)]
    assert np.mean(changed) == pytest.approx(0.25, abs=0.07)


def test_the_same_generator_draws_the_same(voice_16khz: np.ndarray) -> None:
    spec = {
        "noise": Noise(probability=1, snr_db=(0, 10)),
        "reverberation": Reverberation(probability=1),
        "mixing": Mixing(probability=1),
        "gain_db": (-10, 6),
    }
    samples = voice_16khz[:RATE_HZ]
    np.testing.assert_array_equal(augmented(samples, **spec)[1], augmented(samples, **spec)[1])
    assert not np.array_equal(augmented(samples, 0, **spec)[1], augmented(samples, 1, **spec)[1])


def test_a_range_that_falls_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the smaller number first"):
        Augmentation.model_validate({"gain_db": (6, -10)})
