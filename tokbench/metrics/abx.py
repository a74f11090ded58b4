"""ABX: whether a representation tells two categories apart.

A and X are of one category, B is of another; the error is the share of (A, B, X) in which X is nearer to B than to
A, a tie counting one half. What A, B and X share, such as the neighbouring phones and the speaker, makes a cell; X
may have to be of another speaker. Errors of cells are averaged level by level, and at last over pairs of
categories.

Every pair of items is compared once, however many cells it takes part in; what is held beside the features is one
number for each pair that occurs in a cell, and never one for a triplet.

Sources: Schatz et al. 2013, Evaluating speech features with the minimal-pair ABX task; the ``ABX_src`` of
Libri-Light (Kahn et al. 2020, arXiv:1912.07875); fastabx (Poli et al. 2025, arXiv:2505.02692), whose rules these
are.

Axes: ``N`` items, ``F`` frames of all items, ``D`` features.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor
from types import ModuleType
from typing import Literal

import numpy as np
import pandas as pd

from tokbench.metrics import dtw
from tokbench.stats import MIN_SPEAKERS, MIN_UNITS, NUM_RESAMPLES, percentile_interval

__all__ = [
    "Condition",
    "Distance",
    "Items",
    "abx_errors",
    "bootstrap",
    "collapse",
    "frames_of",
    "pair_errors",
    "pooled",
    "some_frames_of",
]

Distance = Literal["angular", "cosine", "euclidean", "kl-symmetric", "identical"]
_KL_EPSILON = 1e-6
"""Added to probabilities before their logarithm: fastabx."""
_PAIRS_AT_ONCE = 2**20
_HALF = Decimal("0.5")


def frames_of(start_s: float, end_s: float, frame_rate_hz: float, *, drop_last: bool = False) -> slice:
    """Return the frames of an item: those whose centres lie within it.

    Frame ``n`` has its centre at ``(n + 0.5) / frame_rate_hz``. The code of Libri-Light leaves out the last of
    them, which is what ``drop_last`` is for.
    """
    rate = Decimal(str(frame_rate_hz))
    first = ceil(Decimal(str(start_s)) * rate - _HALF)
    last = floor(Decimal(str(end_s)) * rate - _HALF)
    return slice(max(first, 0), max(last + (0 if drop_last else 1), 0))


def some_frames_of(start_s: float, end_s: float, frame_rate_hz: float, num_frames: int) -> slice:
    """Return the frames of an item among ``num_frames``: the one around its middle where no centre lies within it.

    So every item is asked of every tokenizer, and a slow one pays for frames that blur two phones. There is none at
    all where there are no frames.
    """
    found = frames_of(start_s, end_s, frame_rate_hz)
    first, last = found.start, min(found.stop, num_frames)
    if first < last:
        return slice(first, last)
    middle = min(int((start_s + end_s) / 2 * frame_rate_hz), num_frames - 1)
    return slice(max(middle, 0), middle + 1)


@dataclass(frozen=True)
class Items:
    """Features of N items, one after the other, with labels."""

    frames: np.ndarray
    """float32 [F, D]."""
    starts: np.ndarray
    """int64 [N + 1], where each item begins, and the end."""
    labels: pd.DataFrame
    """A row for each item: its category, and what else cells are made by."""

    def __post_init__(self) -> None:
        lengths = np.diff(self.starts)
        if len(lengths) != len(self.labels) or self.starts[-1] != len(self.frames) or not (lengths > 0).all():
            msg = (
                f"expected one label and at least one frame for each item, found {len(self.labels)} labels, "
                f"{len(lengths)} items and {int((lengths <= 0).sum())} empty ones over {len(self.frames)} frames"
            )
            raise ValueError(msg)


def pooled(items: Items, window: Literal["mean", "hamming"] = "mean") -> Items:
    """Return ``items`` with the mean of its frames in the place of each, all alike or under a Hamming window.

    The window over F frames is ``0.54 - 0.46 cos(2 pi n / (F - 1))`` for n from 0 to F - 1, as in fastabx.
    """
    lengths = np.diff(items.starts)
    weights = np.ones(len(items.frames))
    if window == "hamming":
        place = np.arange(len(items.frames)) - np.repeat(items.starts[:-1], lengths)
        weights = 0.54 - 0.46 * np.cos(2 * np.pi * place / np.repeat(np.maximum(lengths - 1, 1), lengths))
    sums = np.add.reduceat(items.frames * weights[:, None], items.starts[:-1], axis=0, dtype=np.float64)
    means = (sums / np.add.reduceat(weights, items.starts[:-1])[:, None]).astype(np.float32)
    return Items(means, np.arange(len(means) + 1), items.labels)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What cells are made of."""

    on: str
    """Column of the categories that are to be told apart."""
    by: tuple[str, ...] = ()
    """Columns that A, B and X have in common."""
    across: str | None = None
    """Column that A and B have in common, and in which X differs from them."""
    max_items: int | None = None
    """Items of one category in one context that are used at most, drawn once."""
    max_across: int | None = None
    """Values of ``across`` of X that are used at most for a pair of categories, drawn for each."""
    seed: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of labels that cells are made by."""
        return (self.on, *self.by, *([self.across] if self.across else ()))


def abx_errors(
    items: Items, condition: Condition, distance: Distance, *, device: str | None = None
) -> pd.DataFrame:
    """Return one row per cell: labels of A and B, ``error`` and ``size``, the number of triplets.

    Labels are ``<on>_a`` and ``<on>_b``, the columns ``by``, and ``<across>`` of A and B and ``<across>_x``. A pair
    of items has the mean distance of frames along the path of :mod:`tokbench.metrics.dtw`. The distance of two
    frames is the angle between them in parts of pi (``angular``), 1 less its cosine (``cosine``), the length of
    their difference (``euclidean``), half the sum of both divergences of Kullback and Leibler between probabilities
    (``kl-symmetric``), or whether any feature differs (``identical``, for codes).

    ``device`` is where PyTorch computes; without one, one thread of the processor does, which is faster there.
    """
    groups, keys = _groups(items.labels, condition)
    sizes = np.array([len(group) for group in groups], np.int64)
    cells = _cells(keys, sizes, condition)
    blocks = _Blocks(groups, cells)
    distances = _pair_distances(items, blocks, distance, device)
    near, far = blocks.places(cells[:, 2], cells[:, 0]), blocks.places(cells[:, 2], cells[:, 1])
    is_symmetric = cells[:, 0] == cells[:, 2]
    if device is None:
        errors = dtw.triplet_errors(distances, *near, *far, sizes[cells], is_symmetric)
    else:
        errors = _on_device().triplet_errors(distances, near, far, sizes[cells], is_symmetric, device=device)
    table = keys.loc[cells[:, 0]].reset_index(drop=True)
    table = table.rename(columns={condition.on: f"{condition.on}_a"})
    table[f"{condition.on}_b"] = keys[condition.on].to_numpy()[cells[:, 1]]
    if condition.across:
        table[f"{condition.across}_x"] = keys[condition.across].to_numpy()[cells[:, 2]]
    num_a, num_b, num_x = sizes[cells].T
    return table.assign(error=errors, size=num_x * (num_a - is_symmetric) * num_b)


def _groups(labels: pd.DataFrame, condition: Condition) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Return the items that are alike in all columns, and the labels of each such group."""
    columns = list(condition.columns)
    grouped = labels.groupby(columns, sort=True).indices
    generator = np.random.default_rng(condition.seed)
    groups = [_drawn(np.asarray(index), condition.max_items, generator) for index in grouped.values()]
    keys = pd.DataFrame([key if isinstance(key, tuple) else (key,) for key in grouped], columns=columns)
    return groups, keys


