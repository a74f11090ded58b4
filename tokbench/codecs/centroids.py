"""Reading k-means centroids as they were published. Nothing that a file contains is executed.

fairseq and textlesslib publish a scikit-learn ``MiniBatchKMeans`` written by joblib, SpeechBrain the same under the
suffix ``.pt``, others a tensor saved by PyTorch or a NumPy array. The format is told from a file's first bytes.

joblib's format is a pickle in which the bytes of each array follow the description of that array. It is read here
by an unpickler that makes arrays and puts an :class:`~tokbench.codecs.checkpoints.Inert` in the place of every
other object, so that scikit-learn is neither needed nor run, whichever version wrote the file.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.checkpoints import Inert, first_line, read_checkpoint, read_tensors
from tokbench.errors import WeightsError

__all__ = ["read_centroids"]

_NAMES = ("cluster_centers_", "codebook", "centroids")
"""What centroids are called among other things: in scikit-learn, and by those who save a tensor."""
_NUMPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


def read_centroids(path: Path, *, num_features: int) -> Tensor:
    """Return float32 [V, D] of a file with the centroids of frames of ``num_features``.

    Raises :class:`WeightsError` for a file that does not hold them.
    """
    expected = f"k-means centroids of {num_features} features"
    found = _found(path, expected)
    if isinstance(found, Mapping):
        names = ", ".join(map(str, list(found)[:4])) or "nothing"
        found = next((found[name] for name in _NAMES if name in found), names)
    if isinstance(found, np.ndarray) and found.dtype.kind == "f":
        found = torch.from_numpy(np.array(found, dtype=np.float32))
    if not isinstance(found, Tensor):
        raise WeightsError(path, expected=expected, found=str(found))
    if found.ndim != 2 or found.shape[1] != num_features or not found.is_floating_point():  # noqa: PLR2004
        raise WeightsError(path, expected=expected, found=f"{found.dtype} of shape {list(found.shape)}")
    if not bool(torch.isfinite(found).all()):
        raise WeightsError(path, expected=expected, found="NaN or infinite values")
    return found.to(torch.float32).contiguous()


def _found(path: Path, expected: str) -> Any:
    """Return an array, a tensor or a mapping of them, or else a word for what there is."""
    if path.suffix == ".safetensors":
        return read_tensors(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(_NUMPY))
    except OSError as error:
        raise WeightsError(path, expected=expected, found=str(error)) from error
    if start.startswith(_ZIP):
        return read_checkpoint(path)
    try:
        if start == _NUMPY:
            return np.load(path, allow_pickle=False)
        found = _JoblibUnpickler(path.read_bytes()).load()
    except Exception as error:
        # A damaged pickle can raise anything: each of its bytes is an instruction to the unpickler.
        reason = first_line(error)
        raise WeightsError(path, expected=expected, found=f"an unreadable file ({reason})") from error
    return found.state if isinstance(found, Inert) and isinstance(found.state, Mapping) else found


class _Array:
    """What joblib pickles for an array whose bytes follow: its shape, its dtype and its order."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    numpy_array_alignment_bytes: int | None = None
    """Since joblib 1.2, the bytes start at a multiple of this, after one byte that says how many were skipped."""

    def read(self, file: io.BytesIO) -> np.ndarray:
        """Return the array whose bytes start at the place of ``file``."""
        if self.dtype.hasobject:
            msg = "an array of objects"
            raise pickle.UnpicklingError(msg)
        if self.numpy_array_alignment_bytes is not None:
            file.seek(file.read(1)[0], io.SEEK_CUR)
        count = int(np.prod(self.shape, dtype=np.int64))
        data = file.read(count * self.dtype.itemsize)
        if len(data) < count * self.dtype.itemsize:
            msg = f"{len(data)} of {count * self.dtype.itemsize} bytes of an array"
            raise pickle.UnpicklingError(msg)
        order: Any = self.order
        return np.frombuffer(data, self.dtype).reshape(self.shape, order=order)


def _encoded(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 pickles as text for Python 2."""
    if encoding != "latin1":
        msg = f"bytes in the encoding {encoding!r}"
        raise pickle.UnpicklingError(msg)
    return text.encode("latin1")


class _Ndarray(np.ndarray):
    """What a file may name as the kind of an array, and may not make one of, out of bytes for addresses."""

    def __new__(cls, *_: object, **__: object) -> Self:
        msg = "an array that is made of a buffer"
        raise pickle.UnpicklingError(msg)


def _dtype(*arguments: Any) -> np.dtype[Any]:
    """Return a type of numbers; raises :class:`pickle.UnpicklingError` for any other, objects above all."""
    made: np.dtype[Any] = np.dtype(*arguments)
    if made.kind not in "fiub":
        msg = f"an array of {'objects' if made.hasobject else made}"
        raise pickle.UnpicklingError(msg)
    return made


_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]
_KNOWN: Mapping[tuple[str, str], Any] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Array,
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _dtype,
    **{
        (f"numpy.{core}.multiarray", name): value
        for core in ("core", "_core")
        for name, value in (("_reconstruct", _RECONSTRUCT), ("scalar", _SCALAR))
    },
    ("_codecs", "encode"): _encoded,
}
"""All that a file may name. None of it does more than make an array, a number or bytes."""


# The unpickler that is written in Python: it can be stopped after the description of an array.
_Unpickler: Any = pickle._Unpickler  # noqa: SLF001


class _JoblibUnpickler(_Unpickler):  # type: ignore[misc]
    """Knows arrays, and what joblib writes in their place."""

    def __init__(self, data: bytes) -> None:
        self._bytes = io.BytesIO(data)
        super().__init__(self._bytes)

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), Inert)

    def load_build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _Array):
            self.stack[-1] = self.stack[-1].read(self._bytes)

    # The unpickler finds what to do with an instruction in a table of functions, not among its methods.
    dispatch: ClassVar[dict[int, Any]] = {**_Unpickler.dispatch, pickle.BUILD[0]: load_build}
