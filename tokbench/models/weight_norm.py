"""Weight normalization: a weight is learnt as its direction and its length.

Salimans and Kingma 2016, arXiv:1602.07868, section 2.

It is a matter of training: what is run has the product, which ``codecs.checkpoints`` makes of the two.
"""

from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrizations import weight_norm

__all__ = ["weight_normalized"]

Module = TypeVar("Module", bound=nn.Module)

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d


def weight_normalized(module: Module) -> Module:
    """Return ``module`` with the weights of its convolutions normalized, in place, over all axes but the first.

    What it computes is the same as before.
    """
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS) and not nn.utils.parametrize.is_parametrized(layer, "weight"):
            weight_norm(layer)
    return module
