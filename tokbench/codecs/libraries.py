"""Shared libraries of the system, for codecs that no Python package carries."""

from ctypes import CDLL, c_void_p
from ctypes.util import find_library

from tokbench.errors import MissingLibraryError

__all__ = ["shared_library"]


def shared_library(codec: str, name: str, *, package: str, constructors: tuple[str, ...] = ()) -> CDLL:
    """Return ``lib<name>``, whose ``constructors`` return pointers.

    Raises :class:`MissingLibraryError` with the Debian package that has it.
    """
    found = find_library(name)
    if found is None:
        raise MissingLibraryError(codec, {name: package})
    library = CDLL(found)
    for constructor in constructors:
        getattr(library, constructor).restype = c_void_p
    return library
