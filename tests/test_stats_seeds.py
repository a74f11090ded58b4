"""Designs that were trained from several seeds, compared on the same utterances."""

import numpy as np
import pytest
import scipy.stats

from tokbench import stats

Scores = tuple[np.ndarray, np.ndarray]


def scores(
    rng: np.random.Generator, num_seeds: int, *, hard: np.ndarray, mean: float = 0.0, spread: float = 0.0
) -> list[Scores]:
    """Return what each seed scores on utterances of which some are ``hard`` for all."""
    offsets = mean + spread * rng.normal(size=num_seeds)
    return [(hard + offset + 0.1 * rng.normal(size=len(hard)), np.ones(len(hard))) for offset in offsets]


def test_one_seed_of_each_is_the_paired_comparison(rng: np.random.Generator) -> None:
    hard = rng.normal(size=30)
    first, second = scores(rng, 1, hard=hard), scores(rng, 1, hard=hard, mean=0.1)
    assert stats.paired_over_seeds(first, second) == stats.paired(first[0], second[0])


def test_seeds_that_do_not_differ_leave_the_interval_of_the_utterances(rng: np.random.Generator) -> None:
    ones = np.ones(200)
    first, second = (rng.normal(size=200), ones), (rng.normal(size=200), ones)
    found = stats.paired_over_seeds([first] * 3, [second] * 3)
    expected = scipy.stats.ttest_rel(first[0], second[0])
    low, high = expected.confidence_interval()
    assert found is not None
    assert found.value == pytest.approx(first[0].mean() - second[0].mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.03)


def test_utterances_that_do_not_differ_leave_the_test_of_welch(rng: np.random.Generator) -> None:
    hard, ones = rng.normal(size=50), np.ones(50)
    offsets = rng.normal(size=3), 3 * rng.normal(size=4)
    first, second = ([(hard + offset, ones) for offset in each] for each in offsets)
    expected = scipy.stats.ttest_ind(*offsets, equal_var=False)
    low, high = expected.confidence_interval()
    for found in (stats.paired_over_seeds(first, second), stats.welch(offsets[0].tolist(), offsets[1].tolist())):
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx(
            (np.diff(offsets_means(offsets))[0], low, high)
        )
        assert found.p_value == pytest.approx(expected.pvalue)


def offsets_means(offsets: tuple[np.ndarray, np.ndarray]) -> list[float]:
    return [offsets[1].mean(), offsets[0].mean()]


def test_the_interval_covers_the_truth_where_both_utterances_and_seeds_are_drawn(rng: np.random.Generator) -> None:
    hits = 0
    for number in range(200):
        hard = rng.normal(size=20)
        first, second = (scores(rng, 3, hard=hard, mean=mean, spread=0.2) for mean in (1.0, 0.5))
        found = stats.paired_over_seeds(first, second, seed=number)
        assert found is not None
        hits += found.low <= 0.5 <= found.high
    assert hits >= 186  # 95 % of 200, less a little over one standard error


@pytest.mark.parametrize("num_units", [3, 6])
def test_the_interval_of_few_speakers_covers_the_truth_as_often_as_it_says(
    num_units: int, rng: np.random.Generator
) -> None:
    ones, hits = np.ones(num_units), 0
    for number in range(400):
        first, second = (rng.normal(size=num_units) for _ in range(2))
        found = stats.paired((first, ones), (second, ones), seed=number)
        assert found is not None
        hits += found.is_tied
    assert 367 <= hits <= 393  # 95 % of 400, give or take three standard errors


def test_units_in_which_nothing_was_counted_say_nothing_of_how_sure_it_is() -> None:
    alone = np.array([1.0, 0.0, 0.0])
    assert stats.paired((alone, alone), (2 * alone, alone)) is None
    assert np.isnan(stats.bootstrap_interval(alone[:, None], alone[:, None], rms=[False])).all()


def test_a_single_seed_is_taken_to_vary_as_the_others_do(rng: np.random.Generator) -> None:
    sure = 0
    for number in range(300):
        hard = rng.normal(size=40)
        first, second = scores(rng, 3, hard=hard, spread=0.5), scores(rng, 1, hard=hard, spread=0.5)
        found = stats.paired_over_seeds(first, second, seed=number)
        assert found is not None
        sure += not found.is_tied
    assert sure <= 27  # 5 % of 300, and three standard errors


def test_ratios_are_taken_once_per_seed() -> None:
    weights = np.array([1.0, 3.0, 2.0])
    seeds = [(np.array([1.0, 6.0, 3.0]), weights), (np.array([2.0, 6.0, 4.0]), weights)]
    zero = [(np.zeros(3), weights)] * 2
    found = stats.paired_over_seeds(seeds, zero)
    assert found is not None
    assert found.value == pytest.approx((10 / 6 + 12 / 6) / 2)
    rms = stats.paired_over_seeds(seeds, zero, rms=True)
    assert rms is not None
    assert rms.value == pytest.approx((np.sqrt(10 / 6) + np.sqrt(2.0)) / 2)


def test_what_cannot_be_compared_is_none() -> None:
    nothing = [(np.zeros(3), np.zeros(3))] * 2
    assert stats.paired_over_seeds(nothing, nothing) is None
    single = [(np.ones(1), np.ones(1))] * 2
    assert stats.paired_over_seeds(single, single) is None
    assert stats.welch([1.0], [2.0]) is None
    assert stats.welch([1.0, 1.0], [1.0, 1.0]) == stats.Difference(0.0, 0.0, 0.0, 1.0, 4)
