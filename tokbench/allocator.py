"""Keeping freed memory in the process.

A codec frees tensors of many megabytes at every layer, and glibc gives each of them back to the kernel, which hands
out the same pages again, zeroed, at the next layer. Held by the process instead, they are used again at once.
"""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD_BYTES = 256 * 2**20
"""Free memory at the end of the heap above which it goes back to the kernel: some tensors, not an hour's audio."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of ``mallopt(3)``, from ``malloc.h`` of glibc."""


def keep_freed_memory() -> bool:
    """Let this process take large blocks from its heap and keep some when they are freed; false if it cannot."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES) and mallopt(_M_MMAP_MAX, 0))
