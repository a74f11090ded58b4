"""A recognizer of speech that tokbench trains: CTC networks of several seeds on log-mel frames, in one file.

Axes: ``T`` samples, ``F`` frames, ``D`` features, ``S`` seeds.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from tokbench.errors import WeightsError
from tokbench.models.ctc import CtcNetwork
from tokbench.models.spectral_frames import LogMelFrames
from tokbench.paths import write_bytes
from tokbench.specs.base import StrictModel
from tokbench.specs.ctc import CtcRecipe

__all__ = ["FRAME_RATE_HZ", "SAMPLE_RATE_HZ", "RecognizerFacts", "frames_of", "read_recognizer", "write_recognizer"]

SAMPLE_RATE_HZ = 16000
NUM_MELS, HOP_MS = 40, 10.0
FRAME_RATE_HZ = 1000 / HOP_MS
_FACTS = "recognizer"
"""Key of what is no tensor, in the header of the file."""


class RecognizerFacts(StrictModel):
    """What a file holds beside its weights."""

    units: Literal["phones", "characters"]
    """What it writes down."""
    labels: tuple[str, ...]
    """Those that it can write, in the order of its classes."""
    languages: tuple[str, ...]
    """Tags of what it was taught."""
    corpus: str
    """What it was taught on, without folders of the machine that did."""
    corpus_sha256: str
    recipe: CtcRecipe


@functools.cache
def _frames() -> LogMelFrames:
    return LogMelFrames(sample_rate_hz=SAMPLE_RATE_HZ, hop_ms=HOP_MS, num_mels=NUM_MELS)


def frames_of(samples: np.ndarray) -> np.ndarray:
    """Return log-mel frames float32 [F, D] of float32 [T] at 16 kHz, less their mean over the recording.

    Without it a recognizer would hear how loud a recording is, and through which microphone.
    """
    frames: np.ndarray = _frames()(torch.from_numpy(samples)[None]).numpy()
    centred: np.ndarray = frames - frames.mean(axis=0)
    return centred


def write_recognizer(path: Path, facts: RecognizerFacts, networks: Sequence[CtcNetwork]) -> None:
    """Write ``networks`` [S] to ``path`` atomically."""
    tensors: dict[str, Tensor] = {}
    for seed, network in enumerate(networks):
        tensors |= {f"{seed}.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata={_FACTS: facts.model_dump_json()}))


def read_recognizer(path: Path) -> tuple[RecognizerFacts, list[CtcNetwork]]:
    """Return what :func:`write_recognizer` wrote; raises :class:`WeightsError` for anything else."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = RecognizerFacts.model_validate_json((file.metadata() or {})[_FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        networks = [_network(facts, seed, tensors) for seed in range(facts.recipe.num_seeds)]
    except (safetensors.SafetensorError, KeyError, ValidationError, RuntimeError) as error:
        expected = "a recognizer that tokbench taught"
        raise WeightsError(path, expected=expected, found=str(error).splitlines()[0]) from error
    return facts, networks


def _network(facts: RecognizerFacts, seed: int, tensors: dict[str, Tensor]) -> CtcNetwork:
    network = CtcNetwork(facts.recipe, len(facts.labels), num_features=NUM_MELS, frame_rate_hz=FRAME_RATE_HZ)
    prefix = f"{seed}."
    network.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    )
    return network.eval()
