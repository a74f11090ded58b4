"""What several training processes must agree on. In a single process nothing happens."""

import torch
from torch import Tensor, distributed

__all__ = ["first_process_", "is_first_process", "sum_over_processes_"]


def _are_several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def is_first_process() -> bool:
    """Return whether this process is the one that the others follow."""
    return not _are_several() or distributed.get_rank() == 0


@torch.no_grad()
def sum_over_processes_(values: Tensor) -> Tensor:
    """Replace ``values``, contiguous, by their sum over all processes, and return them."""
    if _are_several():
        distributed.all_reduce(values)
    return values


@torch.no_grad()
def first_process_(values: Tensor) -> Tensor:
    """Replace ``values``, contiguous, by those of the first process, and return them."""
    if _are_several():
        distributed.broadcast(values, src=0)
    return values
