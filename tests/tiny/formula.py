"""Weights that anybody can make again: a stream of random numbers that is frozen, seeded by each tensor's name."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["filled", "signal"]


def filled(shapes: Mapping[str, Sequence[int]], codebook_scale: float) -> dict[str, Tensor]:
    """Return a tensor of each shape, of the size that its name lets one expect."""
    return {name: _filled(name, tuple(shape), codebook_scale) for name, shape in shapes.items()}


def signal(num_samples: int, seed: int = 0) -> Tensor:
    """Return float32 [T]: noise whose level rises and falls."""
    noise = _normal(seed, (num_samples,))
    return torch.from_numpy(0.2 * noise * np.sin(np.arange(num_samples) / num_samples * 9)).float()


def _filled(name: str, shape: tuple[int, ...], codebook_scale: float) -> Tensor:
    last = name.rpartition(".")[2]
    normal = _normal(zlib.crc32(name.encode()), shape)
    if last == "window":
        return torch.hann_window(*shape)
    if last in {"inited", "cluster_size", "embed_avg"}:
        return torch.ones(shape)
    if last == "embed":
        values = codebook_scale * normal
    elif last.startswith("bias") or name.endswith("shift.weight"):
        values = 0.1 * normal
    elif last in {"weight_g", "gamma", "alpha"} or len(shape) == 1 or name.endswith("scale.weight"):
        values = 1 + 0.1 * normal
    else:
        values = normal / math.sqrt(math.prod(shape[1:]))
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def _normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    # The older generator: its numbers never change from one release of numpy to the next.
    return np.random.RandomState(seed).standard_normal(shape)
