import math

import mir_eval
import numpy as np
import pytest
from oracles.cepstrum import mel_cepstral_distortion_db

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics import pitch
from tokbench.metrics.base import SignalPair

RATE_HZ = 16000


def tone(f0_hz: float | np.ndarray, duration_s: float = 1.0) -> np.ndarray:
    """Return ten harmonics with a F0 that may change over time."""
    num_samples = int(duration_s * RATE_HZ)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0_hz, num_samples)) / RATE_HZ
    return (0.1 * sum(np.sin(k * phase) / k for k in range(1, 11))).astype(np.float32)


def glide(low_hz: float, high_hz: float) -> np.ndarray:
    return np.geomspace(low_hz, high_hz, RATE_HZ)


@pytest.mark.parametrize("cents", [100, -40])
def test_a_tone_moved_by_100_cents_has_an_error_of_100_cents(cents: int) -> None:
    pair = SignalPair(tone(150.0), tone(150.0 * 2 ** (cents / 1200)), RATE_HZ)
    # The frames at the two ends, where a tone starts and stops, are tracked less well.
    assert pitch.f0_rmse_cents(pair).value("rms") == pytest.approx(abs(cents), abs=2.0)
    assert pitch.gpe(pair).value() == 0.0
    assert pitch.vde(pair).value() == pytest.approx(0.0, abs=0.03)


def test_an_octave_is_a_gross_error_in_every_voiced_frame() -> None:
    pair = SignalPair(tone(120.0), tone(240.0), RATE_HZ)
    assert pitch.gpe(pair).value() == 1.0
    assert pitch.ffe(pair).value() == pytest.approx(1.0, abs=0.05)


def test_the_same_melody_in_another_register_correlates_and_a_reversed_one_does_not() -> None:
    reference = tone(glide(120, 180))
    assert pitch.f0_correlation(SignalPair(reference, tone(glide(200, 300)), RATE_HZ)).value() > 0.99
    assert pitch.f0_correlation(SignalPair(reference, tone(glide(180, 120)), RATE_HZ)).value() < -0.99


def test_a_constant_pitch_has_no_correlation_and_no_weight() -> None:
    silence = np.zeros(RATE_HZ, np.float32)
    steady = SignalPair(tone(150.0), silence, RATE_HZ)
    assert pitch.f0_correlation(steady).value() is None
    assert pitch.f0_rmse_cents(steady).value("rms") is None
    assert pitch.gpe(steady).value() is None
    assert pitch.vde(steady).value() > 0.9


def test_correlation_is_weighted_by_the_frames_it_rests_on() -> None:
    pair = SignalPair(tone(glide(120, 180)), tone(glide(200, 300)), RATE_HZ)
    counts = pitch.count_errors(pitch.track_pitch(pair, "reference"), pitch.track_pitch(pair, "degraded"))
    assert pitch.f0_correlation(pair).weight == counts.num_both_voiced > 90


def random_track(generator: np.random.Generator) -> pitch.PitchTrack:
    voiced = generator.random(300) < 0.6
    return pitch.PitchTrack(np.arange(300) * 0.01, np.where(voiced, generator.uniform(90, 300, 300), 0.0))


def test_voicing_errors_are_those_of_mir_eval(rng: np.random.Generator) -> None:
    reference, degraded = random_track(rng), random_track(rng)
    recall, false_alarm = mir_eval.melody.voicing_measures(reference.voiced, degraded.voiced)
    expected = (1 - recall) * reference.voiced.sum() + false_alarm * (~reference.voiced).sum()
    assert pitch.count_errors(reference, degraded).num_voicing_errors == pytest.approx(expected)


def test_gross_errors_upwards_are_those_of_mir_eval(rng: np.random.Generator) -> None:
    reference = random_track(rng)
    # Within 20 % upwards is within 1200 log2 1.2 cents; downwards the two definitions differ.
    degraded = pitch.PitchTrack(reference.times_s, reference.f0_hz * 2 ** (rng.uniform(0, 700, 300) / 1200))
    cents = [mir_eval.melody.hz2cents(track.f0_hz) for track in (reference, degraded)]
    accuracy = mir_eval.melody.raw_pitch_accuracy(
        reference.voiced, cents[0], degraded.voiced, cents[1], cent_tolerance=1200 * math.log2(1.2)
    )
    counts = pitch.count_errors(reference, degraded)
    assert counts.num_both_voiced == reference.voiced.sum()
    assert 1 - counts.num_gross_errors / counts.num_both_voiced == pytest.approx(accuracy)


