"""The layouts of codes: which code of which frame a language model meets at which step.

A layout is a table of frames, int64 [K, S]: the frame whose code of codebook ``k`` stands at step ``s``, or -1
where none does. All else follows from it: a grid of codes is made by looking up, and codes are got back the other
way.

The layouts are those of MusicGen (Copet et al. 2023, arXiv:2306.05284, section 2.2 and figure 1) and the flattening
of AudioLM (Borsos et al. 2022, arXiv:2209.03143, section III-B). Codebooks that different stages model are slices
of codes, in which a multi-scale model goes through a step's codes one by one (UniAudio) and a masked one in the
order of its confidence (SoundStorm): none of these is a table of its own.

Axes: ``K`` codebooks, ``F`` frames, ``S`` steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from tokbench.specs.layouts import CoarseFirst, Delay, Flatten, Layout, Parallel

__all__ = ["ABSENT", "arranged", "frame_table", "with_end"]

ABSENT = -1
"""Stands where there is no code."""


def frame_table(layout: Layout, num_codebooks: int, num_frames: int) -> Tensor:
    """Return int64 [K, S], the frame of each cell, of ``num_frames`` frames; -1 for cells without a code.

    Every step has a code: a delay that is longer than there are frames makes no steps for nothing.

    >>> frame_table(Delay(kind="delay"), 3, 4).tolist()
    [[0, 1, 2, 3, -1, -1], [-1, 0, 1, 2, 3, -1], [-1, -1, 0, 1, 2, 3]]
    >>> frame_table(Flatten(kind="flatten"), 2, 2).tolist()
    [[0, -1, 1, -1], [-1, 0, -1, 1]]
    """
    return _filled(_table(layout, num_codebooks, num_frames))


def _table(layout: Layout, num_codebooks: int, num_frames: int) -> Tensor:
    match layout:
        case Parallel():
            return _delayed([0] * num_codebooks, num_frames)
        case Delay(delays=delays):
            return _delayed(_completed(delays, num_codebooks) if delays else range(num_codebooks), num_frames)
        case Flatten(group=group):
            starts = range(0, num_codebooks, group or num_codebooks)
            sizes = [min(group or num_codebooks, num_codebooks - start) for start in starts]
            return _after_another([_flat(size, num_frames) for size in sizes])
        case CoarseFirst(delays=delays):
            others = _delayed(_completed(delays, num_codebooks - 1), num_frames)
            return _after_another([_delayed([0], num_frames), others])


def _completed(delays: Sequence[int], num_codebooks: int) -> list[int]:
    return [delays[min(index, len(delays) - 1)] for index in range(num_codebooks)]


def _after_another(tables: Sequence[Tensor]) -> Tensor:
    """Return the table of all codebooks of ``tables``, each of which begins where the one before ends."""
    num_steps, place, rows = sum(table.shape[1] for table in tables), 0, []
    for table in tables:
        rows.append(pad(table, (place, num_steps - place - table.shape[1]), value=ABSENT))
        place += table.shape[1]
    return torch.cat(rows)


def _delayed(delays: Sequence[int], num_frames: int) -> Tensor:
    num_steps = num_frames + max(delays, default=0) if num_frames and len(delays) else 0
    frames = torch.arange(num_steps) - torch.tensor(list(delays), dtype=torch.int64)[:, None]
    return frames.where((frames >= 0) & (frames < num_frames), torch.full_like(frames, ABSENT))


def _flat(num_codebooks: int, num_frames: int) -> Tensor:
    steps = torch.arange(num_codebooks * num_frames)
    is_there = steps % num_codebooks == torch.arange(num_codebooks)[:, None]
    return torch.where(is_there, steps // num_codebooks, ABSENT)


def with_end(layout: Layout, num_codebooks: int, num_frames: int) -> Tensor:
    """Return the table of ``num_frames`` frames and of one more, of which there is only the first codebook's cell.

    There stands what says that the codes have ended. Up to it the table does not depend on the number of frames, so
    that who writes step by step need not know it before.

    >>> with_end(Delay(kind="delay"), 2, 2).tolist()
    [[0, 1, 2], [-1, 0, 1]]
    """
    table = frame_table(layout, num_codebooks, num_frames + 1)
    table[1:][table[1:] == num_frames] = ABSENT
    return _filled(table)


def _filled(table: Tensor) -> Tensor:
    """Return ``table`` without the steps that no code stands at."""
    return table[:, (table != ABSENT).any(dim=0)]


def arranged(codes: Tensor, table: Tensor, *, absent: int = ABSENT, end: int = ABSENT) -> Tensor:
    """Return the grid int64 [K, S] of ``codes`` int64 [K, F].

    ``absent`` stands where the table has no frame, and ``end`` where it has the one after the last.

    >>> arranged(torch.tensor([[1, 2], [3, 4]]), frame_table(Delay(kind="delay"), 2, 2), absent=0).tolist()
    [[1, 2, 0], [0, 3, 4]]
    """
    ended = torch.cat([codes, codes.new_full((len(codes), 1), end)], dim=1)
    return ended.gather(1, table.clamp_min(0)).masked_fill(table == ABSENT, absent)
