"""Sizes of a model that stand nowhere but in the shapes of its tensors."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from tokbench.errors import WeightsError

__all__ = ["shape_of"]


def shape_of(tensors: Mapping[str, Tensor], name: str, *, num_axes: int, path: Path) -> tuple[int, ...]:
    """Return the shape of the tensor ``name``, which tells a size of the model in the file ``path``.

    Raises :class:`WeightsError` where there is none, or where it has other axes.
    """
    if name not in tensors:
        raise WeightsError(path, expected=f"a tensor {name}", found="none")
    shape = tuple(tensors[name].shape)
    if len(shape) != num_axes:
        raise WeightsError(path, expected=f"{name} with {num_axes} axes", found=f"the shape {list(shape)}")
    return shape
