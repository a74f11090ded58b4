"""Feature-wise linear modulation: one network that does two things (Perez et al. 2018, arXiv:1709.07871).

SoundStream turns denoising on and off by it, at the bottleneck (Zeghidour et al. 2021, arXiv:2107.03312, section
III-F).

Axes: ``B`` batch, ``D`` features, ``F`` frames.
"""

import torch
from torch import Tensor, nn

__all__ = ["Film"]


class Film(nn.Module):
    """Scales and shifts each feature by what is learnt for a condition, off or on. It begins as the identity."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, dimension))
        self.shift = nn.Parameter(torch.zeros(2, dimension))

    def forward(self, values: Tensor, is_on: Tensor) -> Tensor:
        """Return [B, D, F] of ``values`` [B, D, F], of which bool ``is_on`` [B] says the condition."""
        chosen = is_on.long()
        return self.scale[chosen][..., None] * values + self.shift[chosen][..., None]
