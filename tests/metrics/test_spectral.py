import warnings
from collections.abc import Callable

import librosa
import numpy as np
import pytest
from oracles import spectra

from tokbench.errors import NotApplicableError
from tokbench.metrics import spectral
from tokbench.metrics.base import Score, SignalPair


@pytest.fixture
def pair(voice_16khz: np.ndarray, rng: np.random.Generator) -> SignalPair:
    reference = voice_16khz[6000:12000]
    noise = 0.003 * rng.standard_normal(len(reference)).astype(np.float32)
    return SignalPair(reference, 0.8 * np.roll(reference, 5) + noise, 16000)


def test_mel_distances_are_those_of_a_loop(pair: SignalPair) -> None:
    dac = spectra.mel_distance_dac(pair.reference, pair.degraded, 16000)
    superb = spectra.mel_distance_codec_superb(pair.reference, pair.degraded, 16000)
    assert spectral.mel_distance_dac(pair).value() == pytest.approx(dac, rel=1e-5)
    assert spectral.mel_distance_codec_superb(pair).value() == pytest.approx(superb, rel=1e-5)


def test_stft_and_log_spectral_distances_are_those_of_a_loop(pair: SignalPair) -> None:
    stft, log_spectral = (
        spectra.stft_distance(pair.reference, pair.degraded),
        spectra.log_spectral_distance_db(pair.reference, pair.degraded),
    )
    assert spectral.stft_distance(pair).value() == pytest.approx(stft, rel=1e-5)
    assert spectral.log_spectral_distance_db(pair).value() == pytest.approx(log_spectral, rel=1e-5)


@pytest.mark.parametrize(
    "scale", [*spectral.DAC_SCALES, *spectral.CODEC_SUPERB_SCALES, spectral.MelScale(321, 120)]
)
@pytest.mark.parametrize("sample_rate_hz", [16000, 44100])
def test_mel_filters_are_those_of_librosa(scale: spectral.MelScale, sample_rate_hz: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        expected = librosa.filters.mel(sr=sample_rate_hz, n_fft=scale.window, n_mels=scale.num_mels)
    filters = spectral.mel_filters(scale.num_mels, scale.window, sample_rate_hz)
    np.testing.assert_allclose(filters.numpy(), expected, rtol=1e-5, atol=1e-9)


def test_the_scales_of_dac_are_those_of_its_configuration() -> None:
    assert [scale.window for scale in spectral.DAC_SCALES] == [32, 64, 128, 256, 512, 1024, 2048]
    assert [scale.num_mels for scale in spectral.DAC_SCALES] == [5, 10, 20, 40, 80, 160, 320]


def test_a_gain_moves_every_log_spectrum_by_its_level(rng: np.random.Generator) -> None:
    loud = rng.standard_normal(8000).astype(np.float32)
    pair = SignalPair(loud, 0.1 * loud, 16000)
    assert spectral.log_spectral_distance_db(pair).value() == pytest.approx(20.0, rel=1e-5)
    # One decade in each of seven scales; spectral convergence 0.9 and a natural logarithm of 10.
    assert spectral.mel_distance_dac(pair).value() == pytest.approx(7.0, rel=1e-4)
    assert spectral.stft_distance(pair).value() == pytest.approx(0.9 + np.log(10), rel=1e-4)


def test_the_rounding_noise_of_a_16_bit_file_is_as_good_as_silence(rng: np.random.Generator) -> None:
    rounding = (rng.uniform(-0.5, 0.5, 16000) / 32768).astype(np.float32)
    pair = SignalPair(np.zeros(16000, np.float32), rounding, 16000)
    assert spectral.log_spectral_distance_db(pair).value() < 3.0


DISTANCES = [
    spectral.mel_distance_dac,
    spectral.mel_distance_codec_superb,
    spectral.stft_distance,
    spectral.log_spectral_distance_db,
]


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_value_does_not_depend_on_what_was_computed_before(
    pair: SignalPair, distance: Callable[..., Score]
) -> None:
    alone = distance(SignalPair(pair.reference, pair.degraded, 16000))
    for other in DISTANCES:
        other(pair)
    assert distance(pair) == alone


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_signal_shorter_than_a_window_has_no_spectrum(distance: Callable[..., Score]) -> None:
    short = np.ones(500, np.float32)
    with pytest.raises(NotApplicableError, match=r"needs (512|2048) samples, the reference has 500"):
        distance(SignalPair(short, short, 16000))


def test_spectral_convergence_needs_a_sound() -> None:
    silence = np.zeros(4000, np.float32)
    with pytest.raises(NotApplicableError, match="STFT distance is undefined for a silent reference"):
        spectral.stft_distance(SignalPair(silence, silence, 16000))
