"""Bits as codes: nothing is lost, and the bitrate is the transmitted one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokbench.codecs.bits import (
    bits_of_frames,
    frames_of_bits,
    join_packets,
    split_packets,
    streams_of_bits,
)


@pytest.mark.parametrize("num_bits", [*range(8, 33), 95, 103, 189, 244, 260, 477])
def test_frames_of_any_number_of_bits_come_back_and_count_for_that_number(
    num_bits: int, rng: np.random.Generator
) -> None:
    bits = rng.integers(0, 2, (7, num_bits), dtype=np.uint8)
    frames = [bytes(frame) for frame in np.packbits(bits, axis=1)]
    streams = frames_of_bits(frames, num_bits)
    assert list(bits_of_frames(streams, num_bits)) == frames
    infos = streams_of_bits(num_bits, 50)
    assert sum(info.bitrate_bps or 0 for info in infos) == pytest.approx(50 * num_bits)
    for stream, info in zip(streams, infos, strict=True):
        assert stream.shape == (info.num_codebooks, 7)
        assert int(stream.max()) < info.codebook_size


def test_a_bit_keeps_its_place() -> None:
    # The highest bit of the first byte, and the last of twelve bits.
    streams = frames_of_bits([b"\x80\x10"], 12)
    assert [stream.tolist() for stream in streams] == [[[128]], [[1]]]


def test_bits_beyond_the_frame_are_dropped() -> None:
    assert list(bits_of_frames(frames_of_bits([b"\xff\xff\xff"], 12), 12)) == [b"\xff\xf0"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 1100), min_size=1, max_size=8).filter(any))
def test_packets_of_any_size_come_back(sizes: list[int]) -> None:
    packets = [bytes(np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)) for size in sizes]
    assert list(split_packets(join_packets(packets))) == packets


def test_a_packet_costs_its_bytes_and_one_more_for_each_255() -> None:
    content, lacing = join_packets([bytes(254), bytes(255), bytes(600)])
    assert content.shape == (1, 1109)
    assert lacing.tolist() == [[254, 255, 0, 255, 255, 90]]
