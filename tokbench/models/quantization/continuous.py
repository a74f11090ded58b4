"""No quantizer: latents that are sent as they are, each number in half precision.

Axes: ``B`` batch, ``F`` frames, ``D`` features.
"""

import torch
from torch import Tensor

from tokbench.models.quantization.base import Quantized, TrainableQuantizer

__all__ = ["NUM_HALVES", "ContinuousLatents"]

NUM_HALVES = 1 << 16
"""Bit patterns of a number in half precision (IEEE 754 binary16)."""
_SIGN = 1 << 15
_LARGEST = torch.finfo(torch.float16).max


class ContinuousLatents(TrainableQuantizer):
    """Every feature is a "codebook" of all half-precision numbers, and a code is the bit pattern of one."""

    def __init__(self, dimension: int, *, noise: float = 0.0) -> None:
        super().__init__()
        self.codebook_sizes = (NUM_HALVES,) * dimension
        self.noise = noise

    def _quantize(self, latents: Tensor) -> Quantized:
        # The divergence of a Gaussian of fixed variance from the standard one, but for what does not depend on its
        # mean m: m^2 / 2 (Kingma and Welling 2014, arXiv:1312.6114, appendix B).
        losses = {"divergence": 0.5 * latents.square().mean()} if self.noise else {}
        noisy = latents + self.noise * torch.randn_like(latents) if self.training and self.noise else latents
        # A feature is not a layer: nothing is added up.
        return Quantized(noisy, self.encode(latents.detach()), (), losses)

    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 [B, D, F] of ``latents`` [B, D, F]; the largest half for what is beyond it."""
        halves = latents[:, :num_codebooks].clamp(-_LARGEST, _LARGEST).to(torch.float16)
        return halves.view(torch.int16).to(torch.int64) & (NUM_HALVES - 1)

    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [B, D, F] of int64 ``codes`` [B, K, F]; 0 for other features, and for what is not a number."""
        signed = codes - NUM_HALVES * (codes >= _SIGN)
        halves = signed.to(torch.int16).view(torch.float16).to(torch.float32)
        values = halves.new_zeros(len(codes), len(self.codebook_sizes), codes.shape[2])
        chosen = list(range(codes.shape[1])[codebooks])
        values[:, chosen] = halves[:, chosen]
        return torch.nan_to_num(values, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
