"""What :mod:`tokbench.metrics.dtw` computes, on any device that PyTorch knows: many pairs, or triplets, at once.

Pairs of about the same lengths are put into one batch. Their tables of sums are filled diagonal by diagonal, since
no cell of a diagonal needs another one of it. Preferences among paths that cost the same, single precision of
distances and double precision of sums are those of the other module, so that errors differ where rounding makes or
breaks a tie, and nowhere else.

Axes: ``N`` sequences, ``F`` frames of all of them, ``D`` features, ``P`` pairs, ``R`` and ``C`` frames of the
longest first and second sequence of a batch.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from tokbench.metrics.dtw import ANGULAR, COSINE, EUCLIDEAN, IDENTICAL

__all__ = ["path_means", "triplet_errors"]

_NUMBERS_AT_ONCE = 2**25
"""Differences of features, and triplets, that are held at once: some hundreds of MB."""


@torch.no_grad()
def path_means(
    frames: np.ndarray,
    logs: np.ndarray,
    starts: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    kind: int,
    *,
    device: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`tokbench.metrics.dtw.path_means` does, computed on ``device``."""
    there, back = np.empty(len(first), np.float32), np.empty(len(first), np.float32)
    values, logarithms = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (frames, logs))
    lengths = np.diff(starts)
    for batch in _batches(lengths[first], lengths[second], frames.shape[1]):
        sides = [_Side.of(starts, lengths, index[batch], device) for index in (first, second)]
        local = _distances(values, logarithms, sides, kind)
        sizes = [side.lengths for side in sides]
        means, is_tied = _path_means(local, sizes[0], sizes[1])
        turned = means.clone()
        if bool(is_tied.any()):
            turned[is_tied] = _path_means(local[is_tied].mT, sizes[1][is_tied], sizes[0][is_tied])[0]
        there[batch], back[batch] = means.cpu().numpy(), turned.cpu().numpy()
    return there, back


def _batches(rows: np.ndarray, columns: np.ndarray, num_features: int) -> Iterator[np.ndarray]:
    """Yield the numbers of pairs of about the same size, as many as may be held at once."""
    order = np.lexsort((columns, rows))
    first = 0
    while first < len(order):
        # No more than would fit if all were as short as can be.
        most = _NUMBERS_AT_ONCE // (int(rows[order[first]]) * num_features) + 1
        ahead = order[first : first + most]
        # The longest first sequence of a batch is its last; the second may be any.
        tables = rows[ahead] * np.maximum.accumulate(columns[ahead]) * num_features * np.arange(1, len(ahead) + 1)
        count = max(int(np.searchsorted(tables, _NUMBERS_AT_ONCE, side="right")), 1)
        yield ahead[:count]
        first += count


class _Side:
    """The first or the second sequences of a batch."""

    def __init__(self, places: Tensor, lengths: Tensor) -> None:
        self.places = places
        """int64 [P, R]."""
        self.lengths = lengths
        """int64 [P]."""

    @classmethod
    def of(cls, starts: np.ndarray, lengths: np.ndarray, index: np.ndarray, device: str) -> "_Side":
        """Return where the frames of sequences ``index`` lie; beyond the end of one its last is repeated."""
        longest = int(lengths[index].max())
        inside = np.minimum(np.arange(longest), lengths[index][:, None] - 1)
        places = torch.from_numpy(starts[index][:, None] + inside).to(device)
        return cls(places, torch.from_numpy(lengths[index]).to(device))


def _distances(values: Tensor, logs: Tensor, sides: list[_Side], kind: int) -> Tensor:
    """Return float32 [P, R, C], the distance of each frame to each."""
    one, other = (values[side.places] for side in sides)
    if kind in {ANGULAR, COSINE, EUCLIDEAN}:
        # Of differences, so that it is exactly 0 for equal frames.
        found = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
        if kind == EUCLIDEAN:
            return found
        # Unit vectors at an angle of 2 a are 2 sin a apart.
        return 2 / math.pi * torch.asin((found / 2).clamp(max=1)) if kind == ANGULAR else found.square() / 2
    if kind == IDENTICAL:
        return (one[:, :, None] != other[:, None]).any(dim=-1).float()
    first, second = (logs[side.places] for side in sides)
    return ((one[:, :, None] - other[:, None]) * (first[:, :, None] - second[:, None])).sum(dim=-1) / 2


