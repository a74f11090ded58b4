"""The Fréchet distance of two clouds of features, each taken for a normal distribution.

    d² = |μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½)

The trace of the root is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric, so that no
complex number appears. Of few frames the distance is too large: the fewer there are for each feature, the more.

Source: Dowson and Landau 1982; Kilgour et al. 2019, Fréchet audio distance (arXiv:1812.08466), where features are
those of VGGish. With other features its values are others.

Axes: ``F`` frames, ``D`` features.
"""

import numpy as np

from tokbench.errors import UndefinedMetricError

__all__ = ["frechet_distance"]


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of float [F, D] and float [F', D].

    Raises :class:`UndefinedMetricError` for fewer than two frames.
    """
    if min(len(one), len(other)) < 2:  # noqa: PLR2004
        raise UndefinedMetricError("a covariance needs two frames")
    means = [frames.mean(axis=0, dtype=np.float64) for frames in (one, other)]
    first, second = (np.atleast_2d(np.cov(frames.astype(np.float64), rowvar=False)) for frames in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0.0)).sum()
    distance = np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * shared
    return max(float(distance), 0.0)
