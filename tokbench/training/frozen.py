"""What all small networks need that are trained on frozen features: their scale, and one thread.

Axes: ``F`` frames, ``D`` features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["mean_and_deviation", "one_thread"]

_SMALLEST_DEVIATION = 1e-5
"""Features that vary less are constant, and are left as they are but for their mean."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, from random numbers of its own: the same answers on any number of cores."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(num_threads)


def mean_and_deviation(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [D] both, of ``frames`` [F, D]; a deviation of 1 for what is constant."""
    deviation = frames.std(axis=0, dtype=np.float64)
    deviation[deviation < _SMALLEST_DEVIATION] = 1.0
    return frames.mean(axis=0, dtype=np.float64).astype(np.float32), deviation.astype(np.float32)
