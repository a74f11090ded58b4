"""What the training loop asks of anything that is trained: a codec, a speech encoder, a language model of codes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol

from torch import Tensor, nn
from typing_extensions import TypeVar

from tokbench.corpora.base import Corpus
from tokbench.specs.training import Optimizer, Training
from tokbench.training.crops import Augmentation, Batch

__all__ = ["Augmentation", "Draw", "Learner", "Origin", "Progress", "Supply", "Turn"]

Lot = TypeVar("Lot", default=Batch)
"""What a step learns from: crops of audio, if nothing else is said."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    step: int
    num_steps: int

    @property
    def share(self) -> float:
        """Of the steps that are done, 0 .. 1."""
        return self.step / self.num_steps


@dataclass(frozen=True)
class Turn:
    """One optimizer's part of a step."""

    optimizer: str
    """Name of the optimizer that steps, one of :meth:`Learner.optimizers`."""
    total: Tensor
    """Scalar whose gradients it follows; where a gradient was made by hand, one that has it."""
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """What the curves show, by name: scalars, unweighted."""


@dataclass(frozen=True)
class Origin:
    """Where a trained model comes from: what its card says."""

    corpus: Corpus
    scale: str
    seed: int
    remarks: tuple[str, ...] = ()
    """What was noticed while it was trained, in sentences."""


Given_co = TypeVar("Given_co", covariant=True, default=Batch)


class Supply(Protocol[Given_co]):
    """What each step learns from."""

    @property
    def batch_size(self) -> int:
        """Examples per step and process."""

    @property
    def num_processes(self) -> int:
        """Processes that have their own part of a step each."""

    def __getitem__(self, step: int) -> Given_co:
        """Return that of a step, the same at any time."""

    def steps(self, first: int, end: int) -> Iterator[Given_co]:
        """Yield those of the steps from ``first`` to before ``end``."""


Draw = Callable[[int], Lot]
"""Returns the batch of a number, the same one at any time: what a model is fitted to before it learns by steps."""


class Learner(nn.Module, ABC, Generic[Lot]):
    """Networks, their losses, and what they become.

    All that changes from step to step is a parameter or a buffer that exists from the start: that is what a
    checkpoint holds. Chance comes from the generators of torch, numpy and Python, which are seeded for every step.

    The loop calls :meth:`turns` once per step, and for each turn clears the gradients, goes backward, averages over
    processes, clips and steps before it asks for the next: a generator may so learn from a discriminator of the
    same step.
    """

    settings: Training
    """How long, on how much at a time, how fast."""
    sample_rate_hz: int
    hop_length: int
    """Crops are whole multiples of it, in samples."""
    augmentation: Augmentation | None = None
    """What is done to what goes in, after the augmentation of the spec."""
    frozen: tuple[str, ...] = ()
    """Submodules that never change, by name: a checkpoint does without them."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return the parameters of each optimizer with its settings, by name."""

    @abstractmethod
    def turns(self, batch: Lot, progress: Progress) -> Iterator[Turn]:
        """Yield the parts of one step."""

    @abstractmethod
    def averaged(self) -> nn.Module:
        """Return the networks of which a moving average is kept, where the spec asks for one; a part of this."""

    @abstractmethod
    def export(self, folder: Path, origin: Origin) -> None:
        """Make ``folder`` a codec or tokenizer: the spec as it was trained, the weights, and last the card."""

    def successors(self, folder: Path) -> Iterable["Learner[Lot]"]:
        """Return what is trained, one after the other, once this was exported to ``folder``, and exported there."""
        del folder
        return ()

    def prepare(self, progress: Progress, draw: Draw[Lot]) -> None:
        """Do what comes before a step and is no step: fit k-means before the first one, for instance."""
        del progress, draw

    def validate(self, batch: Lot) -> Mapping[str, Tensor]:
        """Return the losses on held-out audio."""
        del batch
        return {}

    def judged(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return, of the parts of :meth:`averaged` by name, what decides which weights are the best.

        ``losses`` are the means over what is held out, by the names of :meth:`validate`.
        """
        del losses
        return {}

    def reconstruct(self, samples: Tensor) -> Tensor | None:
        """Return what becomes of ``samples`` [B, 1, T], for listening; None where nothing comes back."""
        del samples
        return None

    def health(self) -> Mapping[str, float]:
        """Return what tells early that a model collapses, since it was last asked, and begin to count anew.

        ``dead_codes``: share of the codes of the worst codebook that were not used, 0 .. 1. What is counted is held
        in buffers.
        """
        return {}
