"""A SEANet on long audio: its convolutions see a piece and what surrounds it, its LSTM remembers.

Possible where no layer normalizes over time. An LSTM that runs in both directions needs all frames at once, but
frames are few: the memory is that of its output, and of a piece.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.codecs.pieces import Convolution, Stage, in_pieces, reach
from tokbench.models.convolutions import PaddedConv1d, TrimmedConvTranspose1d
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder, SkipLstm

__all__ = ["decode_in_pieces", "decoder_reach", "encode_in_pieces", "encoder_reach"]


def encode_in_pieces(encoder: SeanetEncoder, samples: Tensor, *, hop_length: int, piece_frames: int) -> Tensor:
    """Return ``encoder(samples)``, latents [1, D, F] of ``samples`` [1, C, T]."""
    convolve, lstm, finish = encoder.stages
    before, after = (-(-steps // hop_length) for steps in _reach(convolve))
    first = Stage(run=convolve, steps_in=hop_length, before=before, after=after)
    if lstm is not None and lstm.num_directions > 1:
        frames = _join(first, None, Stage(run=nn.Identity(), before=0, after=0), samples, piece_frames)
        latents: Tensor = finish(lstm(frames))
        return latents
    before, after = _reach(finish)
    return _join(first, lstm, Stage(run=finish, before=before, after=after), samples, piece_frames)


def decode_in_pieces(decoder: SeanetDecoder, latents: Tensor, *, hop_length: int, piece_frames: int) -> Tensor:
    """Return ``decoder(latents)``, samples [1, C, F · hop] of ``latents`` [1, D, F]."""
    begin, lstm, convolve = decoder.stages
    (before, after), (before_last, after_last) = _reach(begin), _reach(convolve)
    first = Stage(run=begin, before=before, after=after)
    last = Stage(run=convolve, steps_out=hop_length, before=before_last, after=after_last)
    return _join(first, lstm, last, latents, piece_frames)


def _join(first: Stage, lstm: SkipLstm | None, last: Stage, inputs: Tensor, piece_frames: int) -> Tensor:
    def remember(frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        return lstm.resume(frames, state) if lstm is not None else (frames, None)

    return torch.cat(list(in_pieces(inputs, first, remember, last, piece_frames=piece_frames)), dim=-1)


def encoder_reach(encoder: SeanetEncoder, *, hop_length: int) -> tuple[int, int]:
    """Return how many samples before and after its own a frame depends on, without the LSTM and away from ends."""
    convolve, _, finish = encoder.stages
    (before, after), (frames_before, frames_after) = (reach(_convolutions(part)) for part in (convolve, finish))
    return before + frames_before * hop_length, after + frames_after * hop_length


def decoder_reach(decoder: SeanetDecoder) -> tuple[int, int]:
    """Return how many frames before and after its own a sample depends on, without the LSTM and away from ends."""
    begin, _, convolve = decoder.stages
    (before, after), (before_last, after_last) = (reach(_convolutions(part)) for part in (begin, convolve))
    return before + before_last, after + after_last


def _reach(layers: nn.Module) -> tuple[int, int]:
    """Return how far ``layers`` look within a signal, and where they reflect it at its ends."""
    # At the beginning as much is reflected as is padded on the left. At the end it is what is padded on the right,
    # and what the last frame lacks: up to a stride less one. Either is a reach in the other direction.
    before, _ = reach(_convolutions(layers, choose=max))
    _, after = reach(_convolutions(layers, choose=min))
    return before, after


def _convolutions(module: nn.Module, choose: Callable[[int, int], int] | None = None) -> Iterator[Convolution]:
    """Yield the convolutions of ``module``; ``choose`` the padding on the left from it and the one at the end."""
    for layer in module.modules():
        if isinstance(layer, PaddedConv1d):
            kernel = (layer.conv.kernel_size[0] - 1) * layer.conv.dilation[0] + 1
            left = choose(layer.left, layer.right + layer.stride - 1) if choose else layer.left
            yield Convolution(kernel, layer.stride, left)
        elif isinstance(layer, TrimmedConvTranspose1d):
            yield Convolution(layer.conv.kernel_size[0], layer.conv.stride[0], layer.left, is_transposed=True)
