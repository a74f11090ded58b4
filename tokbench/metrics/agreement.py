"""How alike two sequences of codes are, that should be the same.

Axes: ``K`` codebooks, ``F`` frames.
"""

from dataclasses import dataclass

import numpy as np

from tokbench.errors import UndefinedMetricError

__all__ = ["UnitEdits", "code_agreement", "deduplicated", "frames_in_proportion", "unit_edits"]

_ROUNDING = 1e-9
"""A centre on the edge of two frames lies in the later one, whichever way the ratio was rounded."""


def code_agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the share of equal codes of each codebook, float64 [K], of ``first`` [K, F] and ``second`` [K, F'].

    Frame by frame, after trimming to the common length; raises :class:`UndefinedMetricError` where there is none.
    The same as MRC and OS of AudioCodecBench (``id_sensitive/eval.py``).
    """
    num_frames = min(first.shape[1], second.shape[1])
    if num_frames == 0:
        msg = "there is no frame to compare"
        raise UndefinedMetricError(msg)
    shares: np.ndarray = (first[:, :num_frames] == second[:, :num_frames]).mean(axis=1)
    return shares


def frames_in_proportion(num_frames: int, num_changed: int, ratio: float) -> np.ndarray:
    """Return which of ``num_changed`` frames holds the centre of each of ``num_frames``, int64 [num_frames].

    Both stand for the same sound, which lasts ``ratio`` times as long where it is changed: the centre of frame i
    lies at i + 1/2 frames, and at ``ratio`` times that of the changed sound. The ratio of both numbers of frames
    would not do, because a tokenizer rounds the end of a sound to a whole frame, each in its own way.

    >>> frames_in_proportion(4, 2, 0.5).tolist(), frames_in_proportion(2, 5, 2.0).tolist()
    ([0, 0, 1, 1], [1, 3])
    """
    places = np.floor((np.arange(num_frames) + 0.5) * ratio + _ROUNDING).astype(np.int64)
    kept: np.ndarray = np.minimum(places, num_changed - 1)
    return kept


def deduplicated(codes: np.ndarray) -> np.ndarray:
    """Return ``codes`` [F] with each run of equal ones as one (Lakhotia et al. 2021).

    >>> deduplicated(np.array([5, 5, 2, 2, 2, 5])).tolist()
    [5, 2, 5]
    """
    starts = np.ones(len(codes), dtype=bool)
    starts[1:] = codes[1:] != codes[:-1]
    return codes[starts]


@dataclass(frozen=True)
class UnitEdits:
    """What makes one sequence of units another."""

    num_edits: int
    """Substitutions, deletions and insertions, as few as will do."""
    num_units: int
    """Units of the reference."""

    @property
    def rate(self) -> float:
        """Edits per unit of the reference; above 1 where many are inserted."""
        return self.num_edits / self.num_units


def unit_edits(reference: np.ndarray, other: np.ndarray) -> UnitEdits:
    """Return the Levenshtein distance of two sequences of codes [F], de-duplicated, and the units of the first.

    The rate is the unit edit distance after Gat et al. 2022, Augmentation invariant discrete representation for
    generative spoken language modeling (arXiv 2209.15483), by units of the reference instead of its frames.
    Raises :class:`UndefinedMetricError` for a reference without units.
    """
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  (jiwer brings it; the planner knows metrics without)

    units, others = deduplicated(reference).tolist(), deduplicated(other).tolist()
    if not units:
        msg = "there is no unit to compare with"
        raise UndefinedMetricError(msg)
    return UnitEdits(Levenshtein.distance(units, others), len(units))
