"""The Fréchet distance of two clouds of features, each taken for a normal distribution.

    d² = |μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½)

The trace of the root is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric, so that no
complex number appears. Of few frames the distance is too large: the fewer there are for each feature, the more.

Source: Dowson and Landau 1982; Kilgour et al. 2019, Fréchet audio distance (arXiv:1812.08466), where features are
those of VGGish. With other features its values are others.

Axes: ``F`` frames, ``D`` features.
"""

import math

import numpy as np

from tokbench.errors import UndefinedMetricError

__all__ = ["frechet_distance", "moments"]


def moments(frames: np.ndarray) -> np.ndarray:
    """Return float64 [1 + D + D (D + 1) / 2] of ``frames`` [F, D]: their number, sum and sum of outer products.

    Of these, which are symmetric, one half. Those of several recordings are added.
    """
    exact = frames.astype(np.float64)
    return np.concatenate([[len(exact)], exact.sum(axis=0), (exact.T @ exact)[np.triu_indices(exact.shape[1])]])


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of two clouds of which :func:`moments` are given.

    Raises :class:`UndefinedMetricError` for fewer than two frames.
    """
    (first_mean, first), (second_mean, second) = _mean_and_covariance(one), _mean_and_covariance(other)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0.0)).sum()
    distance = np.square(first_mean - second_mean).sum() + np.trace(first) + np.trace(second) - 2 * shared
    return max(float(distance), 0.0)


def _mean_and_covariance(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 [D] and [D, D], the second without bias."""
    number, size = sums[0], (math.isqrt(8 * len(sums) + 1) - 3) // 2
    if number < 2:  # noqa: PLR2004
        raise UndefinedMetricError("a covariance needs two frames")
    mean = sums[1 : 1 + size] / number
    products = np.empty((size, size))
    products[np.triu_indices(size)] = products.T[np.triu_indices(size)] = sums[1 + size :]
    return mean, (products - number * np.outer(mean, mean)) / (number - 1)
