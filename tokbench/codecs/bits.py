"""Bits as codes, for codecs that transmit them: the bitrate derived from the codes is then the transmitted one.

A frame of constant size is cut into bytes, one codebook of 256 entries each; where its bits are no whole bytes, the
bits left over are a second stream, of one smaller codebook: 244 bits are 30 x 256 and 1 x 16, and still 244 bits.
Packets that vary in size are their bytes in a row and, so that they can be told apart, the lacing values by which
an Ogg page tells them apart (RFC 3533, 6: 255 means that the packet goes on).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from tokbench.codes import StreamInfo

__all__ = ["PACKETS", "bits_of_frames", "frames_of_bits", "join_packets", "split_packets", "streams_of_bits"]

_BYTE = 8
_LACING_FULL = 255

PACKETS = (StreamInfo(1, 256, None, "bytes"), StreamInfo(1, 256, None, "lacing"))
"""What a codec advertises whose packets vary in size."""


def streams_of_bits(num_bits: int, frame_rate_hz: float) -> tuple[StreamInfo, ...]:
    """Return what a codec of ``num_bits`` per frame advertises.

    >>> [str(stream) for stream in streams_of_bits(244, 50)]
    ['bytes 30 x 256 at 50 Hz', 'rest 1 x 16 at 50 Hz']
    """
    num_bytes, num_left = divmod(num_bits, _BYTE)
    streams = (StreamInfo(num_bytes, 256, frame_rate_hz, "bytes"),)
    return (*streams, StreamInfo(1, 2**num_left, frame_rate_hz, "rest")) if num_left else streams


def frames_of_bits(frames: Iterable[bytes], num_bits: int) -> list[Tensor]:
    """Return int64 [K, F] per stream of frames, of each its first ``num_bits``, the highest of a byte first."""
    length = -(-num_bits // _BYTE)
    content = np.stack([np.frombuffer(frame, np.uint8, count=length) for frame in frames], axis=1)
    num_bytes, num_left = divmod(num_bits, _BYTE)
    codes = torch.from_numpy(content.astype(np.int64))
    return [codes[:num_bytes], codes[num_bytes:] >> (_BYTE - num_left)] if num_left else [codes]


def bits_of_frames(streams: list[Tensor], num_bits: int) -> Iterator[bytes]:
    """Yield the frames of codes [K, F] per stream, the last byte of each filled up with zeros."""
    parts = [stream.cpu().numpy() for stream in streams]
    if num_left := num_bits % _BYTE:
        parts[-1] = parts[-1] << (_BYTE - num_left)
    return (bytes(frame) for frame in np.concatenate(parts).astype(np.uint8).T)


def join_packets(packets: Iterable[bytes]) -> list[Tensor]:
    """Return int64 [1, F] of the bytes of ``packets``, and of their lacing values."""
    kept = list(packets)
    lacing = b"".join(
        bytes([_LACING_FULL]) * (len(p) // _LACING_FULL) + bytes([len(p) % _LACING_FULL]) for p in kept
    )
    return [
        torch.from_numpy(np.frombuffer(content, np.uint8).astype(np.int64))[None]
        for content in (b"".join(kept), lacing)
    ]


def split_packets(streams: list[Tensor]) -> Iterator[bytes]:
    """Yield the packets of what :func:`join_packets` returned."""
    content, lacing = (stream[0].cpu().numpy().astype(np.uint8) for stream in streams)
    start = end = 0
    for value in lacing.tolist():
        end += value
        if value < _LACING_FULL:
            yield content[start:end].tobytes()
            start = end
