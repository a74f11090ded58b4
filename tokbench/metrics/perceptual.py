"""Perceptual metrics with a reference: PESQ, STOI, ViSQOL, each by the library that the field uses.

What goes wrong is never a number. If the reference cannot be scored even against itself, the metric does not apply
(:class:`NotApplicableError`, the same for every codec); otherwise the decoded audio is to blame
(:class:`UndefinedMetricError`, a failure of this codec).
"""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pesq import BufferTooShortError, NoUtterancesError, pesq
from pystoi import stoi as pystoi

from tokbench.audio import Audio
from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics.base import Score, SignalPair

if TYPE_CHECKING:
    from visqol.api import VisqolApi
    from visqol.quality_mapper import TFLiteSpeechQualityMapper
    from visqol.visqol_core import SimilarityResult

__all__ = ["estoi", "pesq_nb", "pesq_wb", "stoi", "visqol", "visqol_lattice"]

PESQ_SHORTEST_S = 0.25
"""The ITU's code refuses less."""
PESQ_LONGEST_S = 40.0
"""The ITU's code has room for 50 stretches of speech, writes past its end when there are more, and crashes. 40 s
exceed the longest utterance of LibriSpeech, hardly hold that many, and the 8 to 12 s that P.862 is meant for."""
STOI_SHORTEST_S = 0.4
"""30 frames of 25.6 ms that overlap by half, the segment of Taal et al. 2011."""
VISQOL_RATE_HZ = 16000
"""Rate of the speech mode."""
VISQOL_DISSIMILAR = 0.15
"""Mean neurogram similarity below which both mappings give 1: AlterForSimilarityExtremes in visqol.cc."""

Result = TypeVar("Result")


def pesq_wb(pair: SignalPair) -> Score:
    """Wide-band PESQ at 16 kHz as MOS-LQO, ITU-T P.862.2.

    Raises :class:`NotApplicableError` for a reference without speech, under 0.25 s or above 40 s, and
    :class:`UndefinedMetricError` for silent output.
    """
    return _pesq(pair, 16000, "wb")


def pesq_nb(pair: SignalPair) -> Score:
    """Narrow-band PESQ at 8 kHz as MOS-LQO, ITU-T P.862 with the mapping of P.862.1.

    At 8 kHz, the rate of the telephone channel that it models; some tables run this mode at 16 kHz, which gives
    other values. Raises as :func:`pesq_wb`.
    """
    return _pesq(pair, 8000, "nb")


def stoi(pair: SignalPair) -> Score:
    """Short-time objective intelligibility, Taal et al. 2011 (pystoi; resamples to 10 kHz itself).

    Raises :class:`NotApplicableError` for a reference with less than 0.4 s within 40 dB of its loudest frame, and
    :class:`UndefinedMetricError` for silent output, which has no correlation with anything.
    """
    return _stoi(pair, extended=False)


def estoi(pair: SignalPair) -> Score:
    """Compute the extended STOI of Jensen and Taal 2016 (pystoi). Raises as :func:`stoi`."""
    return _stoi(pair, extended=True)


def visqol(pair: SignalPair) -> Score:
    """ViSQOL v3 in speech mode at 16 kHz with the exponential mapping to MOS-LQO, scaled so that a copy has 5.

    Chinen et al. 2020, "ViSQOL v3" (visqol-python): a monotonic function of the neurogram similarity, so that
    nothing ranks above a perfect copy. Raises :class:`NotApplicableError` for a reference in which no patch of
    0.4 s is active, and :class:`UndefinedMetricError` for silent output.
    """
    return Score(_visqol_similarity(pair).moslqo)


def visqol_lattice(pair: SignalPair) -> Score:
    """ViSQOL in speech mode with the lattice mapping, the default of Google's implementation.

    Stricter than :func:`visqol` by one or two points at low bitrates, and not monotonic: a copy of a reference has
    4.0 to 4.8, and a good codec can lie above that. Raises as :func:`visqol`.
    """
    similarity = _visqol_similarity(pair)
    if similarity.vnsim < VISQOL_DISSIMILAR:
        return Score(1.0)
    features = (similarity.fvnsim, similarity.fvnsim10, similarity.fstdnsim, similarity.fvdegenergy)
    return Score(float(np.clip(_lattice().predict_quality(*features), 1.0, 5.0)))


def _pesq(pair: SignalPair, rate_hz: int, mode: str) -> Score:
    pair.require_duration(PESQ_SHORTEST_S, "PESQ")
    if len(pair.reference) > PESQ_LONGEST_S * pair.sample_rate_hz:
        msg = f"PESQ is computed for at most {PESQ_LONGEST_S:g} s"
        raise NotApplicableError(msg)
    _require_both_sound(pair, "PESQ")
    reference, degraded = _at_rate(pair, rate_hz)
    errors = (BufferTooShortError, NoUtterancesError, ValueError)
    value = _attempt(lambda x, y: pesq(rate_hz, x, y, mode), reference, degraded, what="PESQ", errors=errors)
    return Score(_finite(value, "PESQ"))


