"""A loudness as codes: the four bytes of a float32, once for an utterance."""

import torch
from torch import Tensor

from tokbench.codes import StreamInfo

__all__ = ["LOUDNESS_STREAM", "bytes_of", "loudness_of"]

LOUDNESS_STREAM = StreamInfo(4, 256, None, "scale")
"""The highest byte first."""
_SHIFTS = (24, 16, 8, 0)


def bytes_of(loudness: Tensor) -> Tensor:
    """Return int64 [4, 1] of ``loudness``, one float32.

    >>> bytes_of(torch.tensor([1.0])).flatten().tolist()
    [63, 128, 0, 0]
    """
    bits = loudness.reshape(1).view(torch.int32).to(torch.int64)
    return torch.stack([(bits >> shift) & 255 for shift in _SHIFTS])


def loudness_of(indices: Tensor) -> Tensor:
    """Return float32 [1, 1] of its bytes, int64 ``indices`` [4, 1]."""
    bits = sum(row << shift for row, shift in zip(indices, _SHIFTS, strict=True))
    return torch.as_tensor(bits).to(torch.int32).view(torch.float32)[None]
