"""How often a classifier is right, and how sure that is.

A classifier was trained from several seeds; all of them answered the same items. Items belong to units, which are
speakers or utterances. Values are means over seeds. For an interval, units and seeds are drawn with replacement,
independently of each other, as both could have been others (the pigeonhole
bootstrap of Owen 2007, arXiv:0712.1111).

Axes: ``S`` seeds, ``N`` items, ``U`` units, ``V`` classes, ``R`` resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np

from tokbench.stats import crossed_draws, percentile_interval

__all__ = ["Answers", "Statistic", "difference", "estimate"]

Statistic = Literal["accuracy", "macro_f1", "micro_f1"]
"""The share of right answers, or the mean over classes of 2 · right / (given + true), those left out that no item
is of, or 2 · right / (given + true) over all classes but those of nothing."""
Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Answers:
    """What was answered, and what is true."""

    predicted: np.ndarray
    """int64 [S, N]."""
    labels: np.ndarray
    """int64 [N]."""
    units: Sequence[str]
    """Speaker or utterance of each item."""
    nothing: frozenset[int] = frozenset()
    """Classes that say that there is nothing, such as no value in a slot."""

    def __post_init__(self) -> None:
        if self.predicted.ndim != 2 or not self.predicted.shape[1] == len(self.labels) == len(self.units) > 0:  # noqa: PLR2004
            msg = f"expected answers [S, N] to as many labels and units, got {self.predicted.shape}, "
            raise ValueError(msg + f"{len(self.labels)} and {len(self.units)}")

    def take(self, index: np.ndarray) -> "Answers":
        """Return the answers to the items at ``index``."""
        units = [self.units[item] for item in index]
        return Answers(self.predicted[:, index], self.labels[index], units, self.nothing)

    @property
    def is_right(self) -> np.ndarray:
        """Which answers are right, bool [N, S]."""
        right: np.ndarray = (self.predicted == self.labels).T
        return right

    def parts(self, statistic: Statistic) -> np.ndarray | None:
        """Return what each item adds to ``statistic``, totals and weights, float64 [N, S, 2]; None for no ratio."""
        right = self.is_right.astype(np.float64)
        if statistic == "accuracy":
            return np.stack([right, np.ones_like(right)], axis=2)
        if statistic == "micro_f1":
            nothing = list(self.nothing)
            given, true = ~np.isin(self.predicted.T, nothing), ~np.isin(self.labels, nothing)
            return np.stack([2 * right * true[:, None], given.astype(np.float64) + true[:, None]], axis=2)
        return None

    @cached_property
    def counts(self) -> "_Counts":
        """What adds up over units."""
        _, unit = np.unique(np.array(self.units), return_inverse=True)
        num_classes = 1 + int(max(self.labels.max(), self.predicted.max()))
        shape = (int(unit.max()) + 1, num_classes)
        true, given = np.zeros(shape), np.zeros((len(self.predicted), *shape))
        right = np.zeros_like(given)
        np.add.at(true, (unit, self.labels), 1)
        for seed, answers in enumerate(self.predicted):
            np.add.at(given[seed], (unit, answers), 1)
            np.add.at(right[seed], (unit, answers), answers == self.labels)
        something = np.array([place not in self.nothing for place in range(num_classes)])
        return _Counts(true, given, right, something)


@dataclass(frozen=True)
class _Counts:
    true: np.ndarray
    """float64 [U, V]."""
    given: np.ndarray
    """float64 [S, U, V]."""
    right: np.ndarray
    """float64 [S, U, V]."""
    something: np.ndarray
    """bool [V], which classes are not of nothing."""

    def values(self, statistic: Statistic, weights: np.ndarray) -> np.ndarray:
        """Return [R, S] for the units drawn ``weights`` [R, U] times."""
        true = weights @ self.true
        rows = []
        for given, right in zip(self.given, self.right, strict=True):
            if statistic == "accuracy":
                rows.append((weights @ right.sum(axis=1)) / true.sum(axis=1))
                continue
            if statistic == "micro_f1":
                parts = (weights @ given + true)[:, self.something].sum(axis=1)
                rows.append(2 * (weights @ right)[:, self.something].sum(axis=1) / np.maximum(parts, 1))
                continue
            f1 = 2 * (weights @ right) / np.maximum(weights @ given + true, 1)
            rows.append((f1 * (true > 0)).sum(axis=1) / (true > 0).sum(axis=1))
        return np.stack(rows, axis=1)

    def draws(self, statistic: Statistic, salt: int) -> np.ndarray | None:
        """Return [R] of resampled units and seeds; None for fewer than 2 units."""
        num_seeds, num_units, _ = self.given.shape
        values = partial(self.values, statistic)
        return crossed_draws(values, num_units=num_units, num_seeds=num_seeds, salt=salt)

    def value(self, statistic: Statistic) -> float:
        return float(self.values(statistic, np.ones((1, self.true.shape[0]))).mean())


def estimate(answers: Answers, statistic: Statistic) -> tuple[float, Interval | None]:
    """Return the mean over seeds and its 95 % interval, None for fewer than 2 units."""
    draws = answers.counts.draws(statistic, 0)
    return answers.counts.value(statistic), None if draws is None else percentile_interval(draws)


def difference(first: Answers, second: Answers, statistic: Statistic) -> tuple[float, Interval | None]:
    """Return first less second on the same items, with the interval of a paired bootstrap.

    Units are drawn for both at once; seeds are not pairs, and are drawn for each. Raises :class:`ValueError` for
    answers to different items.
    """
    if list(first.units) != list(second.units) or not np.array_equal(first.labels, second.labels):
        msg = "answers to different items cannot be compared"
        raise ValueError(msg)
    value = first.counts.value(statistic) - second.counts.value(statistic)
    mine, theirs = first.counts.draws(statistic, 0), second.counts.draws(statistic, 1)
    return value, None if mine is None or theirs is None else percentile_interval(mine - theirs)
