"""Alignment: the length, delay and polarity of decoded audio relative to the original."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

__all__ = ["CREDIBLE_CORRELATION", "Alignment", "align", "find_alignment"]

CREDIBLE_CORRELATION = 0.5
"""Least correlation, of audio turned upright, at which a delay and a polarity are believed.

A parametric codec keeps the sound but not the waveform: its correlation with the original peaks by chance, at a
lag that says nothing. At 0.5 a quarter of the degraded energy is explained by the shifted original
(``1 - error / energy = correlation ** 2``), which chance does not reach on signals of some thousand samples.
"""
_INVERTED_ERROR = 0.5
"""Share of the error of the best upright delay that an inverted one must stay below to be believed.

Voiced speech half a period later looks much like itself turned round: where a filter changed its phases, that may
fit a little better than the truth. Audio that is inverted fits far better than any delay explains.
"""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where degraded audio lies on its reference."""

    delay_samples: int
    """By how much the degraded audio is late; negative where it is early."""
    inverted: bool
    """Whether its polarity is reversed."""
    correlation: float
    """Normalised cross-correlation at the peak, -1 .. 1: negative for reversed polarity, 0 where one is silent."""
    length_difference: int
    """Samples that the degraded audio has more than the reference."""

    @property
    def none(self) -> "Alignment":
        """The same findings with nothing to compensate but the length."""
        return replace(self, delay_samples=0, inverted=False)

    @property
    def credible(self) -> "Alignment":
        """What may be compensated: ``self`` from :data:`CREDIBLE_CORRELATION` on, else :attr:`none`."""
        is_credible = (-self.correlation if self.inverted else self.correlation) >= CREDIBLE_CORRELATION
        return self if is_credible else self.none


def find_alignment(reference: np.ndarray, degraded: np.ndarray, max_delay_samples: int) -> Alignment:
    """Return the delay within ``± max_delay_samples`` at which the cross-correlation is largest.

    Or the one at which it is lowest, where that fits so much better that the polarity must be reversed
    (:data:`_INVERTED_ERROR`). ``reference`` is float32 [T], ``degraded`` float32 [T'], at one sample rate. The
    correlation is divided by the norms of both whole signals, so a shift that drops sound at an end lowers it.
    """
    length_difference = len(degraded) - len(reference)
    norm = float(np.linalg.norm(reference)) * float(np.linalg.norm(degraded))
    if norm == 0:
        return Alignment(0, inverted=False, correlation=0.0, length_difference=length_difference)
    correlation = np.clip(_cross_correlation(reference, degraded, max_delay_samples) / norm, -1.0, 1.0)
    upright, inverted = int(np.argmax(correlation)), int(np.argmin(correlation))
    errors = [1 - max(fit, 0.0) ** 2 for fit in (correlation[upright], -correlation[inverted])]
    is_inverted = bool(errors[1] < _INVERTED_ERROR * errors[0])
    peak = inverted if is_inverted else upright
    return Alignment(peak - max_delay_samples, is_inverted, float(correlation[peak]), length_difference)


def _cross_correlation(reference: np.ndarray, degraded: np.ndarray, max_delay_samples: int) -> np.ndarray:
    """Return ``sum_t reference[t] · degraded[t + delay]`` for delays ``-max .. max``, float32 [2 max + 1].

    Only the delays asked for have to be free of wrap-around, so the transform is as short as the longer signal
    plus ``max_delay_samples``.
    """
    longest = max(len(reference), len(degraded))
    size = scipy.fft.next_fast_len(longest + max_delay_samples, real=True)
    spectrum = scipy.fft.rfft(degraded, size) * np.conj(scipy.fft.rfft(reference, size))
    circular = scipy.fft.irfft(spectrum, size)
    early = circular[size - max_delay_samples :] if max_delay_samples else circular[:0]
    return np.concatenate([early, circular[: max_delay_samples + 1]])


def align(reference: np.ndarray, degraded: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Return ``degraded`` [T'] shifted, turned upright and padded or cut to the length of ``reference`` [T]."""
    delay = alignment.delay_samples
    start = degraded[delay:] if delay >= 0 else np.concatenate([np.zeros(-delay, degraded.dtype), degraded])
    fitted = np.zeros(len(reference), dtype=degraded.dtype)
    kept = min(len(fitted), len(start))
    fitted[:kept] = start[:kept]
    return -fitted if alignment.inverted else fitted
