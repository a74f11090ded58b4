"""Telling voices by tokens: means and deviations of features, in the directions that tell speakers apart.

Linear discriminant analysis (Fisher 1936), by scikit-learn, with the covariance within speakers shrunk as Ledoit
and Wolf (2004) do: there are more features than recordings. What it makes of a recording is compared by the cosine,
as Dehak et al. 2011 (Front-end factor analysis for speaker verification) do with what they get of one. Speakers
need not be among those that were learnt.

Axes: ``F`` frames, ``D`` features, ``N`` recordings, ``E`` directions.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

__all__ = ["VoiceProjection", "statistics_of"]

_SMALLEST_DEVIATION = 1e-5
"""Statistics that vary less from recording to recording are constant, and tell nothing."""


def statistics_of(frames: np.ndarray) -> np.ndarray:
    """Return the means and the standard deviations over ``frames`` [F, D], float32 [2 D]."""
    joined: np.ndarray = np.concatenate([frames.mean(axis=0), frames.std(axis=0)]).astype(np.float32)
    return joined


@dataclass(frozen=True)
class VoiceProjection:
    """Directions of the statistics of recordings."""

    mean: np.ndarray
    """float32 [2 D]."""
    directions: np.ndarray
    """float32 [2 D, E]."""

    @classmethod
    def fit(cls, statistics: np.ndarray, speakers: np.ndarray) -> "VoiceProjection":
        """Return the directions that tell ``speakers`` int64 [N] apart by ``statistics`` [N, 2 D].

        Raises :class:`ValueError` for fewer than two speakers, and for statistics that are all constant.
        """
        values = statistics.astype(np.float64)
        varies = values.std(axis=0) >= _SMALLEST_DEVIATION
        if len(np.unique(speakers)) < 2 or not varies.any():  # noqa: PLR2004
            msg = "expected recordings of two speakers or more, which differ"
            raise ValueError(msg)
        analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(values[:, varies], speakers)
        units = np.eye(int(varies.sum()))
        found = analysis.transform(units) - analysis.transform(0 * units)
        directions = np.zeros((values.shape[1], found.shape[1]))
        directions[varies] = found
        return cls(values.mean(axis=0).astype(np.float32), directions.astype(np.float32))

    def embed(self, statistics: np.ndarray) -> np.ndarray:
        """Return float32 [N, E] of unit length of ``statistics`` [N, 2 D]; zeros for what lies in the middle."""
        vectors = (statistics.astype(np.float64) - self.mean) @ self.directions
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: np.ndarray = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return unit.astype(np.float32)
