"""Accuracy and macro F1, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from tokbench.metrics.classification import Answers, difference, estimate


def answers(seed: int = 0, *, number: int = 200, units: int = 10, right: float = 0.6) -> Answers:
    generator = np.random.default_rng(seed)
    labels = np.random.default_rng(5).integers(0, 4, number)
    other = generator.integers(0, 5, (3, number))  # a fifth class that nothing is of
    predicted = np.where(generator.random((3, number)) < right, labels, other)
    return Answers(predicted, labels, [f"u{place % units}" for place in range(number)])


def test_values_are_those_of_scikit_learn() -> None:
    made = answers()
    expected = [accuracy_score(made.labels, row) for row in made.predicted]
    assert estimate(made, "accuracy")[0] == pytest.approx(np.mean(expected))
    present = np.unique(made.labels)
    expected = [f1_score(made.labels, row, labels=present, average="macro") for row in made.predicted]
    assert estimate(made, "macro_f1")[0] == pytest.approx(np.mean(expected))


def test_nothing_is_not_counted_where_something_was_to_be_found() -> None:
    made = answers()
    found = Answers(made.predicted, made.labels, made.units, frozenset({1, 4}))
    expected = [f1_score(made.labels, row, labels=[0, 2, 3], average="micro") for row in made.predicted]
    assert estimate(found, "micro_f1")[0] == pytest.approx(np.mean(expected))
    some = np.arange(0, 200, 3)
    part = [f1_score(made.labels[some], row[some], labels=[0, 2, 3], average="micro") for row in made.predicted]
    assert estimate(found.take(some), "micro_f1")[0] == pytest.approx(np.mean(part))


def test_the_interval_is_that_of_a_slow_loop() -> None:
    made = answers(units=7)
    _, interval = estimate(made, "accuracy")
    assert interval is not None
    generator, draws = np.random.default_rng(1), []
    unit = np.array([int(name[1:]) for name in made.units])
    for _ in range(1000):
        items = np.concatenate([np.flatnonzero(unit == drawn) for drawn in generator.integers(0, 7, 7)])
        seeds = generator.integers(0, 3, 3)
        draws.append(np.mean(made.predicted[seeds][:, items] == made.labels[items]))
    assert interval == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)


def test_one_unit_has_no_interval() -> None:
    assert estimate(answers(units=1), "macro_f1")[1] is None


def test_answers_that_are_all_right_are_all_right() -> None:
    made = answers(right=1.1)
    assert estimate(made, "accuracy") == (1.0, (1.0, 1.0))
    assert estimate(made, "macro_f1") == (1.0, (1.0, 1.0))


def test_a_difference_is_paired_by_units() -> None:
    labels = np.arange(100) % 2
    units = [f"u{place // 5}" for place in range(100)]
    hard = np.array([place // 5 % 2 for place in range(100)])  # every other unit is all wrong
    first = Answers(np.where(hard, 1 - labels, labels)[None], labels, units)
    worse = first.predicted.copy()
    worse[0, ::10] = 1 - labels[::10]  # and one item of each easy unit as well
    second = Answers(worse, labels, units)
    value, interval = difference(first, second, "accuracy")
    assert value == pytest.approx(0.1)
    assert interval is not None
    alone = estimate(first, "accuracy")[1]
    assert alone is not None
    assert interval[1] - interval[0] < (alone[1] - alone[0]) / 3
    with pytest.raises(ValueError, match="different items"):
        difference(first, answers(), "accuracy")


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="as many labels"):
        Answers(np.zeros((1, 3), np.int64), np.zeros(2, np.int64), ["a", "b"])
