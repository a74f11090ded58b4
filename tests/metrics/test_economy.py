"""Merges, n-grams and the Gini coefficient against slow loops and cases that are known."""

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokbench.errors import UndefinedMetricError
from tokbench.metrics.economy import gini, learn_merges, ngram_bits


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any))
def test_gini_is_the_mean_difference(counts: list[int]) -> None:
    differences = sum(abs(a - b) for a, b in itertools.product(counts, counts))
    assert gini(np.array(counts)) == pytest.approx(differences / (2 * len(counts) * sum(counts)))


def test_gini_of_one_code_and_of_all() -> None:
    assert gini(np.array([7, 7, 7, 7])) == 0.0
    assert gini(np.array([0, 9, 0, 0])) == 0.75
    with pytest.raises(UndefinedMetricError, match="no token"):
        gini(np.zeros(4, np.int64))


def test_pairs_of_pairs_are_merged() -> None:
    codes = np.array([0, 1] * 32)
    one, two = (learn_merges([codes], [codes[:16]], number) for number in (1, 2))
    assert (one.length(codes[:16]), two.length(codes[:16])) == (8, 4)
    assert (one.num_merges, two.num_merges) == (1, 2)


def test_a_pair_that_comes_once_is_not_learnt() -> None:
    merges = learn_merges([np.array([0, 1, 2, 3])], [np.array([4, 0, 1])], 100)
    assert (merges.num_merges, merges.length(np.array([4, 0, 1]))) == (0, 3)


def test_codes_that_training_lacks_are_kept() -> None:
    merges = learn_merges([np.array([70000, 5] * 8)], [np.array([9, 70000, 5, 9])], 1)
    assert merges.length(np.array([9, 70000, 5, 9])) == 3


def merged(sequence: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """Return ``sequence`` with ``pair`` as one, from left to right."""
    found: list[str] = []
    rest = list(sequence)
    while rest:
        size = 2 if tuple(rest[:2]) == pair else 1
        found.append("".join(rest[:size]))
        del rest[:size]
    return found


def test_each_merge_is_of_a_pair_that_is_commonest() -> None:
    generator = np.random.default_rng(0)
    training = [np.repeat(generator.integers(0, 5, 40), generator.integers(1, 4, 40)) for _ in range(6)]
    others = [np.repeat(generator.integers(0, 5, 30), generator.integers(1, 4, 30)) for _ in range(3)]
    merges = learn_merges(training, others, 12)
    learnt = [tuple(pair) for pair in json.loads(merges.model.to_str())["model"]["merges"]]
    assert len(learnt) == merges.num_merges == 12
    spelled = [[merges.characters[code] for code in codes.tolist()] for codes in training]
    written = [[merges.characters[code] for code in codes.tolist()] for codes in others]
    for pair in learnt:
        counts = Counter(two for sequence in spelled for two in itertools.pairwise(sequence))
        # Runs of one symbol overlap themselves, and may be counted once or twice.
        assert counts[pair] >= max(n for two, n in counts.items() if two[0] != two[1])
        spelled = [merged(sequence, pair) for sequence in spelled]
        written = [merged(sequence, pair) for sequence in written]
    assert [merges.length(codes) for codes in others] == [len(sequence) for sequence in written]


def looped_bits(training: list[list[int]], others: list[list[int]], size: int, order: int) -> list[list[float]]:
    """Return Witten and Bell's bits, with a table of followers for each history."""
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    begin = [size] * order

    def history(codes: list[int], place: int, length: int) -> tuple[int, ...]:
        return tuple((begin + codes)[place + order - length : place + order])

    for codes in training:
        for place, length in itertools.product(range(len(codes)), range(order)):
            followers[history(codes, place, length)][codes[place]] += 1

    def probability(codes: list[int], place: int, length: int) -> float:
        shorter = probability(codes, place, length - 1) if length else 1 / size
        found = followers.get(history(codes, place, length))
        if found is None:
            return shorter
        return (found[codes[place]] + len(found) * shorter) / (found.total() + len(found))

    return [[-math.log2(probability(codes, place, order - 1)) for place in range(len(codes))] for codes in others]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_bits_are_those_of_a_loop(order: int, size: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    sequences = [generator.integers(0, size, generator.integers(1, 15)) for _ in range(5)]
    training, others = sequences[:3], sequences[3:]
    found = ngram_bits(training, others, codebook_size=size, order=order)
    expected = looped_bits([s.tolist() for s in training], [s.tolist() for s in others], size, order)
    assert [bits.tolist() for bits in found] == [pytest.approx(bits) for bits in expected]


def test_probabilities_of_what_may_come_add_up() -> None:
    generator = np.random.default_rng(1)
    training = [generator.integers(0, 4, 20) for _ in range(3)]
    for history in ([], [0], [1, 2], [5, 5]):
        others = [np.array([*history, code]) for code in range(6)]
        bits = ngram_bits(training, others, codebook_size=6, order=3)
        assert sum(2 ** -found[-1] for found in bits) == pytest.approx(1.0)


def test_nothing_known_costs_what_a_code_has() -> None:
    (bits,) = ngram_bits([np.array([0])], [np.array([3, 2, 1])], codebook_size=8, order=1)
    assert bits.tolist() == pytest.approx([-math.log2((1 / 8) / 2)] * 3)


def test_what_always_follows_costs_next_to_nothing() -> None:
    cycle = np.arange(4000) % 8
    (bits,) = ngram_bits([cycle], [cycle[:800]], codebook_size=8, order=2)
    assert bits.mean() < 0.02
    (alone,) = ngram_bits([cycle], [cycle[:800]], codebook_size=8, order=1)
    assert alone.mean() == pytest.approx(3.0, abs=0.01)
