import math

import numpy as np
import pytest
import scipy.stats

from tokbench import stats


def ratio(total: np.ndarray, weight: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.sum(total, axis=axis) / np.sum(weight, axis=axis)


def test_the_bootstrap_interval_of_a_mean_agrees_with_scipy(rng: np.random.Generator) -> None:
    values = rng.gamma(2.0, size=80)
    low, high = stats.bootstrap_interval(values[:, None], np.ones((80, 1)), rms=[False])[0]
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.06 * width)
    assert high == pytest.approx(expected.high, abs=0.06 * width)


def test_the_bootstrap_of_an_error_rate_resamples_errors_with_their_words(
    rng: np.random.Generator,
) -> None:
    words = rng.integers(1, 40, size=120).astype(float)
    errors = rng.binomial(words.astype(int), 0.2).astype(float)
    low, high = stats.bootstrap_interval(errors[:, None], words[:, None], rms=[False])[0]
    expected = scipy.stats.bootstrap(
        (errors, words), ratio, paired=True, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.06 * width)
    assert high == pytest.approx(expected.high, abs=0.06 * width)


def test_the_interval_of_a_root_mean_square_is_the_root_of_the_interval_of_the_mean_square(
    rng: np.random.Generator,
) -> None:
    squares = rng.gamma(2.0, size=(50, 1)) ** 2
    weight = np.ones((50, 1))
    rms = stats.bootstrap_interval(squares, weight, rms=[True])
    assert rms == pytest.approx(np.sqrt(stats.bootstrap_interval(squares, weight, rms=[False])))


def test_resampling_speakers_widens_the_interval_by_what_their_utterances_share(rng: np.random.Generator) -> None:
    offsets = rng.normal(size=20)
    values = (offsets[:, None] + 0.01 * rng.normal(size=(20, 25))).reshape(-1, 1)
    speakers = [f"speaker {index // 25}" for index in range(500)]
    weight = np.ones_like(values)
    low, high = stats.bootstrap_interval(values, weight, rms=[False], groups=speakers)[0]
    # Utterances of a speaker are nearly equal, so that the standard error is that of 20 values and not of 500.
    assert (high - low) == pytest.approx(2 * 1.96 * offsets.std() / np.sqrt(20), rel=0.12)
    by_utterance = stats.bootstrap_interval(values, weight, rms=[False])[0]
    assert high - low > 4 * (by_utterance[1] - by_utterance[0])


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says(rng: np.random.Generator) -> None:
    values = rng.exponential(size=(100, 300))  # 300 corpora of 100 utterances, true mean 1
    intervals = stats.bootstrap_interval(values, np.ones_like(values), rms=[False] * 300)
    covered = np.mean((intervals[:, 0] <= 1.0) & (intervals[:, 1] >= 1.0))
    assert 0.89 <= covered <= 0.98


def test_one_unit_has_no_interval() -> None:
    assert np.isnan(stats.bootstrap_interval(np.ones((1, 1)), np.ones((1, 1)), rms=[False])).all()
    one_speaker = stats.bootstrap_interval(np.ones((9, 1)), np.ones((9, 1)), rms=[False], groups=["anna"] * 9)
    assert np.isnan(one_speaker).all()


def test_a_metric_that_counted_nothing_has_no_interval() -> None:
    assert np.isnan(stats.bootstrap_interval(np.zeros((9, 1)), np.zeros((9, 1)), rms=[False])).all()


def test_a_failed_utterance_leaves_no_interval() -> None:
    total = np.array([[1.0], [np.nan], [2.0]])
    assert np.isnan(stats.bootstrap_interval(total, total * 0 + 1, rms=[False])).all()


def test_groups_are_summed_in_the_order_of_their_first_appearance() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    assert stats.group_sums(values, ["b", "a", "b"]).tolist() == [[5.0, 50.0], [2.0, 20.0]]
    assert stats.group_sums(values, None) is values


def test_resamples_do_not_depend_on_what_else_is_resampled(rng: np.random.Generator) -> None:
    values, weight = rng.normal(size=(30, 5)), np.ones((30, 5))
    together = stats.resample(values, weight, rms=[False] * 5)
    alone = stats.resample(values[:, 3:4], weight[:, 3:4], rms=[False])
    assert together[:, 3] == pytest.approx(alone[:, 0], abs=1e-12)
    assert together.shape == (stats.NUM_RESAMPLES, 5)


def test_a_paired_difference_agrees_with_scipy(rng: np.random.Generator) -> None:
    hard = rng.normal(0, 1, size=60)
    first, second = hard + 0.1 + 0.3 * rng.normal(size=60), hard + 0.3 * rng.normal(size=60)
    ones = np.ones(60)
    found = stats.paired((first, ones), (second, ones))
    assert found is not None
    assert found.value == pytest.approx(first.mean() - second.mean())
    expected = scipy.stats.bootstrap(
        (first - second,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.high, abs=0.06 * width)


def test_the_p_value_agrees_with_scipys_permutation_test(rng: np.random.Generator) -> None:
    first, second = rng.normal(0.12, 0.5, size=60), rng.normal(0.0, 0.5, size=60)
    ones = np.ones(60)
    found = stats.paired((first, ones), (second, ones))
    expected = scipy.stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        permutation_type="samples",
        n_resamples=20000,
        rng=np.random.default_rng(1),
    )
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.04)


