"""Distances of ragged sequences along the path that dynamic time warping finds, for many pairs at once.

The path goes from the first frames of both sequences to their last, by one step in the first, in the second or in
both; of all paths it has the least sum of distances. Where steps cost the same, one in both is preferred, and then
one in the second sequence alone. The distance of a pair is the mean over its path: so do the code of Libri-Light
(``eval/ABX_src/dtw.pyx``) and torchdtw of fastabx. Where steps cost the same, the paths of a pair and of the pair
turned round may be of different length: both means are returned.

Axes: ``N`` sequences, ``F`` frames of all of them, ``D`` features, ``P`` pairs.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

__all__ = ["ANGULAR", "COSINE", "EUCLIDEAN", "IDENTICAL", "KL_SYMMETRIC", "path_means", "triplet_errors"]

ANGULAR, COSINE, EUCLIDEAN, KL_SYMMETRIC, IDENTICAL = range(5)
"""Distances of two frames."""

# Abramowitz and Stegun 1964, formula 4.4.46: arccos(x) = sqrt(1 - x) · (a0 + a1 x + … + a7 x^7), 0 <= x <= 1, to
# 2e-8, which is less than a step of single precision; unlike the function of the C library, a processor does eight
# at once.
_A0, _A1, _A2, _A3 = 1.5707963050, -0.2145988016, 0.0889789874, -0.0501743046
_A4, _A5, _A6, _A7 = 0.0308918810, -0.0170881256, 0.0066700901, -0.0012624911

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Return ``function`` as machine code, which is kept for the next process."""
    compile_it: Any = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
    compiled: Function = compile_it(function)
    return compiled


