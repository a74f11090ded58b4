"""Codebooks that are learnt: as moving averages of what they code, or by gradients.

Moving averages: van den Oord et al. 2017, arXiv:1711.00937, appendix A.1, with the smoothing of the published code
of EnCodec (Défossez et al. 2022, arXiv:2210.13438). A code that is hardly used is replaced by a random vector of
the batch (Zeghidour et al. 2021, arXiv:2107.03312, section III-C). It begins with little more than the least use
that keeps a code, and clusters with their sizes, and so they stay where they are put: in EnCodec's code the next
average moves them elsewhere.

Axes: ``B`` batch, ``F`` frames, ``D`` features, ``V`` codebook size.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from tokbench.models.processes import first_process_, is_first_process, sum_over_processes_
from tokbench.models.quantization.kmeans import draw_frames, kmeans, nearest
from tokbench.models.residual_vq import VectorCoder
from tokbench.specs.quantizers import Rvq

__all__ = ["Coded", "EmaCodebook", "GradientCodebook", "LearntCodebook", "ProjectedCodebook"]

EPSILON = 1e-5
"""Uses that every code is given beside its own, in the share of them all: published code of EnCodec."""


GRACE = 1.1
"""Uses of a new code in parts of the least that keeps it: ours. At a decay of 0.99 it has 10 batches to be used."""


@dataclass(frozen=True)
class Coded:
    """What a codebook makes of vectors while it trains."""

    codes: Tensor
    """int64 [B, F]."""
    vectors: Tensor
    """[B, F, D], exactly the codes'; the gradient passes straight through to the vectors that were coded."""
    commitment: Tensor
    """[B], mean square of vectors less codes, with a gradient to the vectors."""
    codebook: Tensor | None
    """[B], the same, with a gradient to the codes; None where they do not learn by one."""


