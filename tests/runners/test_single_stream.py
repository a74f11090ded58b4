"""Codes that tasks compare frame by frame: of one stream, or of several that are alike."""

import numpy as np
import pytest
import torch

from tokbench.codecs.base import TokenizerInfo
from tokbench.codes import Codes, CodeStream, StreamInfo
from tokbench.errors import NotSupportedError
from tokbench.runners.single_stream import frame_codes

SEMANTIC = StreamInfo(1, 8, 12.5, "semantic")
ACOUSTIC = StreamInfo(2, 8, 12.5, "acoustic")
SCALE = StreamInfo(4, 256, None, "scale")


def joined(*streams: StreamInfo) -> np.ndarray:
    """Return what is made of streams whose codebooks are 0, 1, 2 … all along five frames, scales one frame."""
    numbers = iter(range(8))
    made = []
    for stream in streams:
        rows = [[next(numbers)] * (1 if stream.frame_rate_hz is None else 5) for _ in range(stream.num_codebooks)]
        made.append(CodeStream(torch.tensor(rows), stream.codebook_size, stream.frame_rate_hz))
    info = TokenizerInfo(sample_rate_hz=16000, streams=streams, name="several")
    frames = frame_codes(info, Codes(tuple(made), num_samples=6400, sample_rate_hz=16000))
    assert (frames.codebook_size, frames.frame_rate_hz, frames.num_frames) == (8, 12.5, 5)
    return frames.indices[:, 0]


def test_streams_that_are_alike_are_codebooks_of_one() -> None:
    assert joined(ACOUSTIC).tolist() == [0, 1]
    assert joined(SEMANTIC, ACOUSTIC).tolist() == [0, 1, 2]


def test_how_loud_it_was_is_no_token() -> None:
    assert joined(ACOUSTIC, SCALE).tolist() == [0, 1]


@pytest.mark.parametrize(
    "others",
    [(StreamInfo(1, 16, 12.5),), (StreamInfo(1, 8, 25.0),), (StreamInfo(1, 8, None),)],
    ids=["size", "rate", "no rate"],
)
def test_streams_that_differ_are_not_joined(others: tuple[StreamInfo, ...]) -> None:
    with pytest.raises(NotSupportedError, match="several does not offer codes of one size at one constant rate"):
        joined(ACOUSTIC, *others)