def _stoi(pair: SignalPair, *, extended: bool) -> Score:
    pair.require_duration(STOI_SHORTEST_S, "STOI")
    _require_both_sound(pair, "STOI")

    def measure(reference: np.ndarray, degraded: np.ndarray) -> float:
        return float(pystoi(reference, degraded, pair.sample_rate_hz, extended=extended))

    with warnings.catch_warnings(), _fixed_numpy_seed():
        # Where too few frames are left, pystoi warns and returns 1e-5.
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        value = _attempt(measure, pair.reference, pair.degraded, what="STOI", errors=(RuntimeWarning,))
    return Score(_finite(value, "STOI"))


def _visqol_similarity(pair: SignalPair) -> "SimilarityResult":
    """Return the exponential mapping's MOS-LQO with the similarities that it comes from, computed once."""
    return pair.once("visqol", lambda: _compute_visqol(pair))


def _compute_visqol(pair: SignalPair) -> "SimilarityResult":
    _require_both_sound(pair, "ViSQOL")
    reference, degraded = (signal.astype(np.float64) for signal in _at_rate(pair, VISQOL_RATE_HZ))

    def measure(reference: np.ndarray, degraded: np.ndarray) -> "SimilarityResult":
        return _visqol_model().measure_from_arrays(reference, degraded, VISQOL_RATE_HZ)

    # visqol-python raises ValueError for too few samples, IndexError where no patch is active.
    similarity = _attempt(measure, reference, degraded, what="ViSQOL", errors=(IndexError, ValueError))
    _finite(similarity.moslqo, "ViSQOL")
    return similarity


@functools.cache
def _visqol_model() -> "VisqolApi":
    from visqol.api import VisqolApi  # noqa: PLC0415  (seconds of import and compilation)
    from visqol.visqol_manager import PATCH_SIZE_SPEECH  # noqa: PLC0415

    from tokbench.metrics.visqol_activity import ActivePatches  # noqa: PLC0415

    model = VisqolApi()
    # Said aloud, because the library's own choice depends on which packages happen to be installed.
    model.create(mode="speech", use_lattice_model=False)
    model._manager.patch_creator = ActivePatches(PATCH_SIZE_SPEECH)  # noqa: SLF001  (there is no other door)
    return model


@functools.cache
def _lattice() -> "TFLiteSpeechQualityMapper":
    from visqol.quality_mapper import TFLiteSpeechQualityMapper  # noqa: PLC0415  (as above)
    from visqol.visqol_manager import _DEFAULT_LATTICE_MODEL  # noqa: PLC0415

    mapper = TFLiteSpeechQualityMapper(_DEFAULT_LATTICE_MODEL)
    mapper.init()
    return mapper


def _attempt(
    measure: Callable[[np.ndarray, np.ndarray], Result],
    reference: np.ndarray,
    degraded: np.ndarray,
    *,
    what: str,
    errors: tuple[type[Exception], ...],
) -> Result:
    """Return ``measure(reference, degraded)``; on one of ``errors``, say who is to blame."""
    try:
        return measure(reference, degraded)
    except errors as error:
        cause = error
    with contextlib.suppress(*errors):
        measure(reference, reference)
        msg = f"{what} cannot be computed for the decoded audio: {_text(cause)}"
        raise UndefinedMetricError(msg) from cause
    msg = f"{what} cannot be computed for this reference: {_text(cause)}"
    raise NotApplicableError(msg) from cause


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else type(error).__name__
    text = reason.decode() if isinstance(reason, bytes) else str(reason)
    return text.strip().rstrip(".")


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        msg = f"{what} of the decoded audio is {value}"
        raise UndefinedMetricError(msg)
    return float(value)


def _require_both_sound(pair: SignalPair, what: str) -> None:
    pair.require_sound(what)
    if not pair.degraded.any():
        msg = f"{what} is undefined for silent decoded audio"
        raise UndefinedMetricError(msg)


def _at_rate(pair: SignalPair, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and degraded [T] at ``rate_hz``, resampled once per pair."""
    if rate_hz == pair.sample_rate_hz:
        return pair.reference, pair.degraded

    def resample() -> tuple[np.ndarray, np.ndarray]:
        reference, degraded = (
            Audio.from_numpy(signal, pair.sample_rate_hz).resample(rate_hz).mono()
            for signal in (pair.reference, pair.degraded)
        )
        return reference, degraded

    return pair.once(f"at {rate_hz} Hz", resample)


@contextlib.contextmanager
def _fixed_numpy_seed() -> Iterator[None]:
    """Seed NumPy's global generator for a while: pystoi's ESTOI adds noise from it, which decides silent bands."""
    state = np.random.get_state()  # noqa: NPY002  (the generator that pystoi uses)
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
