"""Codes: rates are derived, never told."""

import math

import pytest
import torch

from tokbench.codes import Codes, CodeStream, StreamInfo


def stream(num_codebooks: int, num_frames: int, *, size: int = 1024, rate_hz: float | None = 50.0) -> CodeStream:
    return CodeStream(torch.zeros(num_codebooks, num_frames, dtype=torch.int64), size, rate_hz)


def test_the_nominal_bitrate_of_encodec_is_the_published_one() -> None:
    assert StreamInfo(8, 1024, 75.0).bitrate_bps == pytest.approx(6000)


def test_streams_of_several_rates_add_up() -> None:
    codes = Codes((stream(1, 10, rate_hz=10.0), stream(2, 20, rate_hz=20.0)), 16000, 16000)
    assert codes.bitrate_bps == pytest.approx(10 * (1 * 10 + 2 * 20))
    assert codes.num_tokens == 10 + 2 * 20
    assert codes.num_bits == pytest.approx(500)


def test_the_rate_of_a_variable_stream_is_the_measured_one() -> None:
    codes = Codes((stream(1, 13, size=100, rate_hz=None),), 8000, 16000)
    assert codes.bitrate_bps == pytest.approx(26 * math.log2(100))
    assert StreamInfo(1, 100, None).bitrate_bps is None


def test_a_codebook_of_one_entry_carries_nothing() -> None:
    assert StreamInfo(1, 1, 50.0).bitrate_bps == 0


def test_codes_must_be_integers_on_two_axes() -> None:
    with pytest.raises(TypeError, match=r"int64 \[K, F\]"):
        CodeStream(torch.zeros(4, dtype=torch.int64), 8, 50.0)
    with pytest.raises(TypeError, match="float32"):
        CodeStream(torch.zeros(4, 2), 8, 50.0)
