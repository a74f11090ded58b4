"""The convolutions of EnCodec and Mimi in transformers, which pad and trim outside of what they convolve with.

Each such layer has the convolution as ``conv``, and says by ``causal`` whether all its padding is on the left.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from tokbench.codecs.pieces import Convolution, Stage, reach

__all__ = ["stage", "streamline"]


def streamline(model: nn.Module) -> None:
    """Save ``model``, in place, copies that change nothing: padding by nothing, and activations of their own input.

    What is overwritten is the output of the layer before, which nobody else reads; that of an LSTM is read again
    by the next piece, and the input of a residual unit by its shortcut.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _pads_by_nothing(child):
                setattr(parent, name, child.conv)
        if isinstance(parent, nn.ModuleList):
            for before, layer in itertools.pairwise(parent):
                if isinstance(layer, nn.ELU) and not hasattr(before, "lstm"):
                    layer.inplace = True


def _pads_by_nothing(layer: nn.Module) -> bool:
    conv = getattr(layer, "conv", None)
    is_alone = hasattr(layer, "causal") and not hasattr(layer, "norm")
    return is_alone and isinstance(conv, nn.Conv1d) and conv.kernel_size == conv.stride == (1,)


def stage(
    network: nn.Module, run: Callable[[Tensor], Tensor] | None = None, *, steps_in: int = 1, steps_out: int = 1
) -> Stage:
    """Return ``network``, or ``run`` around it, with its reach in frames of ``steps_in`` steps."""
    before, after = reach(_convolutions(network))
    return Stage(
        run=run or network,
        steps_in=steps_in,
        steps_out=steps_out,
        before=-(-before // steps_in),
        after=-(-after // steps_in),
    )


def _convolutions(network: nn.Module) -> Iterator[Convolution]:
    layers: Iterator[Any] = (layer for layer in network.modules() if hasattr(layer, "causal"))
    for layer in layers:
        conv = layer.conv
        kernel = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1
        is_transposed = isinstance(conv, nn.ConvTranspose1d)
        total = kernel - conv.stride[0]
        # A causal layer pads on the left alone, and a causal transposed one trims on the right alone.
        left = (0 if is_transposed else total) if layer.causal else total - total // 2
        yield Convolution(kernel, conv.stride[0], left, is_transposed)
