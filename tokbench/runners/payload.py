"""Arrays on their way from the process that measured them to the end of a cell."""

import io
from typing import Any

import numpy as np

__all__ = ["open_arrays", "pack_arrays"]


def pack_arrays(**arrays: Any) -> bytes:
    """Return ``arrays``, or numbers, compressed, for a :attr:`tokbench.runners.base.Measurement.payload`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def open_arrays(payload: bytes) -> Any:
    """Return what :func:`pack_arrays` packed, to be used in a ``with``; nothing in it is executed."""
    return np.load(io.BytesIO(payload), allow_pickle=False)
