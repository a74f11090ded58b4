"""Residual vector quantization that is learnt, in all the forms that a spec can ask for.

Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tokbench.models.processes import first_process_
from tokbench.models.quantization.base import Quantized, TrainableQuantizer
from tokbench.models.quantization.codebooks import (
    Coded,
    EmaCodebook,
    GradientCodebook,
    LearntCodebook,
    ProjectedCodebook,
)
from tokbench.models.residual_vq import ResidualCoder, VectorCoder
from tokbench.specs.quantizers import Rvq

__all__ = ["ResidualVq"]


@dataclass(frozen=True)
class Use:
    """Which codebooks a batch uses, while others are dropped."""

    number: int
    """Of codebooks that are used by any example."""
    by: Tensor | None
    """Bool [K, B], the examples that use each; None if all do, up to ``number``."""

    def of(self, index: int) -> Tensor | None:
        """Return bool [B], the examples that use codebook ``index``; None if all do."""
        return None if self.by is None else self.by[index]

    def reduce(self, losses: Sequence[Tensor], over: str) -> Tensor:
        """Return a scalar of ``losses`` [B] per codebook: their mean over whoever uses it, or the sum of means."""
        each = torch.stack(list(losses))
        if self.by is None:
            return each.mean() if over == "mean" else each.mean(dim=1).sum()
        used = each.where(self.by, 0.0)
        return used.sum() / self.by.sum() if over == "mean" else used.mean(dim=1).sum()


class ResidualVq(ResidualCoder, TrainableQuantizer):
    """Codebooks in chains, with the gradient, the learning and the dropout of the spec.

    An example that does without a codebook does not teach it: neither its losses nor its averages see the example.
    """

    def __init__(self, spec: Rvq, dimension: int) -> None:
        inner = spec.code_dimension or dimension
        around = [_projections(dimension, inner) for _ in range(2 if spec.num_split else 1)]
        super().__init__(
            (_layer(spec, dimension) for _ in range(spec.num_codebooks)),
            num_groups=spec.num_groups,
            num_split=spec.num_split,
            projections=around if spec.projection == "shared" else (),
        )
        self.spec = spec
        self.codebook_sizes = (spec.codebook_size,) * spec.num_codebooks

    def _quantize(self, latents: Tensor) -> Quantized:
        use = self._drawn_use(latents)
        inputs = self._chained(latents)
        coded = list(self._coded(list(inputs), use))
        added = [_masked(layer.vectors, use.of(index), 0.0) for index, layer in enumerate(coded)]
        codes = latents.new_full((len(latents), len(self.layers), latents.shape[2]), -1, dtype=torch.int64)
        for index, layer in enumerate(coded):
            codes[:, index] = _masked(layer.codes, use.of(index), -1)
        nothing = torch.zeros_like(latents)
        layers = [self._joined({self._chain_of(index): vectors}) for index, vectors in enumerate(added)]
        losses = {"commitment": use.reduce([layer.commitment for layer in coded], self.spec.losses_over)}
        if gradients := [layer.codebook for layer in coded if layer.codebook is not None]:
            losses["codebook"] = use.reduce(gradients, self.spec.losses_over)
        unused = (nothing,) * (len(self.layers) - len(layers))
        return Quantized(self._joined(self._totals(inputs, added)), codes, (*layers, *unused), losses)

    def _coded(self, residuals: list[Tensor], use: Use) -> Iterator[Coded]:
        """Yield what each codebook that is used makes of what is left of ``residuals``, [B, F, D] per chain."""
        for index, layer in enumerate(self._learnt()[: use.number]):
            chain = self._chain_of(index)
            coded = layer.code(residuals[chain], use.of(index))
            is_cut = self.spec.straight_through != "first-layer"
            residuals[chain] = residuals[chain] - (coded.vectors.detach() if is_cut else coded.vectors)
            yield coded

    def _totals(self, inputs: Sequence[Tensor], added: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return the sum [B, F, D] of what is ``added`` by the codebooks of each chain."""
        totals: dict[int, Tensor] = {}
        for index, vectors in enumerate(added):
            chain = self._chain_of(index)
            totals[chain] = totals[chain] + vectors if chain in totals else vectors
        if self.spec.straight_through == "sum":
            # Exactly the sum: zero is added to it.
            return {chain: t.detach() + (inputs[chain] - inputs[chain].detach()) for chain, t in totals.items()}
        return totals

    def _drawn_use(self, latents: Tensor) -> Use:
        """Draw, for training, how many codebooks each example of ``latents`` [B, D, F] uses."""
        spec, batch_size, most = self.spec, len(latents), len(self.layers)
        if not self.training or spec.dropout == 0:
            return Use(most, None)
        choices = spec.dropout_choices or range(spec.num_split or spec.num_groups, most + 1, spec.num_groups)
        number = 1 if spec.dropout_by == "batch" else batch_size
        drawn = torch.tensor(choices)[torch.randint(len(choices), (number,))]
        drawn[torch.rand(number) >= spec.dropout] = most
        if spec.dropout_by == "batch":
            # All processes go through as many codebooks: they wait for one another in each.
            return Use(int(first_process_(drawn.to(latents.device))), None)
        return Use(most, (torch.arange(most)[:, None] < drawn).to(latents.device))

    def _learnt(self) -> list[LearntCodebook | ProjectedCodebook]:
        return [layer for layer in self.layers if isinstance(layer, LearntCodebook | ProjectedCodebook)]

    def _codebooks(self) -> dict[str, LearntCodebook]:
        return {name: module for name, module in self.named_modules() if isinstance(module, LearntCodebook)}

    def training_only(self) -> set[str]:
        """Return the names in the state dict that only training needs."""
        return {
            f"{name}.{entry}" for name, codebook in self._codebooks().items() for entry in codebook.training_only()
        }

    def _uses(self) -> list[Tensor]:
        return [codebook.uses for codebook in self._codebooks().values()]


def _layer(spec: Rvq, dimension: int) -> VectorCoder:
    kind = EmaCodebook if spec.learning == "ema" else GradientCodebook
    inner = spec.code_dimension or dimension
    if spec.projection != "per-codebook":
        return kind(spec, inner // spec.num_groups)
    outer = dimension // spec.num_groups
    maps = weight_norm(nn.Linear(outer, inner)), weight_norm(nn.Linear(inner, outer))
    return ProjectedCodebook(kind(spec, inner), *maps)


def _projections(dimension: int, inner: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(dimension, inner, bias=False), nn.Linear(inner, dimension, bias=False)


def _masked(values: Tensor, used: Tensor | None, otherwise: float) -> Tensor:
    """Return ``values`` [B, …] where an example is ``used``, bool [B], and ``otherwise`` elsewhere."""
    return values if used is None else values.where(used.view(-1, *[1] * (values.ndim - 1)), otherwise)
