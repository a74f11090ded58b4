"""Random tensors under the names of published checkpoints.

``tests/codecs/data/<name>.txt`` lists the state of a published model, made by its authors' code with its published
configuration: a name and a shape on each line. Divided by a number, the shapes are those of a smaller model.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["drawn", "listed", "num_parameters", "part", "smaller"]

DATA = Path(__file__).parent.parent / "codecs" / "data"

Shapes = dict[str, tuple[int, ...]]


def listed(name: str) -> Shapes:
    """Return the shapes of a published model by the names of its tensors."""
    lines = (DATA / f"{name}.txt").read_text().splitlines()
    rows = dict(line.split() for line in lines)
    return {tensor: tuple(map(int, shape.split("x"))) for tensor, shape in rows.items()}


def part(values: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what is called ``prefix.…``, without the prefix."""
    return {k.removeprefix(f"{prefix}."): v for k, v in values.items() if k.startswith(f"{prefix}.")}


def smaller(shapes: Shapes, divisor: Callable[[str, int], int]) -> Shapes:
    """Return ``shapes`` with the channels, their first two axes, divided by ``divisor(name, axis)``; 1 stays 1."""

    def size(name: str, axis: int, number: int) -> int:
        return number if axis > 1 or number == 1 else number // divisor(name, axis)

    return {name: tuple(size(name, *item) for item in enumerate(shape)) for name, shape in shapes.items()}


def drawn(shapes: Shapes, *, seed: int = 0, scales: dict[str, float] | None = None) -> dict[str, Tensor]:
    """Return tensors that keep the loudness of a signal about as it is: magnitudes near 1, small biases.

    ``scales`` is the deviation of tensors by the last part of their name, where it matters.
    """
    generator = torch.Generator().manual_seed(seed)
    usual = {"bias": 0.02, "alpha": 0.3, "beta": 0.3, **(scales or {})}

    def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
        values = torch.randn(shape, generator=generator)
        last = name.rpartition(".")[2]
        if last in usual:
            return usual[last] * values
        if last == "weight_g" or (last in {"weight", "scale"} and len(shape) == 1):
            return 1.2 + 0.1 * values
        return values / math.sqrt(math.prod(shape[1:]))

    return {name: tensor(name, shape) for name, shape in shapes.items()}


def num_parameters(shapes: Shapes, buffers: tuple[str, ...] = ()) -> int:
    """Return how many parameters a listed model has, without the tensors that end in one of ``buffers``."""
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(buffers or ("\n",)))
