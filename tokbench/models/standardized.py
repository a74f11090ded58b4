"""A network on standardized inputs: what the vocoders of AudioDec are (Wu et al. 2023, arXiv:2305.16608).

Axes: ``B`` batch, ``D`` features, ``F`` frames.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tokbench.models.processes import sum_over_processes_

__all__ = ["Standardized"]

_SMALLEST_DEVIATION = 1e-8
"""Below it, rounding is all that varies."""


class Standardized(nn.Module):
    """``network`` of latents less their mean, over their standard deviation, as they were in its training data."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, *, dimension: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("scale", torch.ones(dimension))

    def forward(self, latents: Tensor) -> Tensor:
        """Return what the network makes of ``latents`` [B, D, F], standardized."""
        output: Tensor = self.network((latents - self.mean[:, None]) / self.scale[:, None])
        return output

    @torch.no_grad()
    def measure(self, latents: Iterable[Tensor]) -> None:
        """Take mean and standard deviation over all frames of ``latents``, each [B, D, F], of all processes.

        A feature that does not vary is not scaled.
        """
        # Frames, their sum and their sum of squares: [3, D], in double precision.
        sums = torch.zeros(3, len(self.mean), dtype=torch.float64, device=self.mean.device)
        for values in latents:
            frames = values.double().transpose(1, 2).flatten(0, 1)
            sums += torch.stack([torch.ones_like(frames), frames, frames.square()]).sum(dim=1)
        count, total, squares = sum_over_processes_(sums)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(deviation.where(deviation > _SMALLEST_DEVIATION, 1.0))
