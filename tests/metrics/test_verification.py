"""The equal error rate against scikit-learn, against a loop over thresholds, and where it is known."""

import tracemalloc

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from tokbench.metrics.verification import Trials, bootstrap, cross_trials, equal_error_rate


def trials(rng: np.random.Generator, num_trials: int = 400, num_speakers: int = 6, step: float = 0.0) -> Trials:
    first, second = rng.integers(0, num_speakers, (2, num_trials))
    scores = rng.normal(np.where(first == second, 1.2, 0.0), 1.0)
    return Trials(np.round(scores / step) * step if step else scores, first, second)


@pytest.mark.parametrize("step", [0.0, 0.5], ids=["distinct", "tied"])
@pytest.mark.parametrize("seed", range(5))
def test_the_rate_is_where_the_curve_of_scikit_learn_crosses(seed: int, step: float) -> None:
    made = trials(np.random.default_rng(seed), step=step)
    accepted, right, _ = roc_curve(made.is_target, made.scores, drop_intermediate=False)
    expected = brentq(lambda x: 1 - x - interp1d(accepted, right)(x), 0.0, 1.0)
    assert equal_error_rate(made) == pytest.approx(expected, abs=1e-9)


def test_the_rate_lies_between_both_errors_of_the_nearest_threshold(rng: np.random.Generator) -> None:
    made = trials(rng)
    both = []
    for threshold in made.scores:
        missed = sum(s < threshold for s in made.scores[made.is_target]) / made.is_target.sum()
        false = sum(s >= threshold for s in made.scores[~made.is_target]) / (~made.is_target).sum()
        both.append((abs(missed - false), missed, false))
    _, missed, false = min(both)
    found = equal_error_rate(made)
    assert found is not None
    assert found == pytest.approx((missed + false) / 2, abs=0.02)


def test_known_rates() -> None:
    same, other = [0, 0, 0, 0], [1, 1, 1, 1]
    first, second = np.array(same + same), np.array(same + other)
    apart = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1])
    assert equal_error_rate(Trials(apart, first, second)) == 0.0
    assert equal_error_rate(Trials(-apart, first, second)) == 1.0
    assert equal_error_rate(Trials(np.zeros(8), first, second)) == 0.5
    one_wrong = np.array([0.9, 0.8, 0.7, 0.25, 0.5, 0.3, 0.2, 0.1])
    assert equal_error_rate(Trials(one_wrong, first, second)) == pytest.approx(0.25)


def test_one_kind_of_trials_alone_has_no_rate() -> None:
    ones, scores = np.ones(3, int), np.arange(3.0)
    assert equal_error_rate(Trials(scores, ones, ones)) is None
    assert equal_error_rate(Trials(scores, ones, 0 * ones)) is None
    assert equal_error_rate(Trials(scores[:0], ones[:0], ones[:0])) is None


def test_trials_are_all_pairs_but_a_recording_with_itself(rng: np.random.Generator) -> None:
    enrolled, tested = rng.standard_normal((2, 5, 3))
    speakers = np.array([0, 0, 1, 1, 2])
    made = cross_trials(enrolled, tested, speakers)
    slow = {
        (round(float(enrolled[i] @ tested[j]), 9), speakers[i], speakers[j])
        for i in range(5)
        for j in range(5)
        if i != j
    }
    assert {
        (round(float(s), 9), f, t) for s, f, t in zip(made.scores, made.first, made.second, strict=True)
    } == slow
    assert made.is_target.sum() == 4


@pytest.mark.parametrize("max_trials", [None, 7, 40])
def test_trials_are_drawn_from_all_pairs_in_their_order(rng: np.random.Generator, max_trials: int | None) -> None:
    enrolled, tested = rng.standard_normal((2, 23, 3))
    speakers = np.array([0, 3, 1, 1, 0, 2, 2, 2, 2, 1, 0, 0, 3, 0, 1, 2, 0, 0, 1, 3, 0, 4, 1])
    pairs = [(i, j) for i in range(23) for j in range(23) if i != j]
    generator, expected = np.random.default_rng(5), []
    for is_target in (True, False):
        some = [(i, j) for i, j in pairs if (speakers[i] == speakers[j]) == is_target]
        if max_trials is not None and len(some) > max_trials:
            some = [some[place] for place in np.sort(generator.choice(len(some), max_trials, replace=False))]
        expected += some
    made = cross_trials(enrolled, tested, speakers, max_trials=max_trials, seed=5)
    np.testing.assert_allclose(made.scores, [enrolled[i] @ tested[j] for i, j in expected])
    assert made.first.tolist() == [speakers[i] for i, _ in expected]
    assert made.second.tolist() == [speakers[j] for _, j in expected]


def test_trials_that_are_not_drawn_take_no_memory(rng: np.random.Generator) -> None:
    enrolled = rng.standard_normal((20_000, 4)).astype(np.float32)
    tracemalloc.start()
    cross_trials(enrolled, enrolled, np.arange(20_000) % 50, max_trials=1000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100e6  # all pairs would be 400 million


def test_trials_are_drawn_once_and_alike(rng: np.random.Generator) -> None:
    enrolled, tested = rng.standard_normal((2, 30, 3))
    speakers = np.arange(30) % 5
    few, again = (cross_trials(enrolled, tested, speakers, max_trials=40) for _ in range(2))
    assert few.is_target.sum() == 40
    assert (~few.is_target).sum() == 40
    np.testing.assert_array_equal(few.scores, again.scores)


def test_the_interval_is_that_of_trials_written_out_for_each_draw(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokbench.metrics.verification.NUM_RESAMPLES", 60)
    made = trials(rng, num_trials=150, num_speakers=5)
    generator, rates = np.random.default_rng([0, 5]), []
    for _ in range(60):
        counts = generator.multinomial(5, np.full(5, 0.2))
        times = [
            counts[a] if a == b else counts[a] * counts[b] for a, b in zip(made.first, made.second, strict=True)
        ]
        rates.append(
            equal_error_rate(Trials(*(np.repeat(x, times) for x in (made.scores, made.first, made.second))))
        )
    found = bootstrap(made)
    assert found == pytest.approx(np.quantile([rate for rate in rates if rate is not None], [0.025, 0.975]))
    value = equal_error_rate(made)
    assert value is not None
    assert found is not None
    assert found[0] < value < found[1]


def test_two_speakers_have_no_interval(rng: np.random.Generator) -> None:
    assert bootstrap(trials(rng, num_speakers=2)) is None
