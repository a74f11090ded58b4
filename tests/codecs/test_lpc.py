"""The LPC vocoder: its linear algebra against scipy, its bits, and what survives of a voice."""

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import freqz, lfilter

from tokbench.audio import Audio
from tokbench.codecs import lpc
from tokbench.codecs.lpc import Lpc

POLES = np.concatenate(
    [0.95 * np.exp(1j * np.pi * np.array([0.15, -0.15])), 0.9 * np.exp(2j * np.array([0.8, -0.8]))]
)


@pytest.fixture
def autocorrelation(rng: np.random.Generator) -> np.ndarray:
    """Return [F, P + 1] of five signals with poles of their own."""
    signals = [lfilter([1], [1, -a], rng.standard_normal(2000)) for a in (-0.9, -0.3, 0.2, 0.7, 0.95)]
    return np.array([[np.dot(x[: len(x) - lag], x[lag:]) for lag in range(11)] for x in signals])


def test_the_recursion_solves_the_normal_equations(autocorrelation: np.ndarray) -> None:
    reflection, residual = lpc._levinson(autocorrelation, energy=2000.0)
    predictors = lpc._predictors(reflection)
    for row, predictor, level in zip(autocorrelation, predictors, residual, strict=True):
        expected = solve_toeplitz(row[:10], -row[1:])
        np.testing.assert_allclose(predictor[1:], expected, atol=1e-9)
        error = row[0] + np.dot(expected, row[1:])
        assert level == pytest.approx(np.sqrt(error / 2000))


def test_all_filters_that_can_be_decoded_are_stable() -> None:
    for side in (-1, 1):
        angles = np.clip(lpc._ANGLE_MEANS + side * lpc._ANGLE_SPREADS, -1.5, 1.5)
        [predictor] = lpc._predictors(np.sin(angles)[None])
        assert np.abs(np.roots(predictor)).max() < 1


def test_a_frame_of_22_5_ms_has_54_bits() -> None:
    codec = Lpc()
    assert codec.info.bitrate_bps == pytest.approx(2400)
    assert sum(np.log2(stream.codebook_size) * stream.num_codebooks for stream in codec.info.streams) == 54


@pytest.mark.parametrize("pitch_hz", [60.0, 110.0, 200.0, 330.0])
def test_the_pitch_of_a_steady_voice_is_found(pitch_hz: float) -> None:
    time_s = np.arange(8000) / 8000
    voice = sum(np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 10))
    voiced, period = lpc._pitch(0.1 * voice)
    assert voiced[2:-3].all()
    np.testing.assert_allclose(8000 / period[2:-3], pitch_hz, rtol=0.03)


def test_noise_and_silence_are_not_voiced(rng: np.random.Generator) -> None:
    assert lpc._pitch(0.1 * rng.standard_normal(8000))[0].mean() < 0.1
    assert not lpc._pitch(np.zeros(8000))[0].any()


@pytest.mark.parametrize("voiced", [True, False])
def test_the_spectrum_and_the_level_of_a_steady_sound_survive(voiced: bool, rng: np.random.Generator) -> None:  # noqa: FBT001
    source = (np.arange(16000) % 67 == 0) * np.sqrt(67.0) if voiced else rng.standard_normal(16000)
    denominator = np.real(np.poly(POLES))
    sound = lfilter([1.0], denominator, 0.004 * source)
    codec = Lpc()
    decoded = codec.decode(codec.encode(Audio.from_numpy(sound, 8000))).samples[0].numpy()
    middle = slice(4000, 12000)
    assert 20 * np.log10(decoded[middle].std() / sound[middle].std()) == pytest.approx(0, abs=3)
    # The envelope of the output, by a predictor of its own, follows the poles of the input.
    _, response = freqz([1.0], denominator, worN=64)
    reflection, _ = lpc._spectra(np.asarray(decoded[middle], dtype=np.float64))
    predictor = lpc._predictors(np.median(reflection, axis=0)[None])[0]
    _, found = freqz([1.0], np.convolve(predictor, [1.0, -0.9375]), worN=64)
    wanted_db, found_db = (20 * np.log10(np.abs(r)) for r in (response, found))
    assert np.corrcoef(wanted_db, found_db)[0, 1] > 0.9


def test_a_voiced_frame_has_as_much_energy_as_noise_would_have() -> None:
    level, period = np.full(50, 0.1), np.full(50, 80.0)
    pulses, noise = (lpc._excitation(np.full(50, kind), period, level) for kind in (True, False))
    assert np.sqrt(np.mean(pulses**2)) == pytest.approx(0.1, rel=0.02)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.1, rel=0.02)
    assert np.unique(np.diff(np.flatnonzero(pulses))).tolist() == [80]
