"""Probes: small heads trained on features or codes that stay as they are.

The learning rate is the one of the recipe with the lowest cross-entropy on validation, found with the first seed;
the other seeds take it over. Features are standardized by the frames of the training items. Everything runs on one
thread of the CPU, so that the same items give the same answers on any number of cores.

Axes: ``N`` items, ``F`` frames, ``D`` features, ``K`` codebooks, ``S`` seeds.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tokbench.models.probe_heads import Probe
from tokbench.specs.probe import ProbeRecipe
from tokbench.training.frozen import mean_and_deviation, one_thread

__all__ = ["FittedProbes", "ProbeItems", "fit_probes", "probe_answers"]


@dataclass(frozen=True)
class ProbeItems:
    """What is to be told apart."""

    sequences: Sequence[np.ndarray]
    """Of each item float32 features [F, D] or int64 codes [F, K], with at least one frame."""
    labels: np.ndarray
    """int64 [N], classes from 0 on."""
    codebook_size: int | None = None
    """Given for codes."""

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, index: np.ndarray) -> "ProbeItems":
        """Return the items at ``index``."""
        return ProbeItems([self.sequences[place] for place in index], self.labels[index], self.codebook_size)


def probe_answers(
    train: ProbeItems, validation: ProbeItems | None, test: ProbeItems, recipe: ProbeRecipe, num_classes: int
) -> np.ndarray:
    """Return the classes int64 [S, N] that the heads of all seeds give to the items of ``test``.

    ``validation`` may be None or empty where the recipe chooses nothing on it.
    Raises :class:`ValueError` for too few items.
    """
    if not len(test):
        msg = "a probe needs items to be tested on"
        raise ValueError(msg)
    with one_thread():
        return fit_probes(train, validation, recipe, num_classes).logits(test).argmax(dim=2).numpy()


def fit_probes(
    train: ProbeItems, validation: ProbeItems | None, recipe: ProbeRecipe, num_classes: int
) -> "FittedProbes":
    """Return the heads of all seeds; raises :class:`ValueError` for too few items."""
    if not len(train) or (recipe.needs_validation and not validation):
        msg = "a probe needs items for training, and for validation where something is chosen on it"
        raise ValueError(msg)
    with one_thread():
        scale = _Scale.of(train, recipe)
        learnt, held = scale.lot(train), scale.lot(validation) if validation else None
        learner = _Learner(recipe, num_classes, learnt, held, train.codebook_size)
        tried = [(rate, *learner.fit(rate, seed=0)) for rate in recipe.learning_rates]
        rate, probe, _ = min(tried, key=lambda item: item[2])
        probes = [probe, *(learner.fit(rate, seed=seed)[0] for seed in range(1, recipe.num_seeds))]
        return FittedProbes(probes, scale.mean, scale.deviation)


@dataclass(frozen=True)
class FittedProbes:
    """Heads that were trained on the same items."""

    probes: Sequence[Probe]
    """One of each seed."""
    mean: np.ndarray | None
    """float32 [D] of the features of the training items; None for codes."""
    deviation: np.ndarray | None
    """float32 [D]."""

    def logits(self, items: ProbeItems) -> Tensor:
        """Return [S, N, classes]."""
        scale = _Scale(self.mean, self.deviation, is_pooled=self.mean is not None and self.probes[0].is_pooled)
        with one_thread():
            lot = scale.lot(items)
            return torch.stack([_logits(probe, lot) for probe in self.probes])


@dataclass(frozen=True)
class _Batch:
    """Items of one length or another, filled up with zeros."""

    values: Tensor
    """[N, F, D]."""
    lengths: Tensor
    """int64 [N]."""
    labels: Tensor
    """int64 [N]."""


@dataclass(frozen=True)
class _Lot:
    """Items one after another: one that is long makes the others no longer."""

    frames: Tensor
    """[F, D], those of all."""
    lengths: Tensor
    """int64 [N]."""
    labels: Tensor
    """int64 [N]."""

    def take(self, index: Tensor) -> _Batch:
        """Return the items at ``index``, filled up to the longest of them."""
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()))
        places = (self._starts[index, None] + steps).clamp_max(len(self.frames) - 1)
        values = self.frames[places].masked_fill_((steps >= lengths[:, None])[:, :, None], 0)
        return _Batch(values, lengths, self.labels[index])

    @cached_property
    def _starts(self) -> Tensor:
        return self.lengths.cumsum(0) - self.lengths


@dataclass(frozen=True)
class _Scale:
    """How items become batches."""

    mean: np.ndarray | None
    """float32 [D]; None for codes."""
    deviation: np.ndarray | None
    """float32 [D]."""
    is_pooled: bool
    """Whether the head looks at the mean of the frames alone, so that it can be taken at once."""

    @classmethod
    def of(cls, items: ProbeItems, recipe: ProbeRecipe) -> "_Scale":
        if items.codebook_size is not None:
            return cls(None, None, is_pooled=False)
        is_pooled = recipe.head in {"linear", "mlp"}
        sequences = [_pooled(item) for item in items.sequences] if is_pooled else items.sequences
        return cls(*mean_and_deviation(sequences), is_pooled=is_pooled)

    def lot(self, items: ProbeItems) -> _Lot:
        """Return all of ``items``."""
        sequences = [_pooled(item) for item in items.sequences] if self.is_pooled else items.sequences
        lengths = np.array([len(item) for item in sequences])
        shape = (int(lengths.sum()), sequences[0].shape[1])
        frames = np.empty(shape, np.int64 if self.mean is None else np.float32)
        for item, end in zip(sequences, np.cumsum(lengths).tolist(), strict=True):
            own = item if self.mean is None else (item - self.mean) / self.deviation
            frames[end - len(item) : end] = own
        return _Lot(torch.from_numpy(frames), torch.from_numpy(lengths), torch.from_numpy(items.labels))


def _pooled(item: np.ndarray) -> np.ndarray:
    mean: np.ndarray = item.mean(axis=0, keepdims=True)
    return mean


@dataclass(frozen=True)
class _Learner:
    """Trains heads on the same items."""

    recipe: ProbeRecipe
    num_classes: int
    train: _Lot
    validation: _Lot | None
    codebook_size: int | None

    def fit(self, learning_rate: float, *, seed: int) -> tuple[Probe, float]:
        """Return a head and its cross-entropy on validation, 0 where nothing is chosen on it."""
        torch.manual_seed(seed)
        probe = Probe(
            self.recipe,
            self.num_classes,
            num_features=self.train.frames.shape[1],
            codebook_size=self.codebook_size,
        )
        optimizer = torch.optim.AdamW(
            probe.parameters(), lr=learning_rate, weight_decay=self.recipe.weight_decay, foreach=True
        )
        lowest, best, last_better = float("inf"), probe.state_dict(), 0
        for epoch in range(self.recipe.max_epochs):
            self._epoch(probe, optimizer)
            if self.validation is None or not self.recipe.needs_validation:
                continue
            loss = float(cross_entropy(_logits(probe, self.validation), self.validation.labels))
            if loss < lowest:
                lowest, last_better = loss, epoch
                best = copy.deepcopy(probe.state_dict())
            elif 0 < self.recipe.patience <= epoch - last_better:
                break
        if self.validation is None or not self.recipe.needs_validation:
            return probe, 0.0
        if not self.recipe.patience:
            return probe, loss
        probe.load_state_dict(best)
        return probe, lowest

    def _epoch(self, probe: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        probe.train()
        for index in torch.split(torch.randperm(len(self.train.labels)), self.recipe.batch_size):
            batch = self.train.take(index)
            optimizer.zero_grad()
            loss = cross_entropy(probe(batch.values, batch.lengths), batch.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


_ITEMS_AT_ONCE = 256


@torch.no_grad()
def _logits(probe: nn.Module, lot: _Lot) -> Tensor:
    """Return [N, classes] of all items."""
    probe.eval()
    pieces = (lot.take(index) for index in torch.split(torch.arange(len(lot.labels)), _ITEMS_AT_ONCE))
    return torch.cat([probe(piece.values, piece.lengths) for piece in pieces])
