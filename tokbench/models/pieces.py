"""Running a network with a finite receptive field on a long signal in bounded memory.

Axes: ``B`` batch, ``C`` channels, ``T`` time, counted in frames of ``in_step`` steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Reach", "in_pieces"]


@dataclass(frozen=True)
class Reach:
    """Frames on which a frame depends, besides its own."""

    before: int
    after: int


def in_pieces(
    network: Callable[[Tensor], Tensor],
    values: Tensor,
    *,
    reach: Reach,
    num_frames: int,
    in_step: int = 1,
    out_step: int = 1,
) -> Tensor:
    """Return ``network(values)``, [B, C', N · out_step] of [B, C, N · in_step], of ``num_frames`` frames at a time.

    Each piece is extended by the reach of the network, and what belongs to the extension is dropped.
    """
    total = values.shape[-1] // in_step
    if total <= num_frames + reach.before + reach.after:
        return network(values)
    kept = []
    for first in range(0, total, num_frames):
        last = min(first + num_frames, total)
        start, stop = max(first - reach.before, 0), min(last + reach.after, total)
        output = network(values[..., start * in_step : stop * in_step])
        kept.append(output[..., (first - start) * out_step : (last - start) * out_step])
    return torch.cat(kept, dim=-1)
