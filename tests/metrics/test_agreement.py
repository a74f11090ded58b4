"""Agreement of codes against slow loops and cases that are known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokbench.errors import UndefinedMetricError
from tokbench.metrics.agreement import code_agreement, deduplicated, frames_in_proportion, unit_edits

SEQUENCES = st.lists(st.integers(0, 3), min_size=1, max_size=14)


def looped_edits(first: list[int], second: list[int]) -> int:
    """Return the Levenshtein distance by Wagner and Fischer's table."""
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    table[:, 0], table[0] = np.arange(len(first) + 1), np.arange(len(second) + 1)
    for i, j in itertools.product(range(len(first)), range(len(second))):
        changed = table[i, j] + (first[i] != second[j])
        table[i + 1, j + 1] = min(changed, table[i, j + 1] + 1, table[i + 1, j] + 1)
    return int(table[-1, -1])


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, SEQUENCES)
def test_edits_are_those_of_a_loop_over_runs(first: list[int], second: list[int]) -> None:
    units, others = ([key for key, _ in itertools.groupby(codes)] for codes in (first, second))
    found = unit_edits(np.array(first), np.array(second))
    assert (found.num_edits, found.num_units) == (looped_edits(units, others), len(units))


def test_how_long_a_unit_lasts_is_no_edit() -> None:
    assert unit_edits(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 2, 3])).rate == 0.0
    assert unit_edits(np.array([1, 1]), np.array([2, 3, 2])).rate == 3.0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_agreement_is_that_of_a_loop(num_codebooks: int, length: int, other: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = (generator.integers(0, 3, (num_codebooks, size)) for size in (length, other))
    expected = []
    for mine, theirs in zip(first, second, strict=True):
        pairs = list(zip(mine, theirs, strict=False))
        expected.append(sum(a == b for a, b in pairs) / len(pairs))
    assert code_agreement(first, second).tolist() == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.25, 4))
def test_frames_are_mapped_by_their_centres(num_frames: int, num_changed: int, ratio: float) -> None:
    found = frames_in_proportion(num_frames, num_changed, ratio)
    for frame, place in enumerate(found.tolist()):
        centre = (frame + 0.5) * ratio
        assert place <= centre + 1e-6
        assert centre <= place + 1 + 1e-6 or place == num_changed - 1


def test_as_long_a_sound_is_mapped_onto_itself() -> None:
    assert frames_in_proportion(17, 17, 1.0).tolist() == list(range(17))
    assert frames_in_proportion(3, 2, 1.0).tolist() == [0, 1, 1]


def test_how_an_end_is_rounded_moves_no_frame() -> None:
    # 40.2 frames of sound at a tempo of 0.9: 44.67 frames, of which one tokenizer makes 44, and another 45.
    down, up = (frames_in_proportion(40, number, 1 / 0.9) for number in (44, 45))
    assert down.tolist() == up.tolist() == [int((frame + 0.5) / 0.9) for frame in range(40)]


def test_runs_become_one() -> None:
    assert deduplicated(np.array([], np.int64)).tolist() == []
    assert deduplicated(np.array([4, 4, 1, 1, 4])).tolist() == [4, 1, 4]


def test_nothing_cannot_be_compared() -> None:
    nothing = np.zeros((2, 0), np.int64)
    with pytest.raises(UndefinedMetricError, match="no frame"):
        code_agreement(nothing, nothing)
    with pytest.raises(UndefinedMetricError, match="no unit"):
        unit_edits(nothing[0], nothing[0])
