"""The training loop: one for everything that learns by gradients, on one processor or on many.

Gradients are averaged over processes by hand, so that a step may have any number of backward passes. What is drawn
at random in a step is a function of the seed, the step and the process alone: a run that is resumed goes on to the
last bit as if it had not been interrupted, and no state of a random generator has to be kept.
"""

import contextlib
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tokbench.specs.training import Optimizer
from tokbench.training.checkpoint import below
from tokbench.training.learner import Learner, Progress, Supply, Turn
from tokbench.training.processes import Processes

__all__ = ["Loop", "learning_rate", "seed_all"]


class Loop:
    """A learner on its way: its optimizers, its moving average, and the number of steps it has made."""

    def __init__(self, learner: Learner[Any], batches: Supply[Any], processes: Processes, *, seed: int) -> None:
        self.learner = learner.to(processes.device).train()
        self.step = 0
        self._settings, self._batches = learner.settings, batches
        self._processes, self._seed = processes, seed
        self._groups = learner.optimizers()
        self._optimizers = {name: _optimizer(*group) for name, group in self._groups.items()}
        self._average = _average(learner.averaged(), self._settings.ema_decay)
        processes.share(learner)

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        """Make the remaining steps; of each, yield scalars: losses, gradient norms, learning rates."""
        if self.step == self._settings.num_steps:
            return
        for batch in self._batches.steps(self.step, self._settings.num_steps):
            yield self._make_step(batch.to(self._processes.device))

    def _make_step(self, batch: Any) -> Mapping[str, Tensor]:
        progress = Progress(self.step, self._settings.num_steps)
        seed_all(self._seed, self.step, self._processes.index)
        self.learner.prepare(progress, self._draw)
        if self.step == 0:
            self._processes.share(self.learner)
        scalars: dict[str, Tensor] = {}
        turns = iter(self.learner.turns(batch, progress))
        while (turn := self._next(turns)) is not None:
            scalars |= self._take(turn, progress)
        if self._average is not None:
            self._average.update_parameters(self.learner.averaged())
        self.step += 1
        return scalars

    def _draw(self, number: int) -> Any:
        return self._batches[number].to(self._processes.device)

    def _next(self, turns: Iterator[Turn]) -> Turn | None:
        """Go forward to the next turn; the way back is in full precision."""
        is_reduced = self._settings.precision == "bfloat16"
        with torch.autocast(self._processes.device.type, torch.bfloat16, enabled=is_reduced):
            return next(turns, None)

    def _take(self, turn: Turn, progress: Progress) -> Mapping[str, Tensor]:
        settings, parameters = self._groups[turn.optimizer]
        optimizer = self._optimizers[turn.optimizer]
        rate = learning_rate(settings, progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        # Only these parameters: the codec's losses leave no gradients in the discriminators that they pass.
        torch.autograd.backward(turn.total, inputs=[each for each in parameters if each.requires_grad])
        self._processes.average_gradients(parameters)
        norm = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
        if settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, norm)
        optimizer.step()
        losses = {name: value.detach() for name, value in turn.losses.items()}
        return losses | {
            f"gradient_norm.{turn.optimizer}": norm,
            f"learning_rate.{turn.optimizer}": torch.tensor(rate),
        }

    @contextlib.contextmanager
    def averaged(self) -> Iterator[Learner[Any]]:
        """Lend the learner with the moving average of its weights, where there is one, out of training mode."""
        networks = self.learner.averaged()
        own: dict[str, Tensor] = {}
        if self._average is not None and self.step:
            own = {name: tensor.clone() for name, tensor in networks.state_dict().items()}
            networks.load_state_dict(self._average.module.state_dict())
        self.learner.eval()
        try:
            yield self.learner
        finally:
            self.learner.train()
            networks.load_state_dict(own, strict=bool(own))

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, but for the number of the step; :meth:`load` takes it."""
        frozen = tuple(f"{name}." for name in self.learner.frozen)
        tensors = {
            f"learner.{name}": tensor
            for name, tensor in self.learner.state_dict().items()
            if not name.startswith(frozen)
        }
        for name, optimizer in self._optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{index}.{key}": value for key, value in values.items()}
        if self._average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self._average.state_dict().items()}
        return tensors

    def load(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Go back to a state that :meth:`state` told after ``step`` steps."""
        self.step = step
        own = self.learner.state_dict()
        self.learner.load_state_dict(own | below("learner", tensors))
        for name, optimizer in self._optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in below(f"optimizer.{name}", tensors).items():
                index, _, field = key.partition(".")
                state.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        if self._average is not None:
            self._average.load_state_dict(below("average", tensors))


def _optimizer(settings: Optimizer, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )


def _average(networks: nn.Module, decay: float) -> AveragedModel | None:
    def follow(average: Tensor, own: Tensor, _num_averaged: object) -> Tensor:
        return average.lerp(own, 1 - decay)

    return AveragedModel(networks, avg_fn=follow) if decay else None


def seed_all(*numbers: int) -> None:
    """Seed the generators of torch, numpy and Python by ``numbers`` together."""
    first, second, third = np.random.SeedSequence(numbers).generate_state(3, np.uint64).tolist()
    torch.manual_seed(first)
    np.random.seed(second % 2**32)  # noqa: NPY002  (for libraries that draw from the global generator)
    random.seed(third)


def learning_rate(settings: Optimizer, progress: Progress) -> float:
    """Return the rate of a step."""
    rate = settings.learning_rate
    if settings.warmup and progress.share < settings.warmup:
        rate *= (progress.share + 1 / progress.num_steps) / settings.warmup
    if settings.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * progress.share))
    elif settings.schedule == "linear" and progress.share >= settings.warmup:
        rate *= (1 - progress.share) / (1 - settings.warmup)
    elif settings.schedule == "exponential":
        rate *= settings.decay_per_step**progress.step
    return rate * 0.5 ** sum(progress.share >= share for share in settings.halved_at)
