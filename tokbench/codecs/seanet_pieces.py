"""A SEANet encoder on long audio: its convolutions see a piece and what surrounds it, its LSTM remembers.

Possible where the LSTM runs forwards only and no layer normalizes over time.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.codecs.pieces import Convolution, Stage, in_pieces, reach
from tokbench.models.convolutions import PaddedConv1d
from tokbench.models.seanet import SeanetEncoder, SkipLstm

__all__ = ["encode_in_pieces", "encoder_reach"]


def encode_in_pieces(encoder: SeanetEncoder, samples: Tensor, *, hop_length: int, piece_frames: int) -> Tensor:
    """Return ``encoder(samples)``, latents [1, D, F] of ``samples`` [1, C, T], in the memory of a piece."""
    convolve, lstm, finish = encoder.stages
    first, last = _reach(convolve), _reach(finish)
    before, after = (-(-steps // hop_length) for steps in first)
    down = Stage(run=convolve, steps_in=hop_length, before=before, after=after)
    up = Stage(run=finish, before=last[0], after=last[1])

    def remember(latents: Tensor, state: Any) -> tuple[Tensor, Any]:
        return lstm.resume(latents, state) if lstm is not None else (latents, None)

    return torch.cat(list(in_pieces(samples, down, remember, up, piece_frames=piece_frames)), dim=-1)


def encoder_reach(encoder: SeanetEncoder, *, hop_length: int) -> tuple[int, int]:
    """Return how many samples before and after its own a frame depends on, what the LSTM remembers apart."""
    convolve, _, finish = encoder.stages
    (before, after), (frames_before, frames_after) = _reach(convolve), _reach(finish)
    return before + frames_before * hop_length, after + frames_after * hop_length


def _reach(layers: nn.Module) -> tuple[int, int]:
    # The last frame may be incomplete by up to a stride less one, and is completed by reflection: as if the layer
    # padded so much more on its right. Where that is more than on its left, the reflection reaches further back.
    before, _ = reach(_convolutions(layers, reflects=True))
    _, after = reach(_convolutions(layers, reflects=False))
    return before, after


def _convolutions(module: nn.Module, *, reflects: bool) -> Iterator[Convolution]:
    for layer in module.modules():
        if isinstance(layer, PaddedConv1d):
            kernel = (layer.conv.kernel_size[0] - 1) * layer.conv.dilation[0] + 1
            left = max(layer.left, layer.right + layer.stride - 1) if reflects else layer.left
            yield Convolution(kernel, layer.stride, left)
        elif isinstance(layer, SkipLstm):  # pragma: no cover
            msg = "the reach of an LSTM has no bound"
            raise TypeError(msg)
