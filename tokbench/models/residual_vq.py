"""Residual vector quantization: each codebook quantizes what the ones before it have left.

Algorithm 1 of Zeghidour et al. 2021, arXiv:2107.03312, with the nearest code by Euclidean distance.

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features, ``V`` codebook size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Codebook", "ResidualQuantizer"]


class Codebook(nn.Module):
    """``V`` vectors, a buffer: they are learnt as moving averages of what they code, not by gradients."""

    embed: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(size, dimension))

    def nearest(self, vectors: Tensor) -> Tensor:
        """Return int64 [...], the index of the code nearest to each of ``vectors`` [..., D]."""
        flat, table = vectors.flatten(0, -2), self.embed.T
        # |x - e|² = |x|² - 2 x·e + |e|². |x|² decides nothing, but rounds the sum as in the published models.
        distances = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ table + table.pow(2).sum(0, keepdim=True)
        return distances.argmin(dim=-1).view(vectors.shape[:-1])

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the vectors [..., D] of int64 ``indices`` [...]."""
        return nn.functional.embedding(indices, self.embed)


class ResidualQuantizer(nn.Module):
    """``K`` codebooks of equal size. Any number of them, from the first on, can be used."""

    def __init__(self, *, num_codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Codebook(codebook_size, dimension) for _ in range(num_codebooks))

    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 codes [B, K, F] of ``latents`` [B, D, F], of the first ``num_codebooks`` codebooks."""
        residual = latents.transpose(1, 2)
        codes = []
        for codebook in self._codebooks()[:num_codebooks]:
            codes.append(codebook.nearest(residual))
            residual = residual - codebook.lookup(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [B, D, F], the sum of the vectors of int64 ``codes`` [B, K, F], of the chosen codebooks alone."""
        chosen = self._codebooks()[: codes.shape[1]][codebooks]
        rows = codes.unbind(dim=1)[codebooks]
        vectors = [codebook.lookup(row) for codebook, row in zip(chosen, rows, strict=True)]
        # Summed in turn, from the first: another order would round otherwise.
        total = vectors[0]
        for vector in vectors[1:]:
            total = total + vector
        return total.transpose(1, 2)

    def _codebooks(self) -> Sequence[Codebook]:
        return [layer for layer in self.layers if isinstance(layer, Codebook)]
