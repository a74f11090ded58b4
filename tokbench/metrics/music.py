"""Music: whether the same notes sound, whatever plays them.

A chromagram tells how the energy of a frame is shared by the twelve pitch classes, octaves put together. The energy
of a bin of the spectrum goes to the pitch class of the note nearest to it (440 Hz is A), from 130 Hz on, where
notes are a bin apart, up to 2 kHz.

Axes: ``T`` samples, ``F`` frames.
"""

import numpy as np

from tokbench.errors import NotApplicableError

__all__ = ["NUM_CLASSES", "chroma_cosine", "chromagram", "key_share"]

NUM_CLASSES = 12
_WINDOW_S, _HOP_S = 0.128, 0.032
_LOWEST_HZ, _HIGHEST_HZ = 130.0, 2000.0
_A4_HZ, _A4_CLASS = 440.0, 9
_QUIET_DB = -50.0
"""Frames this far below the loudest one hold no music."""


def chromagram(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return float64 [F, 12], shares of the pitch classes from C on, of ``samples`` float [T]; 0 in quiet frames.

    Raises :class:`NotApplicableError` for less than a frame, or for silence.
    """
    size, hop = round(_WINDOW_S * sample_rate_hz), round(_HOP_S * sample_rate_hz)
    if len(samples) < size:
        raise NotApplicableError(f"a chromagram needs {_WINDOW_S} s")
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)[::hop] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    bins_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    is_used = (bins_hz >= _LOWEST_HZ) & (bins_hz <= _HIGHEST_HZ)
    semitones = np.round(12 * np.log2(bins_hz[is_used] / _A4_HZ)).astype(np.int64)
    classes = np.eye(NUM_CLASSES)[(semitones + _A4_CLASS) % NUM_CLASSES]
    energy = power[:, is_used] @ classes
    total = energy.sum(axis=1, keepdims=True)
    if not total.any():
        raise NotApplicableError("silence has no pitch classes")
    is_loud = total > total.max() * 10 ** (_QUIET_DB / 10)
    return np.where(is_loud, energy / np.where(is_loud, total, 1.0), 0.0)


def chroma_cosine(reference: np.ndarray, generated: np.ndarray, sample_rate_hz: int) -> float:
    """Return the mean over frames of the cosine of two chromagrams, 0 .. 1, up to the end of the shorter one.

    Frames in which the reference is quiet are left out; where the generated one is, its cosine is 0, and so it is
    of a generated one that is silent or shorter than a frame. Both are [T]. Raises :class:`NotApplicableError`
    where the reference is silent or shorter than a frame.

    Source: Copet et al. 2023, MusicGen (arXiv:2306.05284), section 3.4.
    """
    expected = chromagram(reference, sample_rate_hz)
    try:
        found = chromagram(generated, sample_rate_hz)
    except NotApplicableError:
        return 0.0
    length = min(len(expected), len(found))
    mine, theirs = expected[:length], found[:length]
    norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    is_heard = mine.any(axis=1)
    if not is_heard.any():
        raise NotApplicableError("the reference is quiet for as long as both last")
    cosines = np.divide((mine * theirs).sum(axis=1), norms, out=np.zeros(length), where=norms > 0)
    return float(cosines[is_heard].mean())


def key_share(samples: np.ndarray, sample_rate_hz: int, pitch_classes: set[int]) -> float:
    """Return the share of the energy of ``samples`` [T] in ``pitch_classes`` (0 is C), mean over loud frames.

    Raises :class:`NotApplicableError` for what is silent or shorter than a frame.
    """
    chroma = chromagram(samples, sample_rate_hz)
    return float(chroma[chroma.any(axis=1)][:, sorted(pitch_classes)].sum(axis=1).mean())
