"""Codes of two computations of the same thing, which may round differently."""

from dataclasses import replace

from torch import Tensor

from tokbench.codes import Codes

TIES = 0.02
"""Share of frames that may differ.

Between two codewords as near as rounding can tell, a processor's instructions decide, and another's otherwise; the
deeper codebooks of that frame then code another residual. Wrong networks or codebooks change nearly all frames.
"""


def expect_same_codes(actual: Tensor, expected: Tensor) -> None:
    """Expect codes [..., K, F] to be equal but for ties in few frames."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    frames = (actual != expected).any(dim=-2)
    assert int(frames.sum()) <= TIES * frames.numel(), f"{int(frames.sum())} of {frames.numel()} frames differ"


def holding(codes: Codes, indices: Tensor) -> Codes:
    """Return the codes with these indices [K, F] in their first streams: found elsewhere, to be decoded here."""
    first, streams = 0, []
    for stream in codes.streams:
        end = first + len(stream.indices)
        streams.append(replace(stream, indices=indices[first:end]) if first < len(indices) else stream)
        first = end
    return replace(codes, streams=tuple(streams))
