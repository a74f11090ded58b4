"""The contract of a quantizer that can be trained: latents to codes, and back to latents that gradients pass.

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features, ``V`` codebook size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Quantized", "TrainableQuantizer"]


@dataclass(frozen=True)
class Quantized:
    """What a quantizer makes of latents while it trains."""

    latents: Tensor
    """[B, D, F], for the decoder; the gradient passes straight through to what was quantized."""
    codes: Tensor
    """int64 [B, K, F]; -1 where an example does without a codebook."""
    layers: tuple[Tensor, ...]
    """What each codebook adds, [B, D, F], for losses on some of them; gradients pass straight through. 0 where an
    example does without it."""
    losses: Mapping[str, Tensor]
    """Unweighted scalars by name: ``commitment``, of latents to codes, ``codebook``, of codes to latents, and
    ``divergence``, of continuous latents from a standard Gaussian; of them, those that the quantizer has."""


class TrainableQuantizer(nn.Module, ABC):
    """What every quantizer does, while it trains and afterwards."""

    codebook_sizes: tuple[int, ...]
    """Of each of the ``K`` codebooks."""

    @abstractmethod
    def _quantize(self, latents: Tensor) -> Quantized:
        """Quantize ``latents`` [B, D, F], at least in single precision."""

    @abstractmethod
    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 codes [B, K, F] of ``latents`` [B, D, F], of the first ``num_codebooks`` codebooks."""

    @abstractmethod
    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [B, D, F] of int64 ``codes`` [B, K, F], of the chosen codebooks alone."""

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize ``latents`` [B, D, F]. In training mode codebooks are drawn for dropout, and codes may move.

        Distances between neighbouring codes are lost in half precision: what runs in it leaves it here.
        """
        with torch.autocast(latents.device.type, enabled=False):
            return self._quantize(latents.to(torch.promote_types(latents.dtype, torch.float32)))

    def training_only(self) -> set[str]:
        """Return the names in the state dict that only training needs: they are saved, and not exported."""
        return set()

    def usage(self) -> Tensor:
        """Return the share [K] of each codebook's codes that were used in training since this was last asked."""
        counts = self._uses()
        shares = [(uses > 0).float().mean() for uses in counts]
        for uses in counts:
            uses.zero_()
        return torch.stack(shares) if shares else torch.empty(0)

    def perplexity(self) -> Tensor:
        """Return the perplexity [K] of each codebook's codes since :meth:`usage` was last asked, 1 .. V."""
        shares = [uses / uses.sum().clamp_min(1) for uses in self._uses()]
        return (
            torch.stack([torch.special.entr(share).sum().exp() for share in shares]) if shares else torch.empty(0)
        )

    def _uses(self) -> Sequence[Tensor]:
        """Return how often each code was used in training, int64 [V] for each codebook; none if it has no codes."""
        return ()
