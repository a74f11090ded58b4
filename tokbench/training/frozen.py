"""What all small networks need that are trained on frozen features: their scale, and one thread.

Axes: ``F`` frames, ``D`` features.
"""

from collections.abc import Iterable, Iterator, Sequence
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


def mean_and_deviation(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [D] both, of the frames of all ``sequences`` [F, D]; a deviation of 1 for what is constant."""
    num_frames = sum(len(frames) for frames in sequences)
    mean = _sum(frames.astype(np.float64) for frames in sequences) / num_frames
    deviation = np.sqrt(_sum(np.square(frames - mean) for frames in sequences) / num_frames)
    deviation[deviation < _SMALLEST_DEVIATION] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def _sum(sequences: Iterable[np.ndarray]) -> np.ndarray:
    """Return float64 [D], the sum of all frames one after another: as of all at once, to the last bit."""
    iterator = iter(sequences)
    total: np.ndarray = next(iterator).sum(axis=0)
    for frames in iterator:
        total = np.concatenate([total[None], frames]).sum(axis=0)
    return total
