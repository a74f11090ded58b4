"""Mutual information: a Gaussian pair, of which it is known, and loops over pairs."""

import math

import numpy as np
import pytest

from tokbench.metrics.text_information import Likelihoods, bound, contrast, estimate


def likelihoods(matrix: np.ndarray, /, **changes: object) -> Likelihoods:
    """Return those of one seed, of a matrix [N, N] whose diagonal is of the own texts."""
    number = len(matrix)
    parts = {
        "own": np.diag(matrix)[None],
        "others": matrix[None],
        "columns": np.arange(number),
        "units": [str(place) for place in range(number)],
        "lengths": np.ones(number, np.int64),
    }
    return Likelihoods(**{**parts, **changes})  # type: ignore[arg-type]


def gaussian(correlation: float, number: int, *, assumed: float | None = None) -> Likelihoods:
    """Return ``log q(y | x)`` of standard normal pairs, of the true conditional if no other one is ``assumed``."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal(number)
    y = correlation * x + math.sqrt(1 - correlation**2) * rng.standard_normal(number)
    slope = correlation if assumed is None else assumed
    variance = 1 - slope**2
    return likelihoods(
        -((y[None] - slope * x[:, None]) ** 2) / (2 * variance) - math.log(2 * math.pi * variance) / 2
    )


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
def test_of_a_gaussian_pair_both_estimates_enclose_what_is_known(correlation: float) -> None:
    known = -math.log(1 - correlation**2) / 2
    pairs = gaussian(correlation, 1000)
    above, (low, high) = estimate(contrast, pairs)  # type: ignore[misc]
    # Of the true conditional, E log p(y|x) - E E log p(y'|x) = rho^2 / (1 - rho^2).
    assert above == pytest.approx(correlation**2 / (1 - correlation**2), rel=0.15, abs=0.03)
    assert low < correlation**2 / (1 - correlation**2) < high
    below, _ = estimate(bound, pairs)
    # The mean of the conditional over 1000 draws of x is all but the marginal, so that the bound is nearly met.
    assert below == pytest.approx(known, rel=0.1, abs=0.03)
    assert below < above


def test_independent_pairs_tell_nothing() -> None:
    pairs = gaussian(0.0, 300)
    assert estimate(contrast, pairs)[0] == pytest.approx(0.0, abs=1e-9)
    assert estimate(bound, pairs)[0] == pytest.approx(0.0, abs=1e-9)


def test_a_model_that_is_too_sure_has_a_higher_contrast_and_no_higher_bound() -> None:
    honest, sure = gaussian(0.6, 300), gaussian(0.6, 300, assumed=0.95)
    assert estimate(contrast, sure)[0] > 2 * estimate(contrast, honest)[0]
    assert estimate(bound, sure)[0] < estimate(bound, honest)[0]


def test_the_bound_does_not_pass_the_logarithm_of_the_number_of_texts() -> None:
    perfect = likelihoods(np.where(np.eye(8, dtype=bool), 0.0, -1e5))
    value, interval = estimate(bound, perfect)
    assert value == pytest.approx(math.log(8))
    # Nor is a draw of fewer different texts bounded by less: they are told from all others.
    assert interval == pytest.approx((value, value))
    assert estimate(contrast, perfect)[0] == pytest.approx(1e5 * 7 / 8)


def looped(others: np.ndarray, weights: np.ndarray, lengths: np.ndarray) -> tuple[float, float, float]:
    """Return contrast by recording, by character, and bound of recordings drawn ``weights`` [N] times."""
    drawn = [place for place, times in enumerate(weights) for _ in range(int(times))]
    contrasts, marginals = [], []
    for i in drawn:
        readable = [others[i, j] for j in drawn if np.isfinite(others[i, j])]
        contrasts.append(others[i, i] - sum(readable) / len(readable))
    for j in drawn:
        made = [math.exp(others[i, j] / lengths[j]) for i in range(len(others)) if not np.isnan(others[i, j])]
        marginals.append(others[j, j] / lengths[j] - math.log(sum(made) / len(made)))
    num_characters = sum(int(lengths[i]) for i in drawn)
    return sum(contrasts) / len(drawn), sum(contrasts) / num_characters, sum(marginals) / len(drawn)


def test_as_loops_over_pairs_that_are_left_out_and_recordings_that_are_drawn_again(
    rng: np.random.Generator,
) -> None:
    others = rng.normal(-6, 2, (7, 7))
    others[np.arange(7), np.arange(7)] += 4
    others[0, 3] = others[5, 2] = -np.inf
    others[:3, 3:] = others[3:, :3] = np.nan
    others[0, 2] = others[4, 6] = -np.inf
    lengths = rng.integers(3, 9, 7)
    pairs = likelihoods(others, lengths=lengths)
    for weights in (np.ones(7), np.array([2.0, 0, 1, 0, 1, 3, 0])):
        expected = looped(others, weights, lengths)
        assert contrast(pairs, weights[None])[0, 0] == pytest.approx(expected[0])
        assert contrast(pairs, weights[None], per_character=True)[0, 0] == pytest.approx(expected[1])
        assert bound(pairs, weights[None])[0, 0] == pytest.approx(expected[2])


def test_some_of_the_texts_stand_for_all(rng: np.random.Generator) -> None:
    others = rng.normal(-6, 2, (6, 6))
    some = np.array([1, 4])
    pairs = likelihoods(others, others=others[None][:, :, some], columns=some)
    weights = np.ones((1, 6))
    assert contrast(pairs, weights)[0, 0] == pytest.approx(np.diag(others).mean() - others[:, some].mean())
    expected = np.mean([others[j, j] - math.log(np.exp(others[:, j]).mean()) for j in some])
    assert bound(pairs, weights)[0, 0] == pytest.approx(expected)


def test_a_draw_without_any_text_has_no_value(rng: np.random.Generator) -> None:
    some = np.array([0])
    pairs = likelihoods(rng.normal(-6, 2, (3, 3)), others=rng.normal(-6, 2, (1, 3, 1)), columns=some)
    weights = np.array([[0.0, 2.0, 1.0]])
    assert np.isnan([contrast(pairs, weights)[0, 0], bound(pairs, weights)[0, 0]]).all()
    assert np.isfinite(estimate(contrast, pairs)[1]).all()  # type: ignore[arg-type]


def test_units_are_drawn_together_and_seeds_are_averaged(rng: np.random.Generator) -> None:
    others = rng.normal(-6, 2, (2, 6, 6))
    own = np.stack([np.diag(one) for one in others])
    pairs = likelihoods(others[0], own=own, others=others, units=["a", "a", "b", "b", "c", "c"])
    expected = [own[seed].mean() - others[seed].mean() for seed in (0, 1)]
    value, interval = estimate(contrast, pairs)
    assert value == pytest.approx(np.mean(expected))
    assert interval is not None
    assert interval[0] < value < interval[1]
    weights = np.array([[2.0, 0.0, 1.0]])
    repeated = np.array([2.0, 2, 0, 0, 1, 1])
    assert contrast(pairs, weights)[0, 1] == pytest.approx(looped(others[1], repeated, np.ones(6))[0])
    assert estimate(contrast, likelihoods(others[0], units=["a"] * 6))[1] is None


def test_what_does_not_fit_together_is_told() -> None:
    with pytest.raises(ValueError, match=r"expected log-likelihoods \(1, 3, 3\)"):
        likelihoods(np.zeros((3, 3)), others=np.zeros((1, 3, 2)))
