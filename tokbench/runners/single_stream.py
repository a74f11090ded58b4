"""Codes of tokenizers whose frames follow each other at one constant rate, for tasks that compare frames.

Axes: ``K`` codebooks, ``F`` frames.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokbench.errors import NotSupportedError

if TYPE_CHECKING:
    from tokbench.codes import Codes

__all__ = ["FrameCodes", "frame_codes"]


@dataclass(frozen=True)
class FrameCodes:
    """The codes of one stream."""

    indices: np.ndarray
    """int64 [K, F]."""
    codebook_size: int
    frame_rate_hz: float

    @property
    def num_frames(self) -> int:
        """``F``."""
        return int(self.indices.shape[1])


def frame_codes(name: str, codes: "Codes") -> FrameCodes:
    """Return the only stream of ``codes`` of the tokenizer ``name``.

    Raises :class:`NotSupportedError` where there are several, or where frames come at no constant rate.
    """
    stream, *others = codes.streams
    if others or stream.frame_rate_hz is None:
        raise NotSupportedError(name, "one stream of codes at a constant rate")
    return FrameCodes(stream.indices.numpy(), stream.codebook_size, stream.frame_rate_hz)