def test_a_gross_error_is_relative_to_the_reference() -> None:
    reference = pitch.PitchTrack(np.zeros(5), np.array([100.0, 100.0, 100.0, 0.0, 100.0]))
    degraded = pitch.PitchTrack(np.zeros(5), np.array([119.0, 121.0, 79.0, 200.0, 0.0]))
    assert pitch.count_errors(reference, degraded) == pitch.VoicingCounts(
        num_frames=5, num_both_voiced=3, num_voicing_errors=2, num_gross_errors=2
    )


def test_mel_cepstral_distortion_is_that_of_cosine_sums(voice_16khz: np.ndarray, rng: np.random.Generator) -> None:
    noisy = voice_16khz + 0.01 * rng.standard_normal(len(voice_16khz)).astype(np.float32)
    expected = mel_cepstral_distortion_db(voice_16khz, noisy, RATE_HZ)
    assert expected > 2
    # WORLD interpolates the envelope in float64 at slightly other points of the mel axis.
    assert pitch.mcd_db(SignalPair(voice_16khz, noisy, RATE_HZ)).value() == pytest.approx(expected, rel=0.01)


def test_mel_cepstral_distortion_ignores_loudness(voice_16khz: np.ndarray) -> None:
    assert pitch.mcd_db(SignalPair(voice_16khz, 0.5 * voice_16khz, RATE_HZ)).value() == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("metric", [pitch.f0_rmse_cents, pitch.f0_correlation, pitch.gpe])
def test_pitch_of_a_reference_without_voice_is_not_applicable(metric) -> None:  # noqa: ANN001
    pair = SignalPair(np.zeros(RATE_HZ, np.float32), tone(150.0), RATE_HZ)
    with pytest.raises(NotApplicableError, match="undefined for a reference without voiced frames"):
        metric(pair)


def test_silence_has_no_envelope() -> None:
    pair = SignalPair(np.zeros(RATE_HZ, np.float32), tone(150.0), RATE_HZ)
    with pytest.raises(NotApplicableError, match="mel-cepstral distortion is undefined for a silent reference"):
        pitch.mcd_db(pair)


@pytest.mark.parametrize("num_samples", [1, 100, 2000])
def test_very_short_audio_is_scored_without_an_accident(num_samples: int) -> None:
    signal = tone(150.0)[:num_samples] + np.float32(0.01)
    assert pitch.vde(SignalPair(signal, signal, RATE_HZ)).value() == 0.0
    assert pitch.mcd_db(SignalPair(signal, signal, RATE_HZ)).value() == 0.0


def test_each_signal_is_analysed_once(voice_16khz: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    dio = pitch.pyworld.dio
    monkeypatch.setattr(pitch.pyworld, "dio", lambda *args, **options: calls.append(1) or dio(*args, **options))
    pair = SignalPair(voice_16khz, voice_16khz.copy(), RATE_HZ)
    for metric in (pitch.f0_rmse_cents, pitch.f0_correlation, pitch.vde, pitch.gpe, pitch.ffe, pitch.mcd_db):
        metric(pair)
    assert len(calls) == 2


def test_a_delayed_copy_is_near_and_another_timbre_is_far(voice_16khz: np.ndarray) -> None:
    later = np.concatenate([np.zeros(4000, np.float32), voice_16khz])
    bright = np.diff(voice_16khz, prepend=np.float32(0.0))
    assert pitch.warped_mcd_db(voice_16khz, voice_16khz, 16000) == pytest.approx(0.0, abs=1e-6)
    assert pitch.warped_mcd_db(voice_16khz, later, 16000) < 0.5 * pitch.warped_mcd_db(voice_16khz, bright, 16000)


def test_without_warping_to_do_it_is_the_plain_distortion_of_frames_in_step(voice_16khz: np.ndarray) -> None:
    """Where two signals differ by a filter, the path is nearly the diagonal."""
    filtered = (0.7 * voice_16khz + 0.3 * np.roll(voice_16khz, 1)).astype(np.float32)
    plain = pitch.mcd_db(SignalPair(voice_16khz, filtered, 16000)).value()
    assert plain is not None
    assert pitch.warped_mcd_db(voice_16khz, filtered, 16000) == pytest.approx(plain, rel=0.15)


def test_warped_distortion_of_silence_is_refused(voice_16khz: np.ndarray) -> None:
    silence = np.zeros(16000, np.float32)
    with pytest.raises(NotApplicableError, match="undefined for a silent reference"):
        pitch.warped_mcd_db(silence, voice_16khz, 16000)
    with pytest.raises(UndefinedMetricError, match="silence has no spectral envelope"):
        pitch.warped_mcd_db(voice_16khz, silence, 16000)
