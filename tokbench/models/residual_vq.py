"""Residual vector quantization: each codebook quantizes what the ones before it have left.

Algorithm 1 of Zeghidour et al. 2021, arXiv:2107.03312, with the nearest code by Euclidean distance; its form with
groups, which are quantized apart (Yang et al. 2023, arXiv:2305.02765, HiFi-Codec); and its split form, where the
first codebooks see the latents beside the others (Défossez et al. 2024, arXiv:2410.00037, Mimi).

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features, ``V`` codebook size.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

__all__ = ["Codebook", "ResidualCoder", "ResidualQuantizer", "VectorCoder"]


BLOCK_SIZE = 1 << 14
"""Vectors whose distances to all codes are in memory at a time: 5 minutes of them at 50 Hz."""


class VectorCoder(nn.Module, ABC):
    """From vectors to the indices of codes, and back."""

    @abstractmethod
    def _nearest(self, vectors: Tensor) -> Tensor:
        """Return int64 [N], the index of the code nearest to each of ``vectors`` [N, D]."""

    def nearest(self, vectors: Tensor) -> Tensor:
        """Return int64 [...], the index of the code nearest to each of ``vectors`` [..., D]."""
        blocks = torch.split(vectors.flatten(0, -2), BLOCK_SIZE)
        indices = self._nearest(blocks[0]) if len(blocks) == 1 else torch.cat([self._nearest(b) for b in blocks])
        return indices.view(vectors.shape[:-1])

    @abstractmethod
    def lookup(self, indices: Tensor) -> Tensor:
        """Return the vectors [..., D] of int64 ``indices`` [...]."""


class Codebook(VectorCoder):
    """``V`` vectors of a published model."""

    embed: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(size, dimension))

    def _nearest(self, vectors: Tensor) -> Tensor:
        table = self.embed.T
        # |x - e|² = |x|² - 2 x·e + |e|². |x|² decides nothing, but rounds the sum as in the published models.
        distances = vectors.pow(2).sum(1, keepdim=True) - 2 * vectors @ table + table.pow(2).sum(0, keepdim=True)
        return distances.argmin(dim=-1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the vectors [..., D] of int64 ``indices`` [...]."""
        return nn.functional.embedding(indices, self.embed)


class ResidualCoder(nn.Module):
    """Codebooks in chains: each quantizes what the ones before it in its chain have left.

    A chain sees a group of the features. The codes of a frame are ordered by layer, then by group: layer 1 of group
    1, layer 1 of group 2, layer 2 of group 1, and so on. If the codebooks are split, the first ``num_split`` and
    the others are two sides, with chains and with maps around them of their own; what they decode is added up.
    """

    def __init__(
        self,
        layers: Iterable[VectorCoder],
        *,
        num_groups: int = 1,
        num_split: int = 0,
        projections: Iterable[tuple[nn.Module, nn.Module]] = (),
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.num_groups, self.num_split = num_groups, num_split
        self.num_sides = 2 if num_split else 1
        pairs = list(projections) or [(nn.Identity(), nn.Identity())] * self.num_sides
        self.project_in = nn.ModuleList(pair[0] for pair in pairs)
        self.project_out = nn.ModuleList(pair[1] for pair in pairs)

    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 codes [B, K, F] of ``latents`` [B, D, F], of the first ``num_codebooks`` codebooks."""
        residuals = self._chained(latents)
        codes = []
        for index, layer in enumerate(self._coders()[:num_codebooks]):
            chain = self._chain_of(index)
            codes.append(layer.nearest(residuals[chain]))
            residuals[chain] = residuals[chain] - layer.lookup(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [B, D, F] of int64 ``codes`` [B, K, F], of the chosen codebooks alone, of which there is one.

        A group without a chosen codebook is zero.
        """
        layers = self._coders()
        totals: dict[int, Tensor] = {}
        # Summed in turn, from the first: another order would round otherwise.
        for index in range(codes.shape[1])[codebooks]:
            vectors, chain = layers[index].lookup(codes[:, index]), self._chain_of(index)
            totals[chain] = totals[chain] + vectors if chain in totals else vectors
        return self._joined(totals)

    def _coders(self) -> list[VectorCoder]:
        return [layer for layer in self.layers if isinstance(layer, VectorCoder)]

    def _chain_of(self, index: int) -> int:
        """Return the chain of a codebook; those of a side follow one another."""
        side = int(bool(self.num_split) and index >= self.num_split)
        return side * self.num_groups + index % self.num_groups

    def _chained(self, latents: Tensor) -> list[Tensor]:
        """Return what each chain sees of ``latents`` [B, D, F]: [B, F, D / groups]."""
        frames = latents.transpose(1, 2)
        return [part for project in self.project_in for part in project(frames).chunk(self.num_groups, dim=-1)]

    def _joined(self, totals: Mapping[int, Tensor]) -> Tensor:
        """Return the latents [B, D, F] of what chains add up to, [B, F, D / groups] each; of one at least."""
        empty = torch.zeros_like(next(iter(totals.values())))
        sides = []
        for side, project in enumerate(self.project_out):
            chains = range(side * self.num_groups, (side + 1) * self.num_groups)
            if any(chain in totals for chain in chains):
                parts = [totals.get(chain, empty) for chain in chains]
                sides.append(project(parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)))
        total: Tensor = sides[0] if len(sides) == 1 else sides[0] + sides[1]
        return total.transpose(1, 2)


class ResidualQuantizer(ResidualCoder):
    """``K`` codebooks of equal size of a published model. Any number of them, from the first on, can be used."""

    def __init__(self, *, num_codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__(Codebook(codebook_size, dimension) for _ in range(num_codebooks))