def _drawn(values: np.ndarray, most: int | None, generator: np.random.Generator) -> np.ndarray:
    if most is None or len(values) <= most:
        return values
    return np.sort(generator.choice(values, most, replace=False))


def _cells(keys: pd.DataFrame, sizes: np.ndarray, condition: Condition) -> np.ndarray:
    """Return int64 [cells, 3], the groups of A, B and X."""
    on, by, across = condition.on, list(condition.by), condition.across
    alike = [*by, *([across] if across else [])]
    table = keys.assign(group=np.arange(len(keys)), _all=0)
    shared = alike or ["_all"]
    pairs = table.merge(table[[on, *shared, "group"]], on=shared, suffixes=("_a", "_b"))
    pairs = pairs[pairs[f"{on}_a"] != pairs[f"{on}_b"]]
    if across is None:
        pairs = pairs[sizes[pairs["group_a"]] > 1]
        return pairs[["group_a", "group_b", "group_a"]].to_numpy(np.int64)
    others = table[[on, *by, across, "group"]].rename(
        columns={on: f"{on}_a", across: f"{across}_x", "group": "group_x"}
    )
    cells = pairs.merge(others, on=[f"{on}_a", *by])
    cells = cells[cells[across] != cells[f"{across}_x"]]
    if condition.max_across is not None:
        lots = np.random.default_rng(condition.seed).random(len(cells))
        order = cells.assign(lot=lots).groupby(["group_a", "group_b"])["lot"].rank(method="first")
        cells = cells[order <= condition.max_across]
    return cells[["group_a", "group_b", "group_x"]].to_numpy(np.int64)


