"""Reading the tensors of a published checkpoint. Nothing that a file contains is executed.

safetensors and what ``torch.load(weights_only=True)`` accepts are read as they are. Older checkpoints also pickle
objects of the code that trained them (an optimizer, a configuration, a progress counter): those are read by an
unpickler that knows tensors and plain containers, and puts an :class:`Inert` in the place of everything else.
"""

import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tokbench.errors import WeightsError
from tokbench.paths import write_bytes

__all__ = [
    "Inert",
    "first_line",
    "fold_weight_norm",
    "fold_weight_norms",
    "load_strictly",
    "read_checkpoint",
    "read_tensors",
    "write_halves",
]

Module = TypeVar("Module", bound=nn.Module)


class Inert:
    """Stands for an object of a class that a file names: it takes any state and does nothing with it."""

    def __init__(self, *_: object, **__: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Accept the items of a pickled subclass of dict."""

    def append(self, item: object) -> None:
        """Accept the items of a pickled subclass of list."""

    def extend(self, items: object) -> None:
        """Accept the items of a pickled subclass of list."""


_HARMLESS = {
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("builtins", "dict"),
    ("builtins", "list"),
    ("builtins", "set"),
    ("builtins", "tuple"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    *(("torch", name) for name in vars(torch) if name.endswith("Storage")),
    *(("torch", name) for name, value in vars(torch).items() if isinstance(value, torch.dtype)),
}
"""What a checkpoint may name: constructors of tensors and of plain containers."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if (module, name) in _HARMLESS else Inert


_INERT_PICKLE = SimpleNamespace(
    Unpickler=_Unpickler, load=lambda file, **_: _Unpickler(file).load(), __name__="inert"
)
"""What :func:`torch.load` takes as ``pickle_module``."""


def read_checkpoint(path: Path) -> Any:
    """Return what a PyTorch checkpoint holds: tensors and plain containers, everything else :class:`Inert`.

    Raises :class:`WeightsError` for a file that is none.
    """
    with (
        warnings.catch_warnings(),
        contextlib.suppress(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError),
    ):
        warnings.simplefilter("ignore")  # of pickle protocols that the second way reads
        return torch.load(path, map_location="cpu", weights_only=True)
    if _is_program(path):  # which torch would run
        raise WeightsError(path, expected="a PyTorch checkpoint", found="a program in TorchScript")
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_INERT_PICKLE)
    except Exception as error:
        reason = f"an unreadable file ({first_line(error)})"
        raise WeightsError(path, expected="a PyTorch checkpoint", found=reason) from error


def _is_program(path: Path) -> bool:
    """Say whether torch takes ``path`` for an archive of TorchScript."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def first_line(error: Exception) -> str:
    """Return what ``error`` says first, for a sentence; its name where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def read_tensors(path: Path, *keys: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of a PyTorch checkpoint under ``keys``, one inside the other.

    Raises :class:`WeightsError` for a file that does not hold them.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(path, expected="a safetensors file", found=str(error)) from error
    found = read_checkpoint(path)
    for depth, key in enumerate(keys):
        if not isinstance(found, Mapping) or key not in found:
            wanted = ".".join(keys[: depth + 1])
            raise WeightsError(path, expected=f"tensors under the key {wanted!r}", found=_keys(found))
        found = found[key]
    if not isinstance(found, Mapping) or not any(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(path, expected="tensors by name", found=_keys(found))
    return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}


def _keys(found: object, limit: int = 4) -> str:
    if isinstance(found, Mapping):
        return f"the keys {', '.join(map(str, list(found)[:limit]))}{', …' if len(found) > limit else ''}"
    return f"a {type(found).__name__}"


def load_strictly(module: Module, tensors: Mapping[str, Tensor], path: Path) -> Module:
    """Load ``tensors`` into ``module`` and return it, in evaluation mode.

    Raises :class:`WeightsError`, with the file ``path`` and the first differences, unless names and shapes are
    exactly those of the module.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if differences := list(_differences(wanted, found)):
        shown = "; ".join(differences[:3])
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""  # noqa: PLR2004
        raise WeightsError(path, expected=f"the tensors of {type(module).__name__}", found=f"{shown}{more}")
    module.load_state_dict(dict(tensors))
    return module.eval()


def _differences(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield f"no {name}"
        elif name not in wanted:
            yield f"an unknown {name}"
        elif wanted[name] != found[name]:
            yield f"{name} of shape {list(found[name])} instead of {list(wanted[name])}"


_NORM_NAMES = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
"""How tensors of a weight-normalised layer are called, by the two interfaces that PyTorch has had."""


def fold_weight_norms(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``tensors`` with ``weight = g · v / ||v||`` in the place of each pair of a weight-normalised layer.

    Weight normalisation: Salimans and Kingma 2016, arXiv:1602.07868, eq. 2; the norm is over all axes but the
    first. A network that is only run needs the product alone, once.
    """
    folded = dict(tensors)
    for magnitude, direction in _NORM_NAMES:
        for name in [name for name in folded if name.endswith(f".{magnitude}") or name == magnitude]:
            stem = name.removesuffix(magnitude)
            # One without the other is left as it is, for `load_strictly` to name.
            if (v := folded.pop(f"{stem}{direction}", None)) is not None:
                folded[f"{stem}weight"] = torch._weight_norm(v, folded.pop(name), 0)  # noqa: SLF001
    return folded


def fold_weight_norm(module: Module) -> Module:
    """Replace the weight normalisation of every layer of ``module``, in place, by the weight that it makes."""
    for layer in module.modules():
        if nn.utils.parametrize.is_parametrized(layer, "weight"):
            nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        elif hasattr(layer, "weight_g"):
            nn.utils.remove_weight_norm(layer)
    return module


def write_halves(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write ``tensors`` to ``path`` as safetensors, atomically, with those of floating point in half precision."""
    halves = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in tensors.items()
    }
    write_bytes(path, save(halves, metadata))
