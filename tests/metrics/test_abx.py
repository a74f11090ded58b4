"""ABX against fixed numbers of fastabx, slow loops, and what must hold whatever the numbers."""

import itertools
import math
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokbench.metrics import dtw_torch
from tokbench.metrics.abx import (
    Condition,
    Distance,
    Items,
    abx_errors,
    bootstrap,
    collapse,
    frames_of,
    pair_errors,
    pooled,
    some_frames_of,
)

ACROSS = Condition(on="phone", by=("context",), across="speaker")
WITHIN = Condition(on="phone", by=("context", "speaker"))
ANY = Condition(on="phone", across="speaker")


def items_of(frames: np.ndarray, labels: Mapping[str, object], starts: np.ndarray | None = None) -> Items:
    count = len(frames) if starts is None else len(starts) - 1
    bounds = np.arange(count + 1) if starts is None else starts
    return Items(frames.astype(np.float32), bounds, pd.DataFrame(labels))


def ragged(num_items: int, seed: int = 0, *, num_features: int = 5, repeats: bool = False) -> Items:
    """Return items of 1 to 6 frames; if ``repeats``, of few different frames, so that there are ties."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 7, num_items)
    frames = generator.standard_normal((lengths.sum(), num_features))
    if repeats:
        frames = frames[generator.integers(0, 3, len(frames))]
    labels = {
        "phone": generator.choice(list("abc"), num_items),
        "context": generator.choice(["x", "y"], num_items),
        "speaker": generator.choice(["s1", "s2", "s3"], num_items),
    }
    return items_of(frames, labels, np.concatenate([[0], np.cumsum(lengths)]))


# The numbers of fastabx 0.9 (tests/test_regression.py), from the same random vectors.
PINNED: Mapping[Distance, float] = {
    "euclidean": 0.4913194353381793,
    "cosine": 0.4809027786056201,
    "angular": 0.4809027786056201,
    "kl-symmetric": 0.4340277736385663,
    "identical": 0.5,
}


DEVICES = pytest.mark.parametrize("device", [None, "cpu"], ids=["one thread", "torch"])


@DEVICES
@pytest.mark.parametrize("distance", PINNED)
def test_errors_are_those_of_fastabx(distance: Distance, device: str | None) -> None:
    frames = np.random.default_rng(2026).standard_normal((36, 6)).astype(np.float32)
    if distance == "kl-symmetric":
        frames = np.abs(frames) + 0.1
        frames /= frames.sum(1, keepdims=True)
    if distance == "identical":
        frames = (np.arange(36) % 4).reshape(-1, 1)
    speakers = [f"s{n}" for n in (1, 2, 3) for _ in range(12)]
    items = items_of(frames, {"phone": list("abc" * 12), "speaker": speakers, "context": ["c1", "c2"] * 18})
    errors = abx_errors(items, ACROSS, distance, device=device)
    assert collapse(errors, ACROSS, ["speaker"]) == pytest.approx(PINNED[distance], abs=1e-6)


# The numbers of fastabx 0.9 on sequences of several frames, within speakers and across. What it calls cosine is the
# angle as well.
RAGGED: Mapping[Distance, tuple[float, float]] = {
    "angular": (0.4687056342760722, 0.5012621432542801),
    "euclidean": (0.46571220457553864, 0.49823325375715893),
    "kl-symmetric": (0.46136656900246936, 0.5130205502112707),
    "identical": (0.4685491969188054, 0.509873573978742),
}


def drawn(distance: Distance = "angular") -> Items:
    generator = np.random.default_rng(7)
    lengths = generator.integers(1, 7, 150)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    frames = generator.standard_normal((starts[-1], 5)).astype(np.float32)
    columns = {"phone": list("abc"), "context": ["x", "y"], "speaker": ["s1", "s2", "s3"]}
    labels = {name: generator.choice(values, 150) for name, values in columns.items()}
    if distance == "kl-symmetric":
        frames = np.abs(frames) / np.abs(frames).sum(1, keepdims=True)
    if distance == "identical":
        frames = (np.abs(frames[:, :1]) * 2).round()
    return items_of(frames, labels, starts)


def both_errors(items: Items, distance: Distance, device: str | None = None) -> list[float]:
    return [
        collapse(abx_errors(items, condition, distance, device=device), condition, ["context", "speaker"])
        for condition in (WITHIN, ACROSS)
    ]


@DEVICES
@pytest.mark.parametrize("distance", RAGGED)
def test_errors_of_sequences_are_those_of_fastabx(distance: Distance, device: str | None) -> None:
    assert both_errors(drawn(distance), distance, device) == pytest.approx(RAGGED[distance], abs=1e-6)


POOLED: Mapping[Literal["mean", "hamming"], tuple[float, float]] = {
    "mean": (0.45612893005212146, 0.4945592333873113),
    "hamming": (0.4827086428801219, 0.4964445283015569),
}
"""The numbers of fastabx 0.9 with ``pool_dataset``, of the same sequences."""


@pytest.mark.parametrize("window", POOLED)
def test_errors_of_pooled_items_are_those_of_fastabx(window: Literal["mean", "hamming"]) -> None:
    assert both_errors(pooled(drawn(), window), "angular") == pytest.approx(POOLED[window], abs=1e-6)


FRAME_DISTANCES: Mapping[Distance, Callable[[np.ndarray, np.ndarray], float]] = {
    "angular": lambda a, b: math.acos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)) / math.pi,
    "cosine": lambda a, b: 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b),
    "euclidean": math.dist,
    "kl-symmetric": lambda a, b: float(((a - b) * (np.log(a + 1e-6) - np.log(b + 1e-6))).sum() / 2),
    "identical": lambda a, b: float((a != b).any()),
}


def looped_distance(first: np.ndarray, second: np.ndarray, distance: Distance) -> float:
    """Return the mean over the best path, of all tables at once and step by step."""
    cost = np.full((len(first), len(second)), np.inf)
    steps = np.zeros(cost.shape, int)
    for i, j in np.ndindex(cost.shape):
        # In single precision, so that sums in double precision are exact and equal paths are.
        is_same = np.array_equal(first[i], second[j])
        local = 0.0 if is_same else float(np.float32(FRAME_DISTANCES[distance](first[i], second[j])))
        before = [(i - 1, j - 1), (i, j - 1), (i - 1, j)]
        before = [(k, m) for k, m in before if k >= 0 and m >= 0]
        if not before:
            cost[i, j], steps[i, j] = local, 1
            continue
        best = min(before, key=lambda at: cost[at])  # the first of equals: both, then the second sequence
        cost[i, j], steps[i, j] = cost[best] + local, steps[best] + 1
    return float(cost[-1, -1] / steps[-1, -1])


def looped_errors(items: Items, condition: Condition, distance: Distance) -> dict[tuple[object, ...], float]:
    """Return the error of each cell, triplet by triplet."""
    frames = items.frames.astype(np.float64)
    pieces = [frames[a:b] for a, b in itertools.pairwise(items.starts)]
    rows = items.labels.to_dict("records")
    counts: dict[tuple[object, ...], list[float]] = {}
    across = condition.across
    for a, b, x in itertools.permutations(range(len(rows)), 3):
        labels = [rows[n] for n in (a, b, x)]
        if len({tuple(row[name] for name in condition.by) for row in labels}) > 1:
            continue
        phones = [row["phone"] for row in labels]
        if phones[0] == phones[1] or phones[0] != phones[2]:
            continue
        if across and (labels[0][across] != labels[1][across] or labels[0][across] == labels[2][across]):
            continue
        to_a, to_b = (looped_distance(pieces[x], pieces[n], distance) for n in (a, b))
        key = (phones[0], phones[1], *(labels[0][name] for name in condition.by))
        key += (labels[0][across], labels[2][across]) if across else ()
        close = math.isclose(to_a, to_b, rel_tol=1e-5, abs_tol=1e-6)
        counts.setdefault(key, []).append(0.5 if close else float(to_a > to_b))
    return {key: float(np.mean(values)) for key, values in counts.items()}


def keyed(errors: pd.DataFrame, condition: Condition) -> dict[tuple[object, ...], float]:
    columns = ["phone_a", "phone_b", *condition.by]
    columns += [condition.across, f"{condition.across}_x"] if condition.across else []
    return dict(zip(errors[columns].itertuples(index=False, name=None), errors["error"], strict=True))


@DEVICES
@pytest.mark.parametrize("condition", [WITHIN, ACROSS, ANY], ids=["within", "across", "any"])
@pytest.mark.parametrize("distance", FRAME_DISTANCES)
def test_errors_are_those_of_loops(condition: Condition, distance: Distance, device: str | None) -> None:
    items = ragged(26, repeats=distance == "identical")
    if distance == "kl-symmetric":
        shares = np.abs(items.frames) / np.abs(items.frames).sum(1, keepdims=True)
        items = Items(shares, items.starts, items.labels)
    found = keyed(abx_errors(items, condition, distance, device=device), condition)
    expected = looped_errors(items, condition, distance)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_ties_are_those_of_loops(seed: int) -> None:
    items = ragged(14, seed, repeats=True)
    expected = pytest.approx(looped_errors(items, ANY, "angular"), abs=1e-6)
    assert keyed(abx_errors(items, ANY, "angular"), ANY) == expected
    assert keyed(abx_errors(items, ANY, "angular", device="cpu"), ANY) == expected


def test_batches_are_no_part_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    items = ragged(40, repeats=True)
    whole = abx_errors(items, WITHIN, "euclidean", device="cpu")
    monkeypatch.setattr(dtw_torch, "_NUMBERS_AT_ONCE", 100)
    pd.testing.assert_frame_equal(abx_errors(items, WITHIN, "euclidean", device="cpu"), whole)


def test_sizes_are_numbers_of_triplets() -> None:
    labels = {"phone": list("aaabb"), "context": ["x"] * 5, "speaker": ["s"] * 5}
    errors = abx_errors(items_of(np.eye(5), labels), WITHIN, "angular")
    assert dict(zip(errors["phone_a"], errors["size"], strict=True)) == {"a": 3 * 2 * 2, "b": 2 * 1 * 3}


def test_categories_apart_are_told_apart_and_equal_ones_are_not() -> None:
    generator = np.random.default_rng(0)
    labels = {"phone": list("ab" * 20), "context": ["x"] * 40, "speaker": ["s1"] * 20 + ["s2"] * 20}
    apart = np.where(np.arange(40)[:, None] % 2, [1.0, 0.0], [0.0, 1.0]) + 0.01 * generator.standard_normal((40, 2))
    assert collapse(abx_errors(items_of(apart, labels), ACROSS, "angular"), ACROSS, ["speaker"]) == 0
    assert collapse(abx_errors(items_of(np.ones((40, 2)), labels), ACROSS, "angular"), ACROSS, ["speaker"]) == 0.5


def test_levels_are_averaged_in_turn() -> None:
    errors = pd.DataFrame(
        [
            ("a", "b", "x", "s1", 0.0),
            ("a", "b", "y", "s1", 1.0),
            ("a", "b", "x", "s2", 1.0),
            ("b", "a", "x", "s1", 0.2),
        ],
        columns=["phone_a", "phone_b", "context", "speaker", "error"],
    )
    # Contexts first: 0.5 for s1 and 1 for s2; then speakers: 0.75; then the two pairs.
    assert collapse(errors, WITHIN, ["context", "speaker"]) == pytest.approx((0.75 + 0.2) / 2)
    assert list(pair_errors(errors, WITHIN, ["context", "speaker"])["error"]) == pytest.approx([0.75, 0.2])
    assert math.isnan(collapse(errors[:0], WITHIN, ["context"]))


def test_groups_and_speakers_are_limited() -> None:
    items = ragged(200)
    condition = Condition(on="phone", by=("context",), across="speaker", max_items=3, max_across=1, seed=1)
    errors = abx_errors(items, condition, "angular")
    assert errors["size"].max() == 27
    assert errors.groupby(["phone_a", "phone_b", "context", "speaker"]).size().max() == 1
    pd.testing.assert_frame_equal(errors, abx_errors(items, condition, "angular"))
    assert not errors.equals(abx_errors(items, Condition(**{**vars(condition), "seed": 2}), "angular"))


def test_pooled_items_are_their_means() -> None:
    items = ragged(12)
    means = [items.frames[a:b].mean(0) for a, b in itertools.pairwise(items.starts)]
    assert np.allclose(pooled(items).frames, means, atol=1e-6)
    assert np.array_equal(pooled(items).starts, np.arange(13))


@pytest.mark.parametrize(
    ("start_s", "end_s", "rate_hz", "kept"),
    [
        (0.0, 0.1, 100, range(10)),
        (0.005, 0.015, 100, range(2)),  # centres at 5 and 15 ms: both ends belong to it
        (0.04, 0.2, 12.5, range(3)),
        (0.0, 0.001, 50, range(0)),
    ],
)
def test_an_item_has_the_frames_whose_centres_lie_in_it(
    start_s: float, end_s: float, rate_hz: float, kept: range
) -> None:
    centres = [(n + 0.5) / rate_hz for n in range(50)]
    assert list(kept) == [n for n, at in enumerate(centres) if start_s - 1e-9 <= at <= end_s + 1e-9]
    found = frames_of(start_s, end_s, rate_hz)
    assert list(range(50))[found] == list(kept)
    assert list(range(50))[frames_of(start_s, end_s, rate_hz, drop_last=True)] == list(kept)[:-1]


@pytest.mark.parametrize(
    ("start_s", "end_s", "kept"),
    [(0.04, 0.2, range(3)), (0.05, 0.11, [1]), (0.13, 0.15, [1]), (0.9, 0.93, [9]), (0.7, 0.9, [9])],
)
def test_an_item_without_a_centre_has_the_frame_around_its_middle(
    start_s: float, end_s: float, kept: Sequence[int]
) -> None:
    assert list(range(10))[some_frames_of(start_s, end_s, 12.5, 10)] == list(kept)
    assert not list(range(10))[some_frames_of(start_s, end_s, 12.5, 0)]


def test_intervals_widen_with_what_speakers_differ() -> None:
    generator = np.random.default_rng(0)
    rows = [
        (f"p{a}", f"q{b}", "x", f"s{s}", float(np.clip(0.2 + 0.01 * s + 0.02 * generator.standard_normal(), 0, 1)))
        for a, b, s in itertools.product(range(6), range(6), range(8))
    ]
    names = ["phone_a", "phone_b", "context", "speaker", "error"]
    alike = pd.DataFrame(rows, columns=names)
    unlike = alike.assign(error=alike["error"] + 0.1 * alike["speaker"].str[1:].astype(int))
    widths = []
    for errors in (alike, unlike):
        low, high = bootstrap(errors, WITHIN, ["context", "speaker"], speaker="speaker")
        assert low < collapse(errors, WITHIN, ["context", "speaker"]) < high
        widths.append(high - low)
    assert widths[1] > 5 * widths[0]


def test_nothing_is_said_of_one_cell() -> None:
    errors = pd.DataFrame(
        [("a", "b", "x", "s1", 0.1)], columns=["phone_a", "phone_b", "context", "speaker", "error"]
    )
    assert all(map(math.isnan, bootstrap(errors, WITHIN, ["context", "speaker"], speaker="speaker")))


@pytest.mark.parametrize(("num_speakers", "is_said"), [(1, False), (2, False), (3, True)])
def test_nothing_is_said_of_fewer_than_three_speakers(num_speakers: int, *, is_said: bool) -> None:
    rows = [
        (f"p{a}", f"q{b}", "x", f"s{s}", 0.1 * (a + b + s) % 1)
        for a, b, s in itertools.product(range(3), range(3), range(num_speakers))
    ]
    errors = pd.DataFrame(rows, columns=["phone_a", "phone_b", "context", "speaker", "error"])
    found = bootstrap(errors, WITHIN, ["context", "speaker"], speaker="speaker")
    assert all(map(math.isfinite, found)) == is_said


@DEVICES
def test_memory_grows_with_pairs_and_not_with_triplets(device: str | None) -> None:
    count = 120
    labels = {"phone": ["a", "b"] * count, "context": ["x"] * 2 * count, "speaker": ["s"] * 2 * count}
    items = items_of(np.random.default_rng(0).standard_normal((2 * count, 4)), labels)
    abx_errors(items, WITHIN, "angular", device=device)  # compiled
    tracemalloc.start()
    errors = abx_errors(items, WITHIN, "angular", device=device)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    num_pairs, num_triplets = (2 * count) ** 2, int(errors["size"].sum())
    assert num_triplets == 2 * count * (count - 1) * count
    assert (
        peak_bytes < 150 * num_pairs < 4 * num_triplets
    )  # what arrays of NumPy take: a number for each is far more


def test_empty_items_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame for each item"):
        items_of(np.ones((2, 1)), {"phone": ["a", "b", "c"]}, np.array([0, 1, 1, 2]))
