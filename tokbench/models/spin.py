"""Codes of unit length, and the projection in which frames are compared to them: Spin and DC-Spin.

Axes: ``B`` batch, ``T`` samples, ``F`` frames, ``N`` chosen frames, ``D`` features, ``V`` codes.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tokbench.models.ssl import MelEncoder, WaveEncoder

__all__ = ["CodeHead", "ProjectedEncoder"]


class CodeHead(nn.Module):
    """A linear map to ``dimension`` features, and a codebook (Spin, section 2.2)."""

    def __init__(self, num_features: int, codebook_size: int, *, dimension: int) -> None:
        super().__init__()
        self.projection = nn.Linear(num_features, dimension)
        self.codebook = nn.Parameter(normalize(torch.randn(codebook_size, dimension), dim=1))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the cosines [N, V] of ``frames`` [N, D] with every code, which has unit length."""
        cosines: Tensor = self.directions(frames) @ self.codebook.T
        return cosines

    def directions(self, frames: Tensor) -> Tensor:
        """Return [..., D'] at unit length of ``frames`` [..., D]."""
        return normalize(self.projection(frames), dim=-1)

    @torch.no_grad()
    def normalize_(self) -> None:
        """Bring every code back to unit length."""
        self.codebook.copy_(normalize(self.codebook, dim=1))


class ProjectedEncoder(nn.Module):
    """A speech encoder whose frames are directions; the nearest code to one is that of the largest cosine."""

    def __init__(self, encoder: WaveEncoder | MelEncoder, head: CodeHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.hop_length: int = encoder.hop_length
        self.num_features: int = head.projection.out_features

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T]."""
        return self.head.directions(self.encoder(samples))

    def features(self, samples: Tensor) -> Tensor:
        """Return [B, F, D] of ``samples`` [B, 1, T]."""
        return self.head.directions(self.encoder.features(samples))
