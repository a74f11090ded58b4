"""Examples: the streams of an item, as tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokbench.lm.layouts import ABSENT
from tokbench.specs.lm_streams import CodeSource, Source

__all__ = ["Example", "deduplicated", "edges", "frame_rate_hz", "run_lengths", "stretched"]


@dataclass(frozen=True)
class Example:
    """What there is to learn from at once."""

    streams: Mapping[str, Tensor]
    """By the name of the stream: symbols int64 [K, F], features float32 [F, D]."""
    form: str = ""
    """Form that it is an example of; every one whose streams are there if empty."""
    is_ended: bool = True
    """Whether the streams end where they stop; not so in a piece of something longer."""
    duration_s: float = 0.0
    """Of its audio; 0 for none."""

    def to(self, device: torch.device) -> "Example":
        """Return this example on ``device``."""
        return replace(self, streams={name: values.to(device) for name, values in self.streams.items()})


def deduplicated(codes: Tensor) -> Tensor:
    """Return ``codes`` int64 [K, F] without the frames that are like the one before.

    >>> deduplicated(torch.tensor([[3, 3, 5, 5, 5, 3]])).tolist()
    [[3, 5, 3]]
    """
    return codes[:, edges(codes)]


def edges(codes: Tensor) -> Tensor:
    """Return bool [F], whether each frame of ``codes`` int64 [K, F] differs from the one before; the first does."""
    is_new = torch.ones(codes.shape[1], dtype=torch.bool)
    is_new[1:] = (codes[:, 1:] != codes[:, :-1]).any(dim=0)
    return is_new


def run_lengths(codes: Tensor) -> Tensor:
    """Return int64 [R], for how many frames each run of equal frames of ``codes`` int64 [K, F] lasts.

    >>> run_lengths(torch.tensor([[3, 3, 5, 5, 5, 3]])).tolist()
    [2, 3, 1]
    """
    starts = edges(codes).nonzero()[:, 0]
    return torch.diff(starts, append=torch.tensor([codes.shape[1]]))


def stretched(runs: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes int64 [K, F] in which each of ``runs`` int64 [K, R] lasts, and where each ends, int64 [R].

    Symbol v of the first codebook lasts for ``frames[v]``, float [V], on average; what is rounded of a run is made
    up for by the next, and each has a frame at least.

    >>> stretched(torch.tensor([[0, 1, 0]]), torch.tensor([1.4, 3.0]))[0].tolist()
    [[0, 1, 1, 1, 0, 0]]
    """
    asked = frames[runs[0]].double().cumsum(0).round().long()
    least = torch.arange(1, runs.shape[1] + 1)
    # Of ends that lie at least a frame apart, the earliest that are no earlier than is asked.
    ends = (asked - least).clamp_min(0).cummax(0).values + least if len(asked) else asked
    return runs.repeat_interleave(torch.diff(ends, prepend=torch.zeros(1, dtype=torch.int64)), dim=1), ends


def only_edges(codes: Tensor, num_channels: int) -> Tensor:
    """Return ``codes`` int64 [K, F] with those absent in whose channel the first codebook goes on unchanged."""
    kept = [channel.masked_fill(~edges(channel[:1]), ABSENT) for channel in codes.chunk(num_channels)]
    return torch.cat(kept)


def frame_rate_hz(source: Source) -> float | None:
    """Return the frames per second of a stream whose frames are evenly spaced in time; None for another."""
    if isinstance(source, CodeSource) and not source.is_aligned:
        return None
    return getattr(source, "frame_rate_hz", None)
