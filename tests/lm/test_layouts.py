"""Layouts: as printed in the papers, invertible, and written from left to right."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokbench.lm.layouts import ABSENT, arranged, frame_table, with_end
from tokbench.specs.layouts import CoarseFirst, Delay, Flatten, Layout, Parallel

PRINTED = {
    "delay": (Delay(kind="delay"), "0 1 2 3 4 0 0 / 0 0 5 6 7 8 0 / 0 0 0 9 10 11 12"),
    "partial delay": (Delay(kind="delay", delays=(0, 1)), "0 1 2 3 4 0 / 0 0 5 6 7 8 / 0 0 9 10 11 12"),
    "parallel": (Parallel(), "0 1 2 3 4 / 0 5 6 7 8 / 0 9 10 11 12"),
    "flatten": (
        Flatten(kind="flatten"),
        "0 1 0 0 2 0 0 3 0 0 4 0 0 / 0 0 5 0 0 6 0 0 7 0 0 8 0 / 0 0 0 9 0 0 10 0 0 11 0 0 12",
    ),
    "coarse first": (
        CoarseFirst(kind="coarse-first"),
        "0 1 2 3 4 0 0 0 0 / 0 0 0 0 0 5 6 7 8 / 0 0 0 0 0 9 10 11 12",
    ),
}
"""What MusicGen's own classes print for four frames of three codebooks, after a first special column."""

layouts: st.SearchStrategy[Layout] = st.one_of(
    st.just(Parallel()),
    st.builds(
        Delay,
        kind=st.just("delay"),
        delays=st.lists(st.integers(0, 4), max_size=3).map(lambda later: (0, *later) if later else ()),
    ),
    st.builds(Flatten, kind=st.just("flatten"), group=st.none() | st.integers(1, 5)),
    st.builds(
        CoarseFirst,
        kind=st.just("coarse-first"),
        delays=st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple),
    ),
)


@pytest.mark.parametrize("name", PRINTED)
def test_layouts_are_those_of_musicgen(name: str) -> None:
    layout, printed = PRINTED[name]
    codes = torch.arange(1, 13).reshape(3, 4)
    grid = arranged(codes, frame_table(layout, 3, 4), absent=0)
    expected = torch.tensor([[int(cell) for cell in row.split()] for row in printed.split("/")])
    assert torch.equal(torch.nn.functional.pad(grid, (1, 0)), expected)


def test_musiclm_goes_through_groups_of_codebooks() -> None:
    """Group by two, of four: K · T steps, the first 2 · T of which hold codebooks 1 and 2 by turns."""
    table = frame_table(Flatten(kind="flatten", group=2), 4, 3)
    cells = [(int(k), int(table[k, s])) for s in range(12) for k in torch.where(table[:, s] != ABSENT)[0]]
    expected = [(k, t) for first in (0, 2) for t in range(3) for k in (first, first + 1)]
    assert cells == expected


def collected(grid: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return the codes [K, F] of a ``grid`` [K, S], cell by cell."""
    codes = torch.full((len(table), int(table.max()) + 1 if table.numel() else 0), ABSENT)
    for (row, step), frame in zip(
        torch.cartesian_prod(*map(torch.arange, table.shape)), table.flatten(), strict=True
    ):
        if frame != ABSENT:
            codes[row, frame] = grid[row, step]
    return codes


@given(layouts, st.integers(1, 5), st.integers(0, 9))
def test_layouts_are_invertible(layout: Layout, num_codebooks: int, num_frames: int) -> None:
    codes = torch.randint(100, (num_codebooks, num_frames))
    table = frame_table(layout, num_codebooks, num_frames)
    grid = arranged(codes, table)
    assert torch.equal(collected(grid, table), codes)
    assert int((grid != ABSENT).sum()) == codes.numel()
    assert bool((table != ABSENT).any(dim=0).all())  # no step is for nothing


@given(layouts, st.integers(1, 5), st.integers(1, 9))
def test_frames_of_a_codebook_follow_each_other(layout: Layout, num_codebooks: int, num_frames: int) -> None:
    for row in frame_table(layout, num_codebooks, num_frames):
        assert row[row != ABSENT].tolist() == list(range(num_frames))


@given(layouts, st.integers(1, 5), st.integers(0, 7), st.integers(1, 4))
def test_the_end_can_be_met_without_knowing_it(
    layout: Layout, num_codebooks: int, num_frames: int, further: int
) -> None:
    """Up to where the end would stand, a table is that of more frames; and it holds all codes, and the end once."""
    table, longer = (
        with_end(layout, num_codebooks, num_frames),
        with_end(layout, num_codebooks, num_frames + further),
    )
    step = table[0].tolist().index(num_frames)
    assert torch.equal(table[:, :step], longer[:, :step])
    beside = longer[1:, step]
    assert torch.equal(table[1:, step], beside.masked_fill(beside == num_frames, ABSENT))
    codes = torch.randint(100, (num_codebooks, num_frames))
    without_end = table.masked_fill(table == num_frames, ABSENT)
    assert torch.equal(collected(arranged(codes, without_end), without_end), codes)
    ends = arranged(codes, table, end=100) == 100
    assert torch.equal(ends, table == num_frames)
    assert int(ends.sum()) == 1


@given(layouts, st.integers(1, 4), st.integers(1, 6))
def test_flattening_has_a_loss_for_each_code_and_delay_for_each_frame(
    layout: Layout, num_codebooks: int, num_frames: int
) -> None:
    table = frame_table(layout, num_codebooks, num_frames)
    assert (table != ABSENT).sum(dim=1).tolist() == [num_frames] * num_codebooks