class LearntCodebook(VectorCoder):
    """``V`` codes, how often each is used, and since when they have been fitted to data."""

    embed: Tensor
    counts: Tensor
    is_fitted: Tensor
    uses: Tensor
    learns_by_gradients: ClassVar[bool]

    def __init__(self, spec: Rvq) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("counts", torch.ones(spec.codebook_size))
        self.register_buffer("is_fitted", torch.tensor(not spec.kmeans_init))
        self.register_buffer("uses", torch.zeros(spec.codebook_size, dtype=torch.int64))
        self._must_look = spec.kmeans_init  # at `is_fitted`, for which a GPU must be waited for

    @abstractmethod
    def _place(self, chosen: Tensor, vectors: Tensor, counts: Tensor) -> None:
        """Put ``vectors`` [V, D] in the place of the codes ``chosen`` bool [V], as if used ``counts`` [V] times."""

    @abstractmethod
    def _follow(self, sums: Tensor) -> None:
        """Learn from ``sums`` [V, D], for each code, of the vectors that it coded; ``counts`` have been updated."""

    def _nearest(self, vectors: Tensor) -> Tensor:
        if self.spec.normalized:
            return nearest(normalize(vectors), normalize(self.embed))
        return nearest(vectors, self.embed)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the vectors [..., D] of int64 ``indices`` [...]."""
        return embedding(indices, self.embed)

    def code(self, vectors: Tensor, used: Tensor | None) -> Coded:
        """Code ``vectors`` [B, F, D]; in training, learn from those of the examples that are ``used``, bool [B]."""
        with torch.no_grad():
            if self.training and self._must_look:
                self._fit(vectors.flatten(0, -2))
            codes = self.nearest(vectors)
        found = self.lookup(codes)
        kept = found.detach()
        coded = Coded(
            codes=codes,
            # Exactly the codes: zero is added to them, not the codes less the vectors to the vectors.
            vectors=kept + (vectors - vectors.detach()),
            commitment=(vectors - kept).square().mean(dim=(1, 2)),
            codebook=(found - vectors.detach()).square().mean(dim=(1, 2)) if self.learns_by_gradients else None,
        )
        if self.training:
            self._learn(vectors.detach(), codes, used)
        return coded

    @torch.no_grad()
    def _fit(self, frames: Tensor) -> None:
        """Make the codes clusters of ``frames`` [N, D], unless that has been done."""
        self._must_look = False
        if bool(self.is_fitted):
            return
        size = self.spec.codebook_size
        if is_first_process():
            means, sizes = kmeans(frames, size, num_iterations=self.spec.kmeans_iterations)
        else:
            means, sizes = frames.new_zeros(size, frames.shape[1]), frames.new_zeros(size)
        first_process_(means)
        first_process_(sizes)
        # A code without frames stays where it is until it is replaced.
        everywhere = torch.ones_like(sizes, dtype=torch.bool)
        self._place(everywhere, means, sizes.clamp_min(sizes.mean() * (self.spec.dead_below or 1)))
        self.is_fitted.fill_(True)

    @torch.no_grad()
    def _learn(self, vectors: Tensor, codes: Tensor, used: Tensor | None) -> None:
        flat, chosen = vectors.flatten(0, -2), codes.flatten()
        size, dimension = self.embed.shape
        weights = flat.new_ones(len(flat))
        if used is not None:
            weights = used.to(flat.dtype)[:, None].expand(codes.shape).flatten()
            flat_used = flat * weights[:, None]
        else:
            flat_used = flat
        # One message between processes: uses, sums, and what the first process drew in the place of dead codes.
        message = flat.new_zeros(size, 1 + (2 if self.spec.dead_below else 1) * dimension)
        message[:, 0].index_add_(0, chosen, weights)
        message[:, 1 : 1 + dimension].index_add_(0, chosen, flat_used)
        if self.spec.dead_below and is_first_process():
            message[:, 1 + dimension :] = draw_frames(flat, size)
        uses = sum_over_processes_(message)[:, 0]
        self.uses += uses.to(torch.int64)
        self.counts.lerp_(uses, 1 - self.spec.ema_decay)
        self._follow(message[:, 1 : 1 + dimension])
        if self.spec.dead_below:
            least = self.spec.dead_below * self.counts.mean()
            self._place(self.counts < least, message[:, 1 + dimension :], (GRACE * least).expand(size))

    def training_only(self) -> set[str]:
        """Return the names in the state dict that only training needs."""
        return {"counts", "is_fitted", "uses"}


class EmaCodebook(LearntCodebook):
    """Codes that are moving averages: sums of what they coded, in parts of the counts."""

    sums: Tensor
    learns_by_gradients = False

    def __init__(self, spec: Rvq, dimension: int) -> None:
        super().__init__(spec)
        self.register_buffer("embed", first_codes(spec, dimension))
        self.register_buffer("sums", self.embed.clone())

    def _place(self, chosen: Tensor, vectors: Tensor, counts: Tensor) -> None:
        place_(self.embed, chosen, vectors)
        place_(self.sums, chosen, vectors * counts[:, None])
        place_(self.counts, chosen, counts)

    def _follow(self, sums: Tensor) -> None:
        self.sums.lerp_(sums, 1 - self.spec.ema_decay)
        total = self.counts.sum()
        smoothed = (self.counts + EPSILON) / (total + len(self.counts) * EPSILON) * total
        self.embed.copy_(self.sums / smoothed[:, None])

    def training_only(self) -> set[str]:
        """Return the names in the state dict that only training needs."""
        return super().training_only() | {"sums"}


class GradientCodebook(LearntCodebook):
    """Codes that are parameters."""

    learns_by_gradients = True

    def __init__(self, spec: Rvq, dimension: int) -> None:
        super().__init__(spec)
        self.embed = nn.Parameter(first_codes(spec, dimension))

    def _place(self, chosen: Tensor, vectors: Tensor, counts: Tensor) -> None:
        place_(self.embed, chosen, vectors)
        place_(self.counts, chosen, counts)

    def _follow(self, sums: Tensor) -> None:
        del sums  # the optimizer moves the codes


class ProjectedCodebook(VectorCoder):
    """A codebook between two linear maps: to the features of a code, and back."""

    def __init__(self, codebook: LearntCodebook, project_in: nn.Module, project_out: nn.Module) -> None:
        super().__init__()
        self.codebook, self.project_in, self.project_out = codebook, project_in, project_out

    def _nearest(self, vectors: Tensor) -> Tensor:
        return self.codebook.nearest(self.project_in(vectors))

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the vectors [..., D] of int64 ``indices`` [...]."""
        vectors: Tensor = self.project_out(self.codebook.lookup(indices))
        return vectors

    def code(self, vectors: Tensor, used: Tensor | None) -> Coded:
        """Code ``vectors`` [B, F, D]; losses are between projected vectors and codes."""
        inner = self.codebook.code(self.project_in(vectors), used)
        return Coded(inner.codes, self.project_out(inner.vectors), inner.commitment, inner.codebook)


def first_codes(spec: Rvq, dimension: int) -> Tensor:
    """Return codes [V, D] at random."""
    codes = torch.randn(spec.codebook_size, dimension)
    if spec.random_init == "uniform":
        codes.uniform_(-1 / spec.codebook_size, 1 / spec.codebook_size)
    return codes


def place_(values: Tensor, chosen: Tensor, replacements: Tensor) -> None:
    """Replace the rows of ``values`` that are ``chosen``, bool [V], in place."""
    mask = chosen.view(-1, *[1] * (values.ndim - 1))
    values.copy_(torch.where(mask, replacements, values))
