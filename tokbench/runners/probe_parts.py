"""How the items of a probe are split into training, validation and test.

Axes: ``N`` items.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from tokbench.errors import UndefinedMetricError
from tokbench.specs.base import StrictModel

__all__ = ["Part", "Splitting", "parts_of"]


class Splitting(StrictModel):
    """How the data are split."""

    split: Literal["speaker", "label", "column", "item"] = "speaker"
    """What training and test have not in common: speakers, or values of ``split_column``; or a column says which
    items are for training and which for the test; or items are dealt out at random."""
    split_column: str = "split"
    """The column of ``label`` and ``column``; in the latter ``test`` and ``validation`` are known, all else is for
    training."""
    num_folds: int = Field(default=6, gt=2)
    """Parts that speakers, values or items are dealt into. Each part is the test once, the next one validation, and
    the others are for training. Where a column tells the test, or there are two parts only, one of as many parts of
    the rest is validation, by speaker if there are enough of them, and by utterance otherwise."""

    @property
    def needs_validation(self) -> bool:
        """Whether anything is chosen on validation items; where nothing is, they are for training."""
        return False


@dataclass(frozen=True)
class Part:
    """Items of one training and of its test, int64 indices."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def parts_of(columns: Mapping[str, Sequence[str]], kept: np.ndarray, arguments: Splitting) -> list[Part]:
    """Split the items ``kept`` (int64 indices) as the task says; raises :class:`UndefinedMetricError`.

    Groups are put in the order of their SHA-256 and dealt out in turn, so that a split depends on nothing but
    their names. Where nothing is chosen on validation items, they are for training.
    """
    if arguments.split != "column":
        dealt = _dealt([columns["group"][item] for item in kept], arguments, "the test")
        folds = [kept[dealt == fold] for fold in range(int(dealt.max()) + 1)]
        return [_part(folds, fold, columns, arguments) for fold in range(len(folds))]
    told = np.array([columns["part"][item] for item in kept])
    test, train = kept[told == "test"], kept[(told != "test") & (told != "validation")]
    if not len(test) or not len(train) or not all(told):
        raise UndefinedMetricError(f"the column {arguments.split_column!r} does not tell training from test")
    validation = kept[told == "validation"]
    if not arguments.needs_validation:
        return [Part(np.sort(np.concatenate([train, validation])), validation[:0], test)]
    if not len(validation):
        train, validation = _set_apart(train, columns, arguments)
    return [Part(train, validation, test)]


def _part(
    folds: Sequence[np.ndarray], fold: int, columns: Mapping[str, Sequence[str]], arguments: Splitting
) -> Part:
    if len(folds) == _FEWEST_FOLDS:
        train = folds[1 - fold]
        validation = train[:0]
        if arguments.needs_validation:
            train, validation = _set_apart(train, columns, arguments)
        return Part(train, validation, folds[fold])
    after = (fold + 1) % len(folds) if arguments.needs_validation else fold
    others = [items for place, items in enumerate(folds) if place not in {fold, after}]
    return Part(np.sort(np.concatenate(others)), folds[after][: None if after != fold else 0], folds[fold])


def _set_apart(
    train: np.ndarray, columns: Mapping[str, Sequence[str]], arguments: Splitting
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is left for training, and validation: by speaker if there are enough, and else by utterance."""
    speakers = {columns["speaker"][item] for item in train}
    by = "speaker" if len(speakers) >= arguments.num_folds else "utterance"
    dealt = _dealt([columns[by][item] for item in train], arguments, "validation")
    return train[dealt > 0], train[dealt == 0]


def _dealt(groups: Sequence[str], arguments: Splitting, what: str) -> np.ndarray:
    """Return the fold of each item."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    num_folds = min(arguments.num_folds, len(order))
    if num_folds < _FEWEST_FOLDS:
        raise UndefinedMetricError(f"one group by {arguments.split} is too few to set {what} apart")
    fold = {group: place % num_folds for place, group in enumerate(order)}
    return np.array([fold[group] for group in groups])


_FEWEST_FOLDS = 2
