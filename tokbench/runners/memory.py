"""Peak memory of a block of code."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PeakMemory", "peak_memory"]

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""What resets the peak resident set size (Linux, proc(5), since 4.0)."""


@dataclass
class PeakMemory:
    """Filled when the block ends; None where this system cannot tell."""

    num_bytes: int | None = None


@contextlib.contextmanager
def peak_memory(device: str) -> Iterator[PeakMemory]:
    """Measure the peak resident memory of this process, or the memory allocated on a GPU, during the block."""
    peak = PeakMemory()
    if device.partition(":")[0] == "cuda":
        import torch  # noqa: PLC0415  (only where a GPU is used)

        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.num_bytes = torch.cuda.max_memory_allocated(device)
        return
    can_tell = _reset()
    yield peak
    if can_tell:
        peak.num_bytes = _peak_resident_bytes()


def _reset() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _peak_resident_bytes() -> int | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