class _Blocks:
    """Distances of all items of two groups, for every two groups that meet in a cell, in one array.

    A block has a row for each item of the lower group and a column for each of the higher. The array has all blocks
    twice: from rows to columns, and after these from columns to rows.
    """

    def __init__(self, groups: Sequence[np.ndarray], cells: np.ndarray) -> None:
        self.members = np.concatenate([*groups, np.empty(0, np.int64)]).astype(np.int64)
        self.sizes = np.array([len(group) for group in groups], np.int64)
        self.firsts = np.concatenate([[0], np.cumsum(self.sizes)])[:-1]
        met = np.concatenate([np.sort(cells[:, [2, 0]]), np.sort(cells[:, [2, 1]])])
        self._codes = np.unique(met[:, 0] * len(groups) + met[:, 1])
        self.low, self.high = np.divmod(self._codes, len(groups))
        self.starts = np.concatenate([[0], np.cumsum(self.sizes[self.low] * self.sizes[self.high])])

    def places(self, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the blocks of groups ``x`` and ``other`` begin, and the steps to the next item of each."""
        low, high = np.minimum(x, other), np.maximum(x, other)
        block = np.searchsorted(self._codes, low * len(self.sizes) + high)
        width, one = self.sizes[high], np.ones_like(high)
        is_row = x == low
        steps = np.where(is_row[:, None], np.stack([width, one], axis=1), np.stack([one, width], axis=1))
        return self.starts[block] + np.where(is_row, 0, self.starts[-1]), steps

    def batches(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield a part of the array, the items of its pairs, and where else in the part each pair's mirror lies.

        Within one group only pairs of a lower and a higher item are to be compared: of those, the mirror is the
        place of the pair turned round; of others it is their own.
        """
        first = 0
        while first < len(self.low):
            limit = self.starts[first] + _PAIRS_AT_ONCE
            last = max(int(np.searchsorted(self.starts, limit, side="right")) - 1, first + 1)
            part = slice(int(self.starts[first]), int(self.starts[last]))
            counts = np.diff(self.starts[first : last + 1])
            block = np.repeat(np.arange(first, last), counts)
            inside = np.arange(part.start, part.stop) - self.starts[block]
            width = self.sizes[self.high[block]]
            row, column = np.divmod(inside, width)
            mirror = (
                np.where(self.low[block] == self.high[block], column * width + row, inside)
                + self.starts[block]
                - part.start
            )
            i = self.members[self.firsts[self.low[block]] + row]
            j = self.members[self.firsts[self.high[block]] + column]
            yield part, i, j, mirror
            first = last


def _on_device() -> ModuleType:
    from tokbench.metrics import dtw_torch  # noqa: PLC0415  (imports torch, which one thread does without)

    return dtw_torch


def _pair_distances(items: Items, blocks: _Blocks, distance: Distance, device: str | None) -> np.ndarray:
    frames, logs = _prepared(items.frames, distance)
    starts = np.asarray(items.starts, np.int64)
    distances = np.empty((2, blocks.starts[-1]), np.float32)
    measure = dtw.path_means if device is None else functools.partial(_on_device().path_means, device=device)
    for part, i, j, mirror in blocks.batches():
        place = np.arange(len(mirror))
        is_first = place <= mirror
        there, back = measure(frames, logs, starts, i[is_first], j[is_first], _KINDS[distance])
        found = np.zeros((2, len(mirror)), np.float32)
        found[:, mirror[is_first]] = back
        found[0, place[is_first]] = there  # over what is its own mirror
        distances[:, part] = found
    return distances.reshape(-1)


def _prepared(frames: np.ndarray, distance: Distance) -> tuple[np.ndarray, np.ndarray]:
    """Return frames as :func:`tokbench.metrics.dtw.path_means` wants them, and their logarithms where it does."""
    values = np.ascontiguousarray(frames, np.float32)
    if distance in {"angular", "cosine"}:
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        # Silence has no direction: fastabx gives it that of a constant.
        constant = np.full_like(values, values.shape[1] ** -0.5)
        values = np.divide(values, norms, out=constant, where=norms > 0)
    return values, np.log(values + _KL_EPSILON) if distance == "kl-symmetric" else values[:0]


_KINDS: Mapping[Distance, int] = {
    "angular": dtw.ANGULAR,
    "cosine": dtw.COSINE,
    "euclidean": dtw.EUCLIDEAN,
    "kl-symmetric": dtw.KL_SYMMETRIC,
    "identical": dtw.IDENTICAL,
}


def collapse(errors: pd.DataFrame, condition: Condition, levels: Sequence[str | Sequence[str]] = ()) -> float:
    """Return one error: the mean over each of ``levels`` in turn, then over what is left, all without weights.

    The speakers of X are averaged over together with the first level. So does fastabx.
    """
    table = pair_errors(errors, condition, levels)
    return float(table["error"].mean()) if len(table) else float("nan")


def pair_errors(errors: pd.DataFrame, condition: Condition, levels: Sequence[str | Sequence[str]]) -> pd.DataFrame:
    """Return a row for each value of the columns that are no level, with the mean ``error`` over the levels."""
    keys = [
        f"{condition.on}_a",
        f"{condition.on}_b",
        *condition.by,
        *([condition.across] if condition.across else []),
    ]
    table = errors[[*keys, "error"]]
    for level in levels:
        gone = {level} if isinstance(level, str) else set(level)
        keys = [key for key in keys if key not in gone]
        table = table.groupby(keys, sort=True)["error"].mean().reset_index()
    return table


def bootstrap(
    errors: pd.DataFrame,
    condition: Condition,
    levels: Sequence[str | Sequence[str]],
    *,
    speaker: str,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of :func:`collapse`, over cells and over the speakers of A and B.

    Both are drawn anew with replacement, independently of each other, as both could have been others (the
    pigeonhole bootstrap of Owen 2007, arXiv:0712.1111). Levels before ``speaker`` are averaged over as they are;
    NaN for fewer than two cells, and for fewer than three speakers: two cannot tell how far others would differ.
    """
    before = list(levels[: list(levels).index(speaker)])
    table = pair_errors(errors, condition, before)
    keys = [key for key in table.columns if key not in {"error", speaker}]
    values = table.pivot_table(index=keys, columns=speaker, values="error").to_numpy()
    num_cells, num_speakers = values.shape
    if num_cells < MIN_UNITS or num_speakers < MIN_SPEAKERS:
        return float("nan"), float("nan")
    generator = np.random.default_rng([seed, *values.shape])
    found = np.isfinite(values)
    cells = generator.multinomial(num_cells, np.full(num_cells, 1 / num_cells), size=NUM_RESAMPLES)
    speakers = generator.multinomial(num_speakers, np.full(num_speakers, 1 / num_speakers), size=NUM_RESAMPLES)
    with np.errstate(invalid="ignore"):
        means = (speakers @ np.where(found, values, 0.0).T) / (speakers @ found.T)
    weights = cells * np.isfinite(means)
    return percentile_interval((weights * np.nan_to_num(means)).sum(axis=1) / weights.sum(axis=1))
