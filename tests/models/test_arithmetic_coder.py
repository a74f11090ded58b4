"""The arithmetic coder: round trips, lengths, and distributions as the encodec package makes them."""

import numpy as np
import pytest
import torch
from encodec.quantization.ac import build_stable_quantized_cdf
from hypothesis import given, settings
from hypothesis import strategies as st

from tokbench.errors import BitstreamError
from tokbench.models.arithmetic_coder import (
    MIN_WIDTH,
    TOTAL_BITS,
    ArithmeticDecoder,
    ArithmeticEncoder,
    cumulative_widths,
)


def encode(symbols: list[int], distributions: list[np.ndarray]) -> bytes:
    encoder = ArithmeticEncoder()
    for symbol, widths in zip(symbols, distributions, strict=True):
        encoder.push(int(widths[symbol]), int(widths[symbol + 1]))
    return encoder.finish()


def decode(data: bytes, distributions: list[np.ndarray]) -> list[int]:
    decoder = ArithmeticDecoder(data)
    return [decoder.pull(widths) for widths in distributions]


def draw(num_symbols: int, sharpness: float, seed: int) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).standard_normal(num_symbols)
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


@st.composite
def messages(draw_one: st.DrawFn) -> tuple[list[int], list[np.ndarray]]:
    """Draw symbols of alphabets that change in size and in shape, however improbable the symbols are."""
    symbols, distributions = [], []
    for _ in range(draw_one(st.integers(0, 40))):
        size = draw_one(st.sampled_from([1, 2, 3, 17, 1024, 65536]))
        probabilities = draw(
            size, draw_one(st.sampled_from([0.0, 1.0, 10.0, 1000.0])), draw_one(st.integers(0, 99))
        )
        symbols.append(draw_one(st.sampled_from([0, size - 1, int(probabilities.argmax()), size // 2])))
        distributions.append(cumulative_widths(probabilities))
    return symbols, distributions


@settings(max_examples=60, deadline=None)
@given(messages())
def test_symbols_come_back(message: tuple[list[int], list[np.ndarray]]) -> None:
    symbols, distributions = message
    data = encode(symbols, distributions)
    assert decode(data, distributions) == symbols
    # The ideal length by the widths that were used; the end costs at most a byte, and rounding next to nothing.
    bits = sum(TOTAL_BITS - np.log2(w[s + 1] - w[s]) for s, w in zip(symbols, distributions, strict=True))
    assert 8 * len(data) <= bits + 8 + 1e-4 * len(symbols)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2]), max_size=300), st.integers(0, 2))
def test_carries_run_through_bytes_that_were_given_out(symbols: list[int], improbable: int) -> None:
    """Extreme distributions bring runs of full bytes, through which a carry must pass."""
    probabilities = np.full(3, 1e-9)
    probabilities[improbable] = 1 - 2e-9
    distributions = [cumulative_widths(probabilities)] * len(symbols)
    assert decode(encode(symbols, distributions), distributions) == symbols


def test_a_carry_reaches_the_byte_before_full_ones() -> None:
    """Just below a half for long, then just above it: 0x7FFF… becomes 0x80…."""
    halves = np.array([0, 1 << 23, 1 << 24])
    low_end = [np.array([0, (1 << 23) - 1, (1 << 23) + 1, 1 << 24])] * 2 + [np.array([0, 1, 1 << 24])] * 40
    symbols = [1, 1] + [1] * 40
    assert decode(encode(symbols, low_end), low_end) == symbols
    data = encode([0, 1, 1, 1, 1, 1, 1, 1, 1, 1], [halves] * 10)
    assert data == bytes([0b01111111, 0b11000000])


@pytest.mark.parametrize(("num_symbols", "sharpness"), [(2, 1.0), (30, 5.0), (1024, 2.0), (65536, 1.0)])
def test_the_length_is_the_cross_entropy(num_symbols: int, sharpness: float, rng: np.random.Generator) -> None:
    probabilities = draw(num_symbols, sharpness, seed=3)
    symbols = rng.choice(num_symbols, size=3000, p=probabilities).tolist()
    data = encode(symbols, [cumulative_widths(probabilities)] * len(symbols))
    bits = -np.log2(probabilities[symbols]).sum()
    assert 0.999 * bits - 8 <= 8 * len(data) <= 1.003 * bits + 8


@pytest.mark.parametrize(
    ("num_symbols", "sharpness"), [(1, 1.0), (2, 30.0), (1024, 3.0), (1024, 300.0), (65536, 2.0)]
)
def test_widths_equal_those_of_encodec(num_symbols: int, sharpness: float) -> None:
    probabilities = draw(num_symbols, sharpness, seed=5)
    expected = build_stable_quantized_cdf(
        torch.from_numpy(probabilities), TOTAL_BITS, roundoff=0, min_range=MIN_WIDTH
    )
    np.testing.assert_array_equal(cumulative_widths(probabilities)[1:], expected.numpy())


def test_differences_of_rounding_are_rounded_away(rng: np.random.Generator) -> None:
    probabilities = np.stack([draw(1024, 3.0, seed) for seed in range(200)])
    noise = 1 + 2e-16 * rng.integers(-4, 5, probabilities.shape)
    np.testing.assert_array_equal(cumulative_widths(probabilities * noise), cumulative_widths(probabilities))


def test_no_symbols_are_no_bytes() -> None:
    assert encode([], []) == b""


def test_bytes_beyond_the_distribution_are_refused() -> None:
    with pytest.raises(BitstreamError, match="stand for no code"):
        decode(b"\xff" * 8, [np.array([0, 2, 5])])
