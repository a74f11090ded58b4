"""A learner of two optimizers, with dropout and a running mean: all that a checkpoint must hold, in a second."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tokbench.specs.training import Optimizer, Training
from tokbench.training.crops import Batch
from tokbench.training.learner import Draw, Learner, Origin, Progress, Turn

RATE_HZ, HOP = 8000, 80


def settings(**changes: object) -> Training:
    return Training.model_validate(
        {
            "num_steps": 12,
            "batch_size": 2,
            "crop_s": 0.2,
            "optimizer": {"learning_rate": 1e-2, "schedule": "cosine", "clip_norm": 1.0},
            "ema_decay": 0.9,
            "log_every_steps": 5,
            "validate_every_steps": 6,
            "checkpoint_every_steps": 4,
            "num_held_out": 1,
            "validation_s": 0.5,
            **changes,
        }
    )


class ToyLearner(Learner):
    """A filter of 80 samples, against a critic; with dropout, and a mean that ``prepare`` begins.

    Without dropout, the mean counts for nothing either: a step is a function of its batch alone.
    """

    mean: Tensor

    def __init__(self, training: Training, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.settings, self.sample_rate_hz, self.hop_length = training, RATE_HZ, HOP
        self.is_chancy = dropout > 0
        self.filter = nn.Sequential(nn.Linear(HOP, 16), nn.Dropout(dropout), nn.Linear(16, HOP))
        self.critic = nn.Linear(HOP, 1)
        self.register_buffer("mean", torch.zeros(()))

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        return {
            "filter": (self.settings.optimizer, list(self.filter.parameters())),
            "critic": (self.settings.optimizer, list(self.critic.parameters())),
        }

    def prepare(self, progress: Progress, draw: Draw) -> None:
        if progress.step == 0:
            self.mean.copy_(draw(0).samples.abs().mean())

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        frames = batch.inputs.unflatten(-1, (-1, HOP))
        decoded = self.filter(frames)
        contest = (1 - self.critic(frames)).relu().mean() + (1 + self.critic(decoded.detach())).relu().mean()
        yield Turn("critic", contest, {"discriminator": contest})
        self.mean.lerp_(frames.detach().abs().mean(), 0.1)
        wave = (decoded - frames).abs().mean() / (self.mean if self.is_chancy else 1.0)
        adversarial = (1 - self.critic(decoded)).relu().mean()
        yield Turn("filter", wave + 0.1 * adversarial, {"wave": wave, "adversarial": adversarial})

    def averaged(self) -> nn.Module:
        return self.filter

    def export(self, folder: Path, origin: Origin) -> None:
        tensors = {**self.filter.state_dict(), "mean": self.mean}
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "weights.safetensors")
        (folder / "card.toml").write_text("\n".join(origin.remarks), encoding="utf-8")

    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        return {"wave": (self.reconstruct(batch.samples) - batch.samples).abs().mean()}

    def reconstruct(self, samples: Tensor) -> Tensor:
        decoded: Tensor = self.filter(samples.unflatten(-1, (-1, HOP))).flatten(-2)
        return decoded

    def health(self) -> Mapping[str, float]:
        return {"dead_codes": 0.0}