def test_p_values_are_uniform_where_nothing_differs(rng: np.random.Generator) -> None:
    ones = np.ones(40)
    found = [stats.paired((rng.normal(size=40), ones), (rng.normal(size=40), ones), seed=i) for i in range(200)]
    p_values = [item.p_value for item in found if item is not None]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


def test_a_codec_is_tied_with_itself(rng: np.random.Generator) -> None:
    scores = rng.normal(size=20), np.ones(20)
    found = stats.paired(scores, scores)
    assert found == stats.Difference(value=0.0, low=0.0, high=0.0, p_value=1.0, num_units=20)
    assert found.is_tied


def test_a_small_but_constant_advantage_is_no_tie(rng: np.random.Generator) -> None:
    hard, ones = rng.normal(size=20), np.ones(20)
    found = stats.paired((hard + 0.01, ones), (hard, ones))
    assert found is not None
    assert not found.is_tied
    assert found.p_value < 0.01


def test_swapping_the_codecs_swaps_the_sign(rng: np.random.Generator) -> None:
    first, second = (rng.gamma(2.0, size=30), np.ones(30)), (rng.gamma(2.0, size=30), np.ones(30))
    one, other = stats.paired(first, second, rms=True), stats.paired(second, first, rms=True)
    assert one is not None
    assert other is not None
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.value == pytest.approx(np.sqrt(first[0].mean()) - np.sqrt(second[0].mean()))


def test_speakers_are_compared_as_wholes(rng: np.random.Generator) -> None:
    ones = np.ones(12)
    scores = rng.normal(size=12), ones
    found = stats.paired(scores, (rng.normal(size=12), ones), groups=["a", "b", "c"] * 4)
    assert found is not None
    assert found.num_units == 3


def test_a_comparison_without_anything_counted_is_none() -> None:
    nothing = np.zeros(5), np.zeros(5)
    assert stats.paired(nothing, nothing) is None
    assert stats.paired((np.ones(1), np.ones(1)), (np.ones(1), np.ones(1))) is None


def test_the_jackknife_of_a_mean_is_the_textbook_standard_error(rng: np.random.Generator) -> None:
    values = rng.normal(size=25)
    leave_one_out = np.array([np.delete(values, index).mean() for index in range(25)])
    interval = stats.jackknife_interval(float(values.mean()), leave_one_out)
    error = scipy.stats.sem(values)
    assert interval is not None
    assert interval == pytest.approx(scipy.stats.norm.interval(0.95, loc=values.mean(), scale=error))


def test_the_jackknife_needs_two_groups() -> None:
    assert stats.jackknife_interval(1.0, np.array([1.0])) is None
    assert stats.jackknife_interval_of(lambda total: float(total[0]), np.ones((1, 2, 1))) is None


def test_the_jackknife_of_sums_is_that_of_their_ratio_with_what_seeds_add(rng: np.random.Generator) -> None:
    values, shift = rng.normal(size=25), 0.3
    sums = np.stack([np.stack([values + seed * shift, np.ones(25)], axis=1) for seed in range(2)], axis=1)
    interval = stats.jackknife_interval_of(lambda total: float(total[0] / total[1]), sums)
    error = np.hypot(scipy.stats.sem(values), scipy.stats.sem([0.0, shift]))
    assert interval == pytest.approx(scipy.stats.norm.interval(0.95, loc=values.mean() + shift / 2, scale=error))


def test_the_jackknife_leaves_out_speakers_as_wholes(rng: np.random.Generator) -> None:
    values, speakers = rng.normal(size=12), [f"spk{number // 3}" for number in range(12)]
    sums = np.stack([values, np.ones(12)], axis=1)[:, None]
    interval = stats.jackknife_interval_of(lambda total: float(total[0] / total[1]), sums, speakers)
    error = scipy.stats.sem(values.reshape(4, 3).mean(axis=1))
    assert interval == pytest.approx(scipy.stats.norm.interval(0.95, loc=values.mean(), scale=error))


def test_independent_values_of_few_units_are_told_apart_as_seldom_as_it_says(rng: np.random.Generator) -> None:
    values = rng.normal(size=(400, 2, 6))
    intervals = [
        stats.bootstrap_interval(pair.T, np.ones((6, 2)), rms=[False, False], seed=number)
        for number, pair in enumerate(values)
    ]
    clear = 0
    for pair, ends in zip(values, intervals, strict=True):
        mine, theirs = (
            (float(one.mean()), float(high - low) / 2) for one, (low, high) in zip(pair, ends, strict=True)
        )
        _, low, high = stats.independent(mine, theirs, 6)
        clear += not low <= 0.0 <= high
    assert 0.02 <= clear / len(values) <= 0.08


def test_of_one_unit_and_of_no_interval_nothing_is_clear() -> None:
    assert stats.independent((1.0, 0.1), (5.0, 0.1), 1)[1:] == (-math.inf, math.inf)
    assert stats.independent((1.0, math.inf), (5.0, 0.1), 9)[1:] == (-math.inf, math.inf)
    assert stats.independent((1.0, 0.0), (5.0, 0.0), 9) == (-4.0, -4.0, -4.0)
