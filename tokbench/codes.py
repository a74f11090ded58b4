"""Codes: what a tokenizer makes of audio. Integers, in streams that each have a size and a frame rate.

Axes: ``K`` codebooks, ``F`` frames, ``V`` codebook size. A flat tokenizer is one stream with ``K = 1``; RVQ is
one stream with ``K`` codebooks; a multi-rate codec has several streams.
"""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["CodeStream", "Codes", "StreamInfo", "checksum"]

_NUM_AXES = 2


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a tokenizer advertises of one stream."""

    num_codebooks: int
    codebook_size: int
    frame_rate_hz: float | None
    """Frames per second; None where the rate varies with the signal (de-duplicated units)."""
    name: str = ""
    """What the stream carries, where there are several: ``semantic``, ``acoustic``."""

    @property
    def bitrate_bps(self) -> float | None:
        """Nominal rate ``K · log2 V · f`` in bits per second; None where the frame rate varies."""
        if self.frame_rate_hz is None:
            return None
        return self.num_codebooks * math.log2(self.codebook_size) * self.frame_rate_hz

    def __str__(self) -> str:
        rate = "variable rate" if self.frame_rate_hz is None else f"{self.frame_rate_hz:g} Hz"
        size = f"{self.num_codebooks} x {self.codebook_size} at {rate}"
        return f"{self.name} {size}" if self.name else size


@dataclass(frozen=True)
class CodeStream:
    """The codes of one stream."""

    indices: Tensor
    """int64 [K, F], each in ``0 .. codebook_size - 1``."""
    codebook_size: int
    frame_rate_hz: float | None

    def __post_init__(self) -> None:
        if self.indices.ndim != _NUM_AXES or self.indices.dtype != torch.int64:
            msg = f"indices must be int64 [K, F], got {self.indices.dtype} {list(self.indices.shape)}"
            raise TypeError(msg)

    @property
    def num_codebooks(self) -> int:
        """``K``."""
        return self.indices.shape[0]

    @property
    def num_frames(self) -> int:
        """``F``."""
        return self.indices.shape[1]


@dataclass(frozen=True)
class Codes:
    """All that a decoder gets: the streams, and how much audio they stand for."""

    streams: tuple[CodeStream, ...]
    num_samples: int
    """Samples per channel of the audio that was encoded; decoding restores this length."""
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds of the audio that was encoded."""
        return self.num_samples / self.sample_rate_hz

    @property
    def num_tokens(self) -> int:
        """Number of integers over all streams."""
        return sum(stream.indices.numel() for stream in self.streams)

    @property
    def num_bits(self) -> float:
        """Bits of these codes at fixed length, ``sum(K · F · log2 V)``."""
        return sum(stream.indices.numel() * math.log2(stream.codebook_size) for stream in self.streams)

    @property
    def bitrate_bps(self) -> float:
        """Bits per second: ``sum(K · log2 V · f)``, with the measured rate where a stream's rate varies."""
        return sum(
            stream.num_codebooks
            * math.log2(stream.codebook_size)
            * (stream.num_frames / self.duration_s if stream.frame_rate_hz is None else stream.frame_rate_hz)
            for stream in self.streams
        )


def checksum(indices: Iterable[Tensor]) -> int:
    """Return the CRC-32 of the codes of all streams, int64 [K, F] each, one after another."""
    found = 0
    for codes in indices:
        found = zlib.crc32(codes.cpu().numpy().astype("<i8").tobytes(), found)
    return found