def _path_means(local: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of ``local`` [P, R, C] over the path to the last of ``rows`` and ``columns``, both int64 [P].

    And, bool [P], whether steps in one sequence cost the same anywhere before it.
    """
    num_pairs, height, width = local.shape
    nothing = torch.full((num_pairs, height + 1), math.inf, dtype=torch.float64, device=local.device)
    no_steps = torch.zeros((num_pairs, height + 1), dtype=torch.int32, device=local.device)
    # Of the last diagonal and of the one before: by row, and in front of the first row there is nothing.
    last, before = nothing.clone(), nothing.clone()
    last_steps, before_steps = no_steps.clone(), no_steps.clone()
    before[:, 0] = 0.0
    means = torch.zeros(num_pairs, dtype=torch.float64, device=local.device)
    is_tied = torch.zeros(num_pairs, dtype=torch.bool, device=local.device)
    for diagonal in range(height + width - 1):
        low, high = max(diagonal - width + 1, 0), min(diagonal, height - 1)
        row = torch.arange(low, high + 1, device=local.device)
        here = local[:, row, diagonal - row].double()
        both, one, other = before[:, low : high + 1], last[:, low : high + 1], last[:, low + 1 : high + 2]
        is_both = (both <= one) & (both <= other)
        is_other = ~is_both & (other <= one)
        cost = here + torch.where(is_both, both, torch.where(is_other, other, one))
        taken = torch.where(is_other, last_steps[:, low + 1 : high + 2], last_steps[:, low : high + 1])
        steps = torch.where(is_both, before_steps[:, low : high + 1], taken) + 1
        inside = (row < rows[:, None]) & (diagonal - row < columns[:, None])
        is_tied |= (is_other & (other == one) & inside).any(dim=1)
        before, before_steps, last, last_steps = last, last_steps, nothing.clone(), no_steps.clone()
        last[:, low + 1 : high + 2], last_steps[:, low + 1 : high + 2] = cost, steps
        ends = (rows + columns - 2 == diagonal).nonzero()[:, 0]
        means[ends] = last[ends, rows[ends]] / last_steps[ends, rows[ends]]
    return means.float(), is_tied


@torch.no_grad()
def triplet_errors(
    distances: np.ndarray,
    near: tuple[np.ndarray, np.ndarray],
    far: tuple[np.ndarray, np.ndarray],
    sizes: np.ndarray,
    is_symmetric: np.ndarray,
    *,
    device: str,
) -> np.ndarray:
    """Return what :func:`tokbench.metrics.dtw.triplet_errors` does, computed on ``device``.

    ``near`` and ``far`` are the places and the steps of which that one speaks.
    """
    found = torch.from_numpy(distances).to(device)
    halves = torch.zeros(len(sizes), dtype=torch.int64, device=device)
    # One row for each X of each cell: of as many triplets as A times B.
    cell_of_row = np.repeat(np.arange(len(sizes)), sizes[:, 2])
    x = np.arange(len(cell_of_row)) - np.repeat(np.cumsum(sizes[:, 2]) - sizes[:, 2], sizes[:, 2])
    ends = np.cumsum((sizes[:, 0] * sizes[:, 1])[cell_of_row])
    first = 0
    while first < len(cell_of_row):
        done = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, done + _NUMBERS_AT_ONCE, side="right")), first + 1)
        cell, number = cell_of_row[first:last], x[first:last]
        begins = [places[cell] + number * steps[cell, 0] for places, steps in (near, far)]
        columns = [*begins, near[1][cell, 1], far[1][cell, 1], sizes[cell, 0], sizes[cell, 1]]
        columns.append(np.where(is_symmetric[cell], number, -1))
        rows = torch.from_numpy(np.stack(columns)).to(device)
        halves.index_add_(0, torch.from_numpy(cell).to(device), _halves(found, rows))
        first = last
    num_a, num_b, num_x = sizes.T
    errors: np.ndarray = halves.cpu().numpy() / (2 * num_x * (num_a - is_symmetric) * num_b)
    return errors


def _halves(distances: Tensor, rows: Tensor) -> Tensor:
    """Return int64 [rows], 2 for each pair of A and B of which B is nearer to the X of the row, 1 for a tie.

    ``rows`` is int64 [7, rows]: where the distances of X to the first A and to the first B lie, the steps to the
    next of each, the numbers of A and of B, and the number of the A that is X itself, -1 where none is.
    """
    near, far, near_step, far_step, num_a, num_b, same = rows
    counts = num_a * num_b
    row = torch.repeat_interleave(counts)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    a, b = torch.div(place, num_b[row], rounding_mode="floor"), place % num_b[row]
    to_a, to_b = distances[near[row] + a * near_step[row]], distances[far[row] + b * far_step[row]]
    found = ((to_a > to_b).long() + (to_a >= to_b).long()) * (a != same[row])
    return torch.zeros_like(counts).index_add_(0, row, found)
