import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from oracles.huffman import mean_code_length

from tokbench.errors import UndefinedMetricError
from tokbench.metrics import tokens

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any)


@given(COUNTS)
def test_entropy_is_that_of_scipy(counts: list[int]) -> None:
    assert tokens.entropy_bits(np.array(counts)) == pytest.approx(scipy.stats.entropy(counts, base=2), abs=1e-12)


@given(COUNTS)
def test_huffman_length_is_that_of_an_explicit_tree(counts: list[int]) -> None:
    assert tokens.huffman_bits(np.array(counts)) == pytest.approx(mean_code_length(counts), abs=1e-12)


@given(COUNTS)
def test_huffman_is_within_a_bit_of_the_entropy(counts: list[int]) -> None:
    entropy, huffman = tokens.entropy_bits(np.array(counts)), tokens.huffman_bits(np.array(counts))
    assert entropy - 1e-9 <= huffman < entropy + 1


def test_huffman_equals_entropy_for_dyadic_probabilities() -> None:
    counts = np.array([8, 4, 2, 1, 1])
    assert tokens.huffman_bits(counts) == tokens.entropy_bits(counts) == 1.875


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 1024])
def test_uniform_use_has_full_entropy_and_exact_shares(size: int) -> None:
    counts = np.full(size, 3)
    assert tokens.entropy_bits(counts) == pytest.approx(math.log2(size), abs=1e-12)
    assert tokens.perplexity(counts) == pytest.approx(size)
    assert tokens.usage(counts) == 1.0
    assert tokens.mass_of_rarest(counts) == pytest.approx(0.2)
    assert tokens.mass_of_commonest(counts) == pytest.approx(0.2)


def test_a_single_code_in_use_carries_no_information() -> None:
    counts = np.array([0, 0, 9, 0, 0])
    assert tokens.entropy_bits(counts) == tokens.huffman_bits(counts) == tokens.normalized_entropy(counts) == 0.0
    assert math.copysign(1.0, tokens.entropy_bits(counts)) == 1.0
    assert tokens.perplexity(counts) == 1.0
    assert tokens.usage(counts) == 0.2
    assert tokens.mass_of_rarest(counts) == 0.0
    assert tokens.mass_of_commonest(counts) == 1.0


def test_normalized_entropy_is_relative_to_the_codebook_and_not_to_the_codes_in_use() -> None:
    half_used = np.array([5, 5, 0, 0])
    assert tokens.normalized_entropy(half_used) == 0.5
    assert tokens.normalized_entropy(np.array([5])) == 0.0


def test_mass_of_the_rarest_counts_unused_codes_first() -> None:
    counts = np.array([0, 1, 3, 6, 10])
    assert tokens.mass_of_rarest(counts, share=0.4) == 1 / 20
    assert tokens.mass_of_commonest(counts, share=0.4) == 16 / 20


def test_the_code_on_the_boundary_counts_in_part() -> None:
    # A fifth of seven codes is the rarest one and 0.4 of the next.
    counts = np.array([10, 1, 10, 2, 10, 10, 10])
    assert tokens.mass_of_rarest(counts) == pytest.approx((1 + 0.4 * 2) / 53)
    assert tokens.mass_of_commonest(counts) == pytest.approx(1.4 * 10 / 53)


@pytest.mark.parametrize("statistic", tokens.__all__)
def test_statistics_of_no_token_are_undefined(statistic: str) -> None:
    with pytest.raises(UndefinedMetricError, match="no token was counted"):
        getattr(tokens, statistic)(np.zeros(4, dtype=np.int64))
