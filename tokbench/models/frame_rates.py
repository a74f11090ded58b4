"""Frames at one rate told in frames at another.

Frame ``i`` of a sequence at ``r`` Hz is centred at ``(i + 1/2) / r`` seconds.
"""

import torch
from torch import Tensor

__all__ = ["averaging", "nearest_frames", "num_within"]

_TOLERANCE = 1e-6
"""Share of a frame by which two times may differ and be one."""


def num_within(num_frames: int, from_hz: float, to_hz: float) -> int:
    """Return how many frames at ``to_hz`` are centred within ``num_frames`` at ``from_hz``.

    >>> num_within(49, 50.0, 50.0), num_within(49, 50.0, 12.5), num_within(50, 100.0, 75.0)
    (49, 12, 37)
    """
    return int(num_frames * to_hz / from_hz + 0.5 - _TOLERANCE)


def nearest_frames(num_frames: int, from_hz: float, to_hz: float) -> Tensor:
    """Return int64 [num_frames], the frame at ``from_hz`` in which each of ``num_frames`` at ``to_hz`` is centred.

    >>> nearest_frames(4, 100.0, 50.0).tolist(), nearest_frames(4, 50.0, 75.0).tolist()
    ([1, 3, 5, 7], [0, 1, 1, 2])
    """
    centres = (torch.arange(num_frames, dtype=torch.float64) + 0.5) * from_hz / to_hz
    return (centres + _TOLERANCE).long()


def averaging(num_frames: int, num_from: int, from_hz: float, to_hz: float) -> Tensor:
    """Return float32 [num_frames, num_from]: rows of equal weights that sum to one.

    A frame at ``to_hz`` is the mean of those at ``from_hz`` that are less than its own length away from its centre,
    and of the nearest one at least.

    >>> averaging(2, 4, 100.0, 50.0)
    tensor([[0.3333, 0.3333, 0.3333, 0.0000],
            [0.0000, 0.3333, 0.3333, 0.3333]])
    """
    centres = (torch.arange(num_frames, dtype=torch.float64)[:, None] + 0.5) * from_hz / to_hz
    distances = (torch.arange(num_from, dtype=torch.float64) + 0.5 - centres).abs()
    reach = distances.amin(dim=1, keepdim=True).clamp_min(from_hz / to_hz - 2 * _TOLERANCE)
    chosen = (distances <= reach + _TOLERANCE).float()
    return chosen / chosen.sum(dim=1, keepdim=True)
