"""Codes of tokenizers whose frames follow each other at one constant rate, for tasks that compare frames.

Axes: ``K`` codebooks, ``F`` frames.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokbench.errors import NotSupportedError

if TYPE_CHECKING:
    from tokbench.codecs.base import TokenizerInfo
    from tokbench.codes import Codes

__all__ = ["FrameCodes", "frame_codes"]


SCALE = "scale"
"""Name of streams that tell how loud the sound was, and nothing of the sound itself."""


@dataclass(frozen=True)
class FrameCodes:
    """The codes of one stream, or of several that are as fast and as large."""

    indices: np.ndarray
    """int64 [K, F]."""
    codebook_size: int
    frame_rate_hz: float

    @property
    def num_frames(self) -> int:
        """``F``."""
        return int(self.indices.shape[1])


def frame_codes(info: "TokenizerInfo", codes: "Codes") -> FrameCodes:
    """Return ``codes`` of the tokenizer that ``info`` tells of, the codebooks of one stream after those of another.

    A stream of scales, which is told by its name, is left out. Raises :class:`NotSupportedError` where
    streams differ in size or rate, or where frames come at no constant rate.
    """
    kept = [stream for stream, told in zip(codes.streams, info.streams, strict=True) if told.name != SCALE]
    kinds = {(stream.codebook_size, stream.frame_rate_hz, stream.num_frames) for stream in kept}
    if len(kinds) != 1 or kept[0].frame_rate_hz is None:
        raise NotSupportedError(info.name, "codes of one size at one constant rate")
    indices = np.concatenate([stream.indices.numpy() for stream in kept])
    return FrameCodes(indices, kept[0].codebook_size, kept[0].frame_rate_hz)