def path_means(
    frames: np.ndarray, logs: np.ndarray, starts: np.ndarray, first: np.ndarray, second: np.ndarray, kind: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [P], the mean distance along the path from ``first[p]`` to ``second[p]``, and turned round.

    Sequence ``n`` is ``frames[starts[n] : starts[n + 1]]`` of float32 [F, D], of unit length for :data:`ANGULAR`
    and :data:`COSINE`; ``logs`` [F, D] are their logarithms, for :data:`KL_SYMMETRIC` alone, and may be empty
    otherwise. ``first`` and ``second`` are int64 [P].
    """
    longest = int(np.diff(starts).max(initial=1))
    means: tuple[np.ndarray, np.ndarray] = _path_means(frames, logs, starts, first, second, kind, longest)
    return means


@_compiled
def _path_means(frames: Any, logs: Any, starts: Any, first: Any, second: Any, kind: int, longest: int) -> Any:
    means, turned = np.empty(len(first), np.float32), np.empty(len(first), np.float32)
    distances = np.empty((longest, longest), np.float32)
    # In double precision sums of single ones are exact, whatever their order: equal paths stay equal.
    costs = np.empty((2, longest), np.float64)
    lengths = np.empty((2, longest), np.int32)
    for pair in range(len(first)):
        i, j = first[pair], second[pair]
        rows, columns = starts[i + 1] - starts[i], starts[j + 1] - starts[j]
        local = distances[:rows, :columns]
        if kind == KL_SYMMETRIC:
            _divergences(frames, logs, starts[i], starts[j], local)
        elif kind == IDENTICAL:
            _differences(frames, starts[i], starts[j], local)
        else:
            _from_differences(frames, starts[i], starts[j], kind, local)
        means[pair], is_tied = _mean_of_path(local, costs, lengths)
        turned[pair] = _mean_of_path(local.T, costs, lengths)[0] if is_tied else means[pair]
    return means, turned


@_compiled
def _from_differences(frames: Any, i: int, j: int, kind: int, out: Any) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            total = np.float32(0)
            for d in range(frames.shape[1]):
                difference = frames[i + row, d] - frames[j + column, d]
                total += difference * difference
            out[row, column] = total
    if kind == EUCLIDEAN:
        for row in range(out.shape[0]):
            for column in range(out.shape[1]):
                out[row, column] = math.sqrt(out[row, column])
        return
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            # Of unit vectors, 1 less the cosine: exactly 0 for equal ones, as 1 less their product is not.
            out[row, column] *= np.float32(0.5)
    if kind == ANGULAR:
        _to_angles(out)


@_compiled
def _to_angles(versines: Any) -> None:
    """Put the angle in parts of pi in the place of 1 less its cosine."""
    for row in range(versines.shape[0]):
        for column in range(versines.shape[1]):
            versine = versines[row, column]
            is_acute = versine <= 1
            small = max(versine if is_acute else np.float32(2) - versine, np.float32(0))
            x = np.float32(1) - small
            series = np.float32(_A7)
            series = series * x + np.float32(_A6)
            series = series * x + np.float32(_A5)
            series = series * x + np.float32(_A4)
            series = series * x + np.float32(_A3)
            series = series * x + np.float32(_A2)
            series = series * x + np.float32(_A1)
            series = series * x + np.float32(_A0)
            angle = math.sqrt(small) * series * np.float32(1 / math.pi)
            versines[row, column] = angle if is_acute else np.float32(1) - angle


@_compiled
def _divergences(frames: Any, logs: Any, i: int, j: int, out: Any) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            total = np.float32(0)
            for d in range(frames.shape[1]):
                total += (frames[i + row, d] - frames[j + column, d]) * (logs[i + row, d] - logs[j + column, d])
            out[row, column] = total / 2


@_compiled
def _differences(frames: Any, i: int, j: int, out: Any) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            differs = False
            for d in range(frames.shape[1]):
                differs |= frames[i + row, d] != frames[j + column, d]
            out[row, column] = differs


@_compiled
def _mean_of_path(local: Any, costs: Any, lengths: Any) -> Any:
    """Return the mean of ``local`` [rows, columns] over the path, and whether steps in one sequence cost the same.

    Two rows of sums and of steps are kept.
    """
    columns, is_tied = local.shape[1], False
    costs[0, 0], lengths[0, 0] = local[0, 0], 1
    for column in range(1, columns):
        costs[0, column], lengths[0, column] = costs[0, column - 1] + local[0, column], column + 1
    for row in range(1, local.shape[0]):
        above, here = (row - 1) % 2, row % 2
        costs[here, 0], lengths[here, 0] = costs[above, 0] + local[row, 0], row + 1
        for column in range(1, columns):
            both, one, other = costs[above, column - 1], costs[above, column], costs[here, column - 1]
            if both <= one and both <= other:
                cost, steps = both, lengths[above, column - 1]
            elif other <= one:
                cost, steps = other, lengths[here, column - 1]
                is_tied |= other == one
            else:
                cost, steps = one, lengths[above, column]
            costs[here, column], lengths[here, column] = cost + local[row, column], steps + 1
    last = (local.shape[0] - 1) % 2
    return costs[last, columns - 1] / lengths[last, columns - 1], is_tied


@_compiled
def triplet_errors(
    distances: Any, near: Any, near_steps: Any, far: Any, far_steps: Any, sizes: Any, is_symmetric: Any
) -> Any:
    """Return float64 [cells], the share of triplets in which X is nearer to B, ties as one half.

    Of cell ``c``, ``sizes[c]`` are the numbers of A, B and X. The distance of X number ``x`` to A number ``a`` is
    ``distances[near[c] + x · near_steps[c, 0] + a · near_steps[c, 1]]``, and ``far`` tells those to B alike. In a
    symmetric cell A and X are the same items, and none is compared with itself.
    """
    errors = np.empty(len(sizes), np.float64)
    for cell in range(len(sizes)):
        num_a, num_b, num_x = sizes[cell, 0], sizes[cell, 1], sizes[cell, 2]
        halves, count = 0, 0
        for x in range(num_x):
            for a in range(num_a):
                if is_symmetric[cell] and a == x:
                    continue
                to_a = distances[near[cell] + x * near_steps[cell, 0] + a * near_steps[cell, 1]]
                for b in range(num_b):
                    to_b = distances[far[cell] + x * far_steps[cell, 0] + b * far_steps[cell, 1]]
                    halves += (to_a > to_b) + (to_a >= to_b)
                count += num_b
        errors[cell] = halves / (2 * count)
    return errors
