"""Held-out audio: what a model makes of it, in numbers and for the ear."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from tokbench.audio import Audio
from tokbench.training.crops import Batch, read_crop
from tokbench.training.curves import Curves
from tokbench.training.learner import Learner
from tokbench.training.loop import seed_all
from tokbench.training.utterances import Utterances

__all__ = ["Checked", "Validation"]


class Checked(Protocol):
    """Something held out, by which a learner is judged while it learns."""

    def __call__(self, learner: Learner[Any], device: torch.device) -> Mapping[str, float]:
        """Return the means of the losses of ``learner``, which is out of training mode."""

    def listen(self, learner: Learner[Any], device: torch.device, curves: Curves, step: int) -> None:
        """Write what ``learner`` makes of it, for the ear."""


class Validation:
    """The beginnings of ``utterances``, of ``num_samples`` at most, and the folder for what becomes of them."""

    def __init__(
        self, utterances: Utterances, *, sample_rate_hz: int, num_samples: int, hop_length: int, folder: Path
    ) -> None:
        self._sample_rate_hz, self._folder = sample_rate_hz, folder
        self._batches: dict[str, Batch] = {}
        for index, utterance in enumerate(utterances):
            length = min(num_samples, int(utterance.read().duration_s * sample_rate_hz))
            samples, is_whole = read_crop(
                utterance,
                sample_rate_hz=sample_rate_hz,
                num_samples=max(length // hop_length, 1) * hop_length,
                position=0.0,
            )
            tensor = torch.from_numpy(samples)[None, None]
            name = f"{index:02d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', utterance.id)}"
            self._batches[name] = Batch(
                tensor, tensor, (utterance.text,), (utterance.speaker,), (is_whole,), (False,)
            )

    @torch.no_grad()
    def __call__(self, learner: Learner, device: torch.device) -> Mapping[str, float]:
        """Return the means of the losses of ``learner``, which is out of training mode."""
        losses: dict[str, list[float]] = {}
        for batch in self._batches.values():
            seed_all(0)
            for name, value in learner.validate(batch.to(device)).items():
                losses.setdefault(f"validation.{name}", []).append(float(value))
        return {name: float(np.mean(values)) for name, values in losses.items()}

    @torch.no_grad()
    def listen(self, learner: Learner, device: torch.device, curves: Curves, step: int) -> None:
        """Write what ``learner`` makes of the audio, over what it made of it before, beside the original."""
        for name, batch in self._batches.items():
            decoded = learner.reconstruct(batch.samples.to(device))
            if decoded is None or not bool(decoded.isfinite().all()):
                continue
            samples = decoded[0].float().cpu()
            Audio(samples, self._sample_rate_hz).write(self._folder / f"{name}.flac")
            curves.add_audio(name, samples, self._sample_rate_hz, step)
            original = self._folder / f"{name}.original.flac"
            if not original.exists():
                Audio(batch.samples[0], self._sample_rate_hz).write(original)
