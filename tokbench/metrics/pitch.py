"""Pitch and envelope metrics, all from one WORLD analysis of each signal.

F0 is that of :mod:`tokbench.models.f0`, every 10 ms. It is compared frame by frame: decoded audio is aligned, so no
time warping hides an error.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import pyworld

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics.base import Score, SignalPair
from tokbench.metrics.dtw import EUCLIDEAN, path_means
from tokbench.models.f0 import track_f0

__all__ = [
    "FRAME_PERIOD_MS",
    "GROSS_ERROR",
    "PitchTrack",
    "VoicingCounts",
    "count_errors",
    "f0_correlation",
    "f0_rmse_cents",
    "ffe",
    "gpe",
    "mcd_db",
    "track_pitch",
    "vde",
    "warped_mcd_db",
]

FRAME_PERIOD_MS = 10.0
GROSS_ERROR = 0.2
"""Relative F0 deviation above which a frame is a gross error: Nakatani et al. 2008, Chu and Alwan 2009."""
CEPSTRUM_ORDER = 24
"""Mel-cepstral coefficients beside c0: the usual order at 16 kHz (Toda et al. 2007)."""
LOUDNESS_RANGE_DB = 40.0
"""Frames this far below the loudest of the reference are pauses: the range of STOI (Taal et al. 2011)."""


@dataclass(frozen=True, eq=False)
class PitchTrack:
    """F0 of one signal."""

    times_s: np.ndarray
    """float64 [F], centres of the frames."""
    f0_hz: np.ndarray
    """float64 [F], 0 where a frame is unvoiced."""

    @property
    def voiced(self) -> np.ndarray:
        """Bool [F]."""
        return self.f0_hz > 0


@dataclass(frozen=True, slots=True)
class VoicingCounts:
    """Frames by what became of them."""

    num_frames: int
    num_both_voiced: int
    num_voicing_errors: int
    """Voiced in one signal and unvoiced in the other."""
    num_gross_errors: int
    """Voiced in both, with an F0 more than :data:`GROSS_ERROR` away from the reference."""


def f0_rmse_cents(pair: SignalPair) -> Score:
    """Root mean square F0 error over the frames voiced in both signals, in cents (100 to a semitone).

    Components are the sum of squares and the number of frames, to be pooled as "rms". Octave errors are included,
    as far as the tracker makes them. Raises :class:`NotApplicableError` for a reference without voiced frames.
    """
    cents, _ = _voiced_cents(pair, "F0 error")
    error = cents[1] - cents[0]
    return Score(float(error @ error), error.size)


def f0_correlation(pair: SignalPair) -> Score:
    """Pearson correlation of log F0 over the frames voiced in both signals, weighted by their number.

    Weight 0, no value, where no correlation exists: under two such frames, or a constant F0. Raises
    :class:`NotApplicableError` for a reference without voiced frames.
    """
    cents, num_frames = _voiced_cents(pair, "F0 correlation")
    # A pitch that moves by less than a hundredth of a cent is constant up to rounding.
    if num_frames < 2 or cents.std(axis=1).min() < 0.01:  # noqa: PLR2004
        return Score(0.0, 0)
    return Score(float(np.clip(np.corrcoef(cents)[0, 1], -1.0, 1.0)) * num_frames, num_frames)


def vde(pair: SignalPair) -> Score:
    """Voicing decision error: share of all frames whose voicing changed (Nakatani et al. 2008)."""
    counts = _counts(pair)
    return Score(counts.num_voicing_errors, counts.num_frames)


def gpe(pair: SignalPair) -> Score:
    """Gross pitch error: share of the frames voiced in both whose F0 is over 20 % off (Nakatani et al. 2008).

    Raises :class:`NotApplicableError` for a reference without voiced frames.
    """
    _require_voice(pair, "gross pitch error")
    counts = _counts(pair)
    return Score(counts.num_gross_errors, counts.num_both_voiced)


def ffe(pair: SignalPair) -> Score:
    """F0 frame error: share of all frames with a voicing or a gross pitch error (Chu and Alwan 2009)."""
    counts = _counts(pair)
    return Score(counts.num_voicing_errors + counts.num_gross_errors, counts.num_frames)


def mcd_db(pair: SignalPair) -> Score:
    """Mel-cepstral distortion ``10 / ln 10 · sqrt(2 · sum_1^24 (c_m - c'_m)^2)``, mean over frames, in dB.

    Kubichek 1993, on mel-cepstra of CheapTrick envelopes (Morise 2015; pyworld), without c0 (loudness) and without
    time warping. Frames are those within 40 dB of the reference's loudest; pauses hold no spectral envelope.
    Raises :class:`NotApplicableError` for a silent reference.
    """
    pair.require_sound("mel-cepstral distortion")
    reference = _mel_cepstrum(pair.reference, track_pitch(pair, "reference"), pair.sample_rate_hz)
    degraded = _mel_cepstrum(pair.degraded, track_pitch(pair, "degraded"), pair.sample_rate_hz)
    # c0 is the mean over mel frequencies of the natural log of power.
    level_db = 10 / math.log(10) * reference[:, 0]
    is_loud = level_db > level_db.max() - LOUDNESS_RANGE_DB
    difference = (reference - degraded)[is_loud, 1:]
    # pyworld's coefficients d_m form an orthonormal series of log power, L = sum d_m sqrt(2) cos(m w), Kubichek's
    # are of log amplitude, L / 2 = sum c_m cos(m w): c_m = d_m / sqrt(2), so that 2 c_m^2 = d_m^2.
    distortion_db = 10 / math.log(10) * np.linalg.norm(difference, axis=1)
    return Score(float(distortion_db.sum()), len(distortion_db))


def warped_mcd_db(reference: np.ndarray, generated: np.ndarray, sample_rate_hz: int) -> float:
    """Return the mel-cepstral distortion of two signals [T], [T'] that need not be in step, in dB.

    As :func:`mcd_db`, along the path of dynamic time warping, pauses left out of both. Raises
    :class:`NotApplicableError` for a silent reference and :class:`UndefinedMetricError` for a silent other.
    """
    if not reference.any():
        raise NotApplicableError("mel-cepstral distortion is undefined for a silent reference")
    if not generated.any():
        raise UndefinedMetricError("silence has no spectral envelope")
    frames = [_loud_frames(signal, sample_rate_hz) for signal in (reference, generated)]
    starts = np.cumsum([0, *(len(part) for part in frames)])
    joined = np.concatenate(frames).astype(np.float32)
    means, _ = path_means(joined, joined[:0], starts, np.array([0]), np.array([1]), EUCLIDEAN)
    return 10 / math.log(10) * float(means[0])


def _loud_frames(signal: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the mel-cepstra without c0, float64 [F, 24], of what is within 40 dB of the loudest frame."""
    cepstrum = _mel_cepstrum(signal, _track(signal, sample_rate_hz), sample_rate_hz)
    level_db = 10 / math.log(10) * cepstrum[:, 0]
    loud: np.ndarray = cepstrum[level_db > level_db.max() - LOUDNESS_RANGE_DB, 1:]
    return loud


def track_pitch(pair: SignalPair, side: str) -> PitchTrack:
    """Return the F0 of the ``reference`` or the ``degraded`` signal of ``pair``, computed once."""
    signal = pair.reference if side == "reference" else pair.degraded
    return pair.once(f"pitch of {side}", functools.partial(_track, signal, pair.sample_rate_hz))


def count_errors(reference: PitchTrack, degraded: PitchTrack) -> VoicingCounts:
    """Compare two tracks of the same frames."""
    both = reference.voiced & degraded.voiced
    deviation = np.abs(degraded.f0_hz[both] - reference.f0_hz[both]) / reference.f0_hz[both]
    return VoicingCounts(
        num_frames=both.size,
        num_both_voiced=int(both.sum()),
        num_voicing_errors=int((reference.voiced != degraded.voiced).sum()),
        num_gross_errors=int((deviation > GROSS_ERROR).sum()),
    )


def _track(signal: np.ndarray, sample_rate_hz: int) -> PitchTrack:
    f0_hz, times_s = track_f0(signal, sample_rate_hz, frame_period_ms=FRAME_PERIOD_MS)
    return PitchTrack(times_s, f0_hz)


def _counts(pair: SignalPair) -> VoicingCounts:
    return count_errors(track_pitch(pair, "reference"), track_pitch(pair, "degraded"))


def _require_voice(pair: SignalPair, what: str) -> None:
    if not track_pitch(pair, "reference").voiced.any():
        msg = f"{what} is undefined for a reference without voiced frames"
        raise NotApplicableError(msg)


def _voiced_cents(pair: SignalPair, what: str) -> tuple[np.ndarray, int]:
    """Return F0 in cents of reference and degraded where both are voiced, float64 [2, n], and n."""
    _require_voice(pair, what)
    reference, degraded = track_pitch(pair, "reference"), track_pitch(pair, "degraded")
    both = reference.voiced & degraded.voiced
    return 1200 * np.log2(np.stack([reference.f0_hz[both], degraded.f0_hz[both]])), int(both.sum())


def _mel_cepstrum(signal: np.ndarray, track: PitchTrack, sample_rate_hz: int) -> np.ndarray:
    """Return WORLD's coded spectral envelope, float64 [F, 25]."""
    envelope = pyworld.cheaptrick(signal.astype(np.float64), track.f0_hz, track.times_s, sample_rate_hz)
    coded: np.ndarray = pyworld.code_spectral_envelope(envelope, sample_rate_hz, CEPSTRUM_ORDER + 1)
    return coded
