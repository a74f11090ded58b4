"""Where a run stands, in one file of tensors: nothing in it is executed when it is read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tokbench.errors import TrainingError
from tokbench.paths import atomic_write

__all__ = ["CHECKPOINT_FILE", "Standing", "below", "read_checkpoint", "write_checkpoint"]

CHECKPOINT_FILE = "checkpoint.safetensors"
_KEY = "tokbench"


@dataclass(frozen=True)
class Standing:
    """How far a run has come."""

    learner: int = 0
    """Number of the learner that is being trained: 0 for the codec, then what learns from it."""
    step: int = 0
    """Steps that it has made."""
    elapsed_s: float = 0.0
    """Seconds that they took, interruptions apart."""


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], standing: Standing) -> None:
    """Write ``tensors`` atomically: ``path`` is the old checkpoint, or the whole new one."""
    # Copies, since some may share memory, which the format does not know.
    owned = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(owned, temporary, {_KEY: json.dumps(asdict(standing))})


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix`` and a dot, by what comes after it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Standing]:
    """Return what :func:`write_checkpoint` wrote; raises :class:`TrainingError` for anything else."""
    try:
        with safe_open(path, "pt") as file:
            standing = Standing(**json.loads(file.metadata()[_KEY]))
            return {name: file.get_tensor(name) for name in file.keys()}, standing  # noqa: SIM118  (no dict)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is not a checkpoint of this version ({error}). Begin again with --restart."
        raise TrainingError(msg) from error
