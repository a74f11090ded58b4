"""Finite scalar quantization: a few features, each rounded to a few levels.

Mentzer et al. 2023, arXiv:2309.15505, with levels that lie symmetrically in -1 .. 1 and residual layers, as in
Parker et al. 2024, arXiv:2411.19842, section 3.2. There is nothing to learn but two linear maps.

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features, ``L`` features that are rounded.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tokbench.models.quantization.base import Quantized, TrainableQuantizer
from tokbench.specs.quantizers import Fsq

__all__ = ["FiniteScalar"]


class FiniteScalar(TrainableQuantizer):
    """Features of the latents are projected to those that are rounded, and back, unless they are as many.

    A feature z with n levels is bounded to c · tanh(z / c), c = 1 + 1 / (n - 1): half a step beyond the outermost
    levels. Codebook k = 0, 1, … rounds what is left, in parts of n to the power -k. The first feature is the least
    digit of a code.
    """

    steps: Tensor
    bounds: Tensor
    digits: Tensor
    uses: Tensor

    def __init__(self, spec: Fsq, dimension: int) -> None:
        super().__init__()
        size, inner = math.prod(spec.levels), len(spec.levels)
        self.codebook_sizes = (size,) * spec.num_codebooks
        is_projected = inner != dimension
        self.project_in = nn.Linear(dimension, inner, bias=False) if is_projected else nn.Identity()
        self.project_out = nn.Linear(inner, dimension, bias=False) if is_projected else nn.Identity()
        levels = torch.tensor(spec.levels)
        digits = torch.tensor([math.prod(spec.levels[:index]) for index in range(inner)])
        self.register_buffer("steps", levels - 1, persistent=False)
        self.register_buffer("bounds", 1 + 1 / (levels - 1), persistent=False)
        self.register_buffer("digits", digits, persistent=False)
        self.register_buffer("uses", torch.zeros(spec.num_codebooks, size, dtype=torch.int64))

    def _quantize(self, latents: Tensor) -> Quantized:
        bounded = self._bounded(latents)
        codes = self._codes(bounded.detach(), len(self.codebook_sizes))
        if self.training:
            for uses, chosen in zip(self.uses, codes.unbind(1), strict=True):
                flat = chosen.flatten()
                uses.index_add_(0, flat, torch.ones_like(flat))
        layers = [self._values(codes[:, index], index) for index in range(codes.shape[1])]
        # Zero is added, with the gradient of what was rounded.
        through = bounded - bounded.detach()
        return Quantized(
            latents=self._projected(torch.stack(layers).sum(dim=0) + through),
            codes=codes,
            layers=tuple(self._projected(layer + through) for layer in layers),
            losses={},
        )

    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 codes [B, K, F] of ``latents`` [B, D, F], of the first ``num_codebooks`` codebooks."""
        number = len(self.codebook_sizes) if num_codebooks is None else num_codebooks
        return self._codes(self._bounded(latents), number)

    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [B, D, F] of int64 ``codes`` [B, K, F], of the chosen codebooks alone."""
        chosen = range(codes.shape[1])[codebooks]
        return self._projected(torch.stack([self._values(codes[:, index], index) for index in chosen]).sum(dim=0))

    def _bounded(self, latents: Tensor) -> Tensor:
        """Return [B, F, L] of [B, D, F]."""
        values: Tensor = self.project_in(latents.transpose(1, 2))
        return torch.tanh(values / self.bounds) * self.bounds

    def _projected(self, values: Tensor) -> Tensor:
        """Return [B, D, F] of [B, F, L]."""
        projected: Tensor = self.project_out(values)
        return projected.transpose(1, 2)

    def _codes(self, residual: Tensor, number: int) -> Tensor:
        """Return int64 [B, ``number``, F] of bounded values [B, F, L]."""
        codes = []
        for index in range(number):
            unit = (residual / self._scale(index)).clamp(-1, 1)
            rounded = ((unit + 1) / 2 * self.steps + 0.5).floor().to(torch.int64)
            codes.append((rounded * self.digits).sum(dim=-1))
            residual = residual - self._values(codes[-1], index)
        return torch.stack(codes, dim=1)

    def _values(self, codes: Tensor, index: int) -> Tensor:
        """Return [B, F, L] of int64 ``codes`` [B, F] of the codebook ``index``."""
        rounded = codes[..., None] // self.digits % (self.steps + 1)
        return (rounded / self.steps * 2 - 1) * self._scale(index)

    def _scale(self, index: int) -> Tensor:
        return (self.steps + 1) ** -float(index)

    def training_only(self) -> set[str]:
        """Return the names in the state dict that only training needs."""
        return {"uses"}

    def _uses(self) -> Sequence[Tensor]:
        return self.uses.unbind(0)
