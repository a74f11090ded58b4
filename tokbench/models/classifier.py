"""A classifier of sounds that tokbench trains: small networks of several seeds on log-mel frames, in one file.

Axes: ``T`` samples, ``F`` frames, ``D`` features, ``S`` seeds, ``V`` classes.
"""

import functools
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from tokbench.errors import WeightsError
from tokbench.models.probe_heads import Probe
from tokbench.models.spectral_frames import LogMelFrames
from tokbench.paths import write_bytes
from tokbench.specs.base import StrictModel
from tokbench.specs.classifier import ClassLesson

__all__ = [
    "SAMPLE_RATE_HZ",
    "Classifier",
    "ClassifierFacts",
    "frames_of",
    "log_mel",
    "read_classifier",
    "write_classifier",
]

SAMPLE_RATE_HZ = 16000
NUM_MELS, HOP_MS = 40, 20.0
_FACTS = "classifier"
"""Key of what is no tensor, in the header of the file."""


class ClassifierFacts(StrictModel):
    """What a file holds beside its weights."""

    lesson: ClassLesson
    classes: tuple[str, ...]
    """In the order of its outputs."""
    corpus: str
    """What it was taught on, without folders of the machine that did."""
    corpus_sha256: str


class Classifier:
    """Networks that were taught the same, heard together: ``mean`` and ``deviation`` are float32 [D]."""

    def __init__(self, facts: ClassifierFacts, probes: list[Probe], mean: Tensor, deviation: Tensor) -> None:
        self.facts, self.probes, self.mean, self.deviation = facts, probes, mean, deviation

    @torch.inference_mode()
    def posteriors(self, samples: np.ndarray) -> np.ndarray:
        """Return float64 [V], the mean over the networks, of float32 [T] at 16 kHz."""
        frames = torch.from_numpy(frames_of(samples, self.facts.lesson))
        values = ((frames - self.mean) / self.deviation)[None]
        lengths = torch.tensor([values.shape[1]])
        found = [probe(values, lengths)[0].double().softmax(dim=0) for probe in self.probes]
        return torch.stack(found).mean(dim=0).numpy()


@functools.cache
def _frames() -> LogMelFrames:
    return LogMelFrames(sample_rate_hz=SAMPLE_RATE_HZ, hop_ms=HOP_MS, num_mels=NUM_MELS)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return log-mel frames float32 [F, D] of float32 [T] at 16 kHz, one every 20 ms."""
    frames: np.ndarray = _frames()(torch.from_numpy(samples)[None]).numpy()
    return frames


def frames_of(samples: np.ndarray, lesson: ClassLesson) -> np.ndarray:
    """Return log-mel frames float32 [F, D] of the beginning of float32 [T] at 16 kHz, as ``lesson`` wants them."""
    frames = log_mel(samples[: round(lesson.max_s * SAMPLE_RATE_HZ)])
    return frames - frames.mean(axis=0) if lesson.centred else frames


def write_classifier(path: Path, classifier: Classifier) -> None:
    """Write to ``path`` atomically."""
    tensors = {"mean": classifier.mean, "deviation": classifier.deviation}
    for seed, probe in enumerate(classifier.probes):
        tensors |= {f"{seed}.{name}": tensor.contiguous() for name, tensor in probe.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata={_FACTS: classifier.facts.model_dump_json()}))


def read_classifier(path: Path) -> Classifier:
    """Return what :func:`write_classifier` wrote; raises :class:`WeightsError` for anything else."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = ClassifierFacts.model_validate_json((file.metadata() or {})[_FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        probes = [_probe(facts, seed, tensors) for seed in range(facts.lesson.recipe.num_seeds)]
        return Classifier(facts, probes, tensors["mean"], tensors["deviation"])
    except (safetensors.SafetensorError, KeyError, ValidationError, RuntimeError) as error:
        expected = "a classifier that tokbench taught"
        raise WeightsError(path, expected=expected, found=str(error).splitlines()[0]) from error


def _probe(facts: ClassifierFacts, seed: int, tensors: dict[str, Tensor]) -> Probe:
    probe = Probe(facts.lesson.recipe, len(facts.classes), num_features=NUM_MELS)
    prefix = f"{seed}."
    probe.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    )
    return probe.eval()
