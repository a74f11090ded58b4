"""The weights that did best on what is held out: those that a run ends with where its spec asks for them."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tokbench.training.checkpoint import below

__all__ = ["Best"]

_WEIGHTS, _LOSS, _STEP = "weights", "loss", "step"


class Best:
    """Copies of the parts of a network, each as it was when its loss was lowest.

    Parts are judged one by one, since one may be learnt by heart while another one is still learning. A part is a
    submodule, named as in the network; one without a loss is not kept.
    """

    def __init__(self) -> None:
        self._losses: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._weights: dict[str, Tensor] = {}

    @property
    def steps(self) -> Mapping[str, int]:
        """After how many steps each part was at its best."""
        return dict(self._steps)

    def see(self, network: nn.Module, losses: Mapping[str, float], step: int) -> None:
        """Keep the parts of ``network`` that did better than ever before; of equal ones, the first."""
        better = {part: loss for part, loss in losses.items() if loss < self._losses.get(part, math.inf)}
        for name, tensor in network.state_dict().items():
            if any(name.startswith(f"{part}.") for part in better):
                self._weights[name] = tensor.detach().clone()
        self._losses |= better
        self._steps |= dict.fromkeys(better, step)

    def put(self, network: nn.Module) -> None:
        """Give ``network`` the parts that are kept; the others stay as they are."""
        network.load_state_dict({**network.state_dict(), **self._weights})

    def state(self) -> dict[str, Tensor]:
        """Return all of it, for a checkpoint; :meth:`load` takes it."""
        tensors = {f"{_WEIGHTS}.{name}": tensor for name, tensor in self._weights.items()}
        for part, loss in self._losses.items():
            tensors[f"{_LOSS}.{part}"] = torch.tensor(loss, dtype=torch.float64)
            tensors[f"{_STEP}.{part}"] = torch.tensor(self._steps[part])
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that :meth:`state` told."""
        self._weights = below(_WEIGHTS, tensors)
        self._losses = {part: float(value) for part, value in below(_LOSS, tensors).items()}
        self._steps = {part: int(value) for part, value in below(_STEP, tensors).items()}
