"""One process or several, started by torchrun: what they share, and nothing where there is but one."""

import atexit
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from accelerate import PartialState
from torch import distributed, nn

__all__ = ["Processes"]

_LONGEST_WAIT = timedelta(hours=12)
_BUCKET_NUMBERS = 2**24
"""Gradients that are sent at once: 64 MiB of float32."""


@dataclass(frozen=True)
class Processes:
    """This process among all that train the same model."""

    device: torch.device
    index: int = 0
    count: int = 1

    @classmethod
    def start(cls, device: str = "cpu") -> "Processes":
        """Join the processes that torchrun started, on ``device``: ``cpu``, ``cuda`` or ``cuda:N``.

        Under torchrun, each process of a machine takes a GPU of its own.
        """
        wanted = torch.device(device)
        # The first process may work alone for long, as where it clusters what the others will learn from.
        state = PartialState(cpu=wanted.type == "cpu", timeout=_LONGEST_WAIT)
        atexit.register(state.destroy_process_group)
        if state.num_processes > 1 and wanted.type != "cpu":
            wanted = state.device
        return cls(wanted, state.process_index, state.num_processes)

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and talks."""
        return self.index == 0

    def any(self, *, value: bool) -> bool:
        """Return whether ``value`` is true in any process."""
        if self.count == 1:
            return value
        flag = torch.tensor(float(value), device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def wait(self) -> None:
        """Go on once every process is here."""
        self.any(value=False)

    def share(self, module: nn.Module) -> None:
        """Give every process the tensors of the first."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over processes; one that no process has stays None."""
        if self.count == 1:
            return
        for bucket in _buckets(parameters):
            self._average(bucket)

    def _average(self, parameters: Sequence[nn.Parameter]) -> None:
        present = torch.tensor([parameter.grad is not None for parameter in parameters], device=self.device)
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in parameters
        ]
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [present.to(gradients[0].dtype)])
        distributed.all_reduce(flat)
        flat /= self.count
        *means, presence = torch.split(flat, [gradient.numel() for gradient in gradients] + [len(parameters)])
        for parameter, mean, share in zip(parameters, means, presence.tolist(), strict=True):
            parameter.grad = mean.view_as(parameter) if share > 0 else None


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and (size + parameter.numel() > _BUCKET_NUMBERS or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket
