import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal
import soundfile
from pesq import pesq
from pystoi import stoi as pystoi

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics import perceptual
from tokbench.metrics.base import Score, SignalPair

ALL = [
    perceptual.pesq_wb,
    perceptual.pesq_nb,
    perceptual.stoi,
    perceptual.estoi,
    perceptual.visqol,
]


def with_noise(signal: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal(len(signal))
    gain = np.sqrt(np.mean(signal**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return (signal + gain * noise).astype(np.float32)


@pytest.fixture
def pair(voice_16khz: np.ndarray) -> SignalPair:
    return SignalPair(voice_16khz, with_noise(voice_16khz, 20), 16000)


def test_wide_band_pesq_is_that_of_the_library(pair: SignalPair) -> None:
    assert perceptual.pesq_wb(pair).value() == pesq(16000, pair.reference, pair.degraded, "wb")


def test_narrow_band_pesq_is_that_of_the_library_at_8_khz(pair: SignalPair) -> None:
    reference, degraded = (scipy.signal.resample_poly(x, 1, 2) for x in (pair.reference, pair.degraded))
    # Another resampler: close, not equal.
    assert perceptual.pesq_nb(pair).value() == pytest.approx(pesq(8000, reference, degraded, "nb"), abs=0.02)


def test_stoi_is_that_of_the_library(pair: SignalPair) -> None:
    expected = pystoi(pair.reference, pair.degraded, 16000)
    assert perceptual.stoi(pair).value() == expected
    extended = pystoi(pair.reference, pair.degraded, 16000, extended=True)
    assert perceptual.estoi(pair).value() == pytest.approx(extended, abs=1e-9)


def test_visqol_is_that_of_the_library(pair: SignalPair) -> None:
    from visqol.api import VisqolApi  # noqa: PLC0415  (slow to import)

    model = VisqolApi()
    model.create(mode="speech", use_lattice_model=False)
    expected = model.measure_from_arrays(pair.reference.astype(float), pair.degraded.astype(float), 16000).moslqo
    assert perceptual.visqol(pair).value() == expected
    assert 1.5 < expected < 4.9


@pytest.mark.parametrize("scale", [1e-4, 0.3, 1.0, 40.0])
@pytest.mark.parametrize("frame_length", [160, 333])
def test_speech_is_where_the_library_finds_it(voice_16khz: np.ndarray, scale: float, frame_length: int) -> None:
    """Of soft speech, and of speech far above full scale; in whole frames and with a rest."""
    from visqol.audio_utils import AudioSignal  # noqa: PLC0415  (as above)
    from visqol.patch_creator import VadPatchCreator  # noqa: PLC0415

    from tokbench.metrics.visqol_activity import ActivePatches  # noqa: PLC0415

    signal = AudioSignal(scale * voice_16khz.astype(float), 16000)
    found, expected = (
        kind(20)._get_voice_activity(signal, 9, len(voice_16khz) - 100, frame_length)
        for kind in (ActivePatches, VadPatchCreator)
    )
    assert found == expected
    assert len(found) > 2


def test_visqol_with_the_lattice_is_that_of_the_library(voice_16khz: np.ndarray) -> None:
    pytest.importorskip("ai_edge_litert")
    from visqol.api import VisqolApi  # noqa: PLC0415  (slow to import)

    model = VisqolApi()
    model.create(mode="speech", use_lattice_model=True)
    for degraded in (voice_16khz, with_noise(voice_16khz, 45), with_noise(voice_16khz, -20)):
        pair = SignalPair(voice_16khz, degraded, 16000)
        expected = model.measure_from_arrays(pair.reference.astype(float), degraded.astype(float), 16000).moslqo
        assert perceptual.visqol_lattice(pair).value() == pytest.approx(expected, abs=1e-6)


def test_known_values_on_recorded_speech(speech_dir) -> None:  # noqa: ANN001
    reference, rate_hz = soundfile.read(speech_dir.parent / "lyra" / "sample1_16kHz.wav", dtype="float32")
    pair = SignalPair(reference, with_noise(reference, 10), rate_hz)
    # White noise at 10 dB, measured with another noise of the same level.
    assert perceptual.pesq_wb(pair).value() == pytest.approx(1.049, abs=0.02)
    assert perceptual.stoi(pair).value() == pytest.approx(0.857, abs=0.01)
    assert perceptual.estoi(pair).value() == pytest.approx(0.654, abs=0.03)


def test_a_copy_is_at_the_ceiling(voice_16khz: np.ndarray) -> None:
    pair = SignalPair(voice_16khz, voice_16khz, 16000)
    assert perceptual.pesq_wb(pair).value() == pytest.approx(4.64, abs=0.005)
    assert perceptual.pesq_nb(pair).value() == pytest.approx(4.55, abs=0.005)
    assert perceptual.stoi(pair).value() == pytest.approx(1.0)
    assert perceptual.estoi(pair).value() == pytest.approx(1.0)
    assert perceptual.visqol(pair).value() == 5.0


def test_the_rate_of_the_pair_may_be_another(voice_16khz: np.ndarray, pair: SignalPair) -> None:
    reference, degraded = (
        scipy.signal.resample_poly(x, 3, 1).astype(np.float32) for x in (voice_16khz, pair.degraded)
    )
    upsampled = SignalPair(reference, degraded, 48000)
    assert perceptual.pesq_wb(upsampled).value() == pytest.approx(perceptual.pesq_wb(pair).value(), abs=0.05)
    assert perceptual.visqol(upsampled).value() == pytest.approx(perceptual.visqol(pair).value(), abs=0.05)


def test_estoi_of_a_signal_with_silent_stretches_is_the_same_every_time(voice_16khz: np.ndarray) -> None:
    gated = np.where(np.arange(len(voice_16khz)) % 16000 < 8000, voice_16khz, 0).astype(np.float32)
    first = perceptual.estoi(SignalPair(voice_16khz, gated, 16000)).value()
    state = np.random.get_state()[1].copy()  # noqa: NPY002  (pystoi's generator)
    assert perceptual.estoi(SignalPair(voice_16khz, gated, 16000)).value() == first
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("metric", ALL)
def test_a_silent_reference_is_not_applicable(metric: Callable[..., Score], voice_16khz: np.ndarray) -> None:
    with pytest.raises(NotApplicableError, match="undefined for a silent reference"):
        metric(SignalPair(np.zeros_like(voice_16khz), voice_16khz, 16000))


@pytest.mark.parametrize("metric", ALL)
def test_silent_output_is_a_failure_and_never_a_number(
    metric: Callable[..., Score], voice_16khz: np.ndarray
) -> None:
    with pytest.raises(UndefinedMetricError, match="undefined for silent decoded audio"):
        metric(SignalPair(voice_16khz, np.zeros_like(voice_16khz), 16000))


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("num_samples", [1, 1000, 3000])
def test_too_short_a_reference_is_not_applicable(metric: Callable[..., Score], num_samples: int) -> None:
    short = np.ones(num_samples, np.float32)
    with pytest.raises(NotApplicableError, match=r"needs 0\.\d+ s|cannot be computed for this reference"):
        metric(SignalPair(short, short, 16000))


@pytest.mark.parametrize("metric", [perceptual.stoi, perceptual.estoi])
def test_too_little_speech_for_a_segment_is_not_applicable(metric: Callable[..., Score], pair: SignalPair) -> None:
    click = np.zeros(16000, np.float32)
    click[8000:8400] = pair.reference[8000:8400]
    with pytest.raises(
        NotApplicableError, match="STOI cannot be computed for this reference: Not enough STFT frames"
    ):
        metric(SignalPair(click, click + np.float32(1e-6), 16000))


def test_a_reference_in_which_pesq_hears_nobody_is_not_applicable() -> None:
    burst = np.zeros(16000, np.float32)
    burst[15000:15400] = np.random.default_rng(0).standard_normal(400)
    with pytest.raises(NotApplicableError, match="PESQ cannot be computed for this reference: No utterances"):
        perceptual.pesq_wb(SignalPair(burst, burst, 16000))


def test_pesq_refuses_what_would_overflow_its_tables(rng: np.random.Generator) -> None:
    long = rng.standard_normal(16000 * 41).astype(np.float32)
    with pytest.raises(NotApplicableError, match="PESQ is computed for at most 40 s"):
        perceptual.pesq_wb(SignalPair(long, long, 16000))


def test_what_only_the_decoded_audio_breaks_is_a_failure(monkeypatch: pytest.MonkeyPatch, pair: SignalPair) -> None:
    def measure(_rate_hz: int, reference: np.ndarray, degraded: np.ndarray, _mode: str) -> float:
        if not np.array_equal(reference, degraded):
            msg = "cannot convert float NaN to integer"
            raise ValueError(msg)
        return 4.64

    monkeypatch.setattr(perceptual, "pesq", measure)
    with pytest.raises(UndefinedMetricError, match="PESQ cannot be computed for the decoded audio: cannot convert"):
        perceptual.pesq_wb(pair)


def test_a_result_that_is_no_number_is_a_failure(monkeypatch: pytest.MonkeyPatch, pair: SignalPair) -> None:
    monkeypatch.setattr(perceptual, "pesq", lambda *_: float("nan"))
    with pytest.raises(UndefinedMetricError, match="PESQ of the decoded audio is nan"):
        perceptual.pesq_wb(pair)


def test_no_warning_and_no_output_escapes(pair: SignalPair, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in ALL:
            metric(pair)
    assert capfd.readouterr() == ("", "")
