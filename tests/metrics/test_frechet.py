import numpy as np
import pytest
from scipy.linalg import sqrtm

from tokbench.errors import UndefinedMetricError
from tokbench.metrics.frechet import frechet_distance, moments


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return frechet_distance(moments(one), moments(other))


def test_moments_of_parts_add_up(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((50, 3))
    np.testing.assert_allclose(moments(frames[:20]) + moments(frames[20:]), moments(frames))


def test_it_is_the_formula_with_the_root_of_the_product(rng: np.random.Generator) -> None:
    one, other = (
        rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5)),
        2 * rng.standard_normal((200, 5)) + 0.3,
    )
    covariances = [np.cov(frames.T) for frames in (one, other)]
    gap = one.mean(axis=0) - other.mean(axis=0)
    expected = gap @ gap + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert distance(one, other) == pytest.approx(expected)
    assert distance(other, one) == pytest.approx(expected)


def test_in_one_dimension_it_is_that_of_means_and_deviations(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((1000, 1))
    frames = (frames - frames.mean()) / frames.std(ddof=1)
    assert distance(frames, 3 * frames + 2) == pytest.approx(2**2 + (3 - 1) ** 2)
    assert distance(frames, frames) == pytest.approx(0.0, abs=1e-6)


def test_features_that_depend_on_each_other_and_few_frames_are_no_trouble(rng: np.random.Generator) -> None:
    frames = rng.standard_normal((4, 2)) @ rng.standard_normal((2, 6))
    assert distance(frames, frames) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(UndefinedMetricError, match="needs two frames"):
        distance(frames[:1], frames)
