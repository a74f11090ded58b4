"""The networks of a spec on long audio: in pieces of bounded memory, with the result of the whole.

Convolutions see a piece and what surrounds it, an LSTM and a Transformer remember. What normalizes over all of time
sees all of it at once.

Axes: ``D`` features, ``F`` frames, ``T`` samples.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tokbench.codecs import seanet_pieces
from tokbench.models.audiodec import AudioDecDecoder, AudioDecEncoder
from tokbench.models.convolutions import PaddedConv1d, TrimmedConvTranspose1d
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.models.pieces import Reach, in_pieces
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder
from tokbench.models.standardized import Standardized
from tokbench.models.transformer import Transformer

__all__ = ["PiecewiseDecoder", "PiecewiseEncoder"]


class Piecewise(nn.Module):
    """``network`` with ``hop_length`` samples per frame, on ``piece_frames()`` frames at a time."""

    def __init__(self, network: nn.Module, *, hop_length: int, piece_frames: Callable[[], int]) -> None:
        super().__init__()
        self.network, self.hop_length, self.piece_frames = network, hop_length, piece_frames


class PiecewiseEncoder(Piecewise):
    """float32 [1, 1, T] -> [1, D, F]."""

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [1, D, F] of ``samples`` [1, 1, T]."""
        return _encode(self.network, samples, self.hop_length, self.piece_frames())


class PiecewiseDecoder(Piecewise):
    """float32 [1, D, F] -> [1, 1, F · hop]."""

    def forward(self, latents: Tensor) -> Tensor:
        """Return the samples [1, 1, F · hop] of ``latents`` [1, D, F]."""
        return _decode(self.network, latents, self.hop_length, self.piece_frames())


def _encode(encoder: nn.Module, samples: Tensor, hop_length: int, num_frames: int) -> Tensor:
    if isinstance(encoder, SeanetEncoder) and not _normalizes_over_time(encoder):
        return seanet_pieces.encode_in_pieces(encoder, samples, hop_length=hop_length, piece_frames=num_frames)
    if isinstance(encoder, AudioDecEncoder):
        # Frames see their own first sample and no later one: what completes the last is not seen.
        whole = pad(samples, (0, -samples.shape[-1] % hop_length))
        reach = Reach(math.ceil(encoder.reach / hop_length), 0)
        return in_pieces(encoder, whole, reach=reach, num_frames=num_frames, in_step=hop_length)
    latents: Tensor
    if isinstance(encoder, nn.Sequential):
        network, transformer, *resampling = encoder
        stride = _stride(resampling)
        frames = _encode(network, samples, hop_length // stride, num_frames * stride)
        latents = nn.Sequential(*resampling)(_attended(transformer, frames, num_frames * stride))
    else:
        latents = encoder(samples)
    return latents


def _decode(decoder: nn.Module, latents: Tensor, hop_length: int, num_frames: int) -> Tensor:
    if isinstance(decoder, nn.Sequential):
        *resampling, transformer, network = decoder
        stride = _stride(resampling)
        frames = _attended(transformer, nn.Sequential(*resampling)(latents), num_frames * stride)
        return _decode(network, frames, hop_length // stride, num_frames * stride)
    if isinstance(decoder, SeanetDecoder) and not _normalizes_over_time(decoder):
        return seanet_pieces.decode_in_pieces(decoder, latents, hop_length=hop_length, piece_frames=num_frames)
    inner = decoder.network if isinstance(decoder, Standardized) else decoder
    if isinstance(inner, AudioDecDecoder | HifiGanGenerator):
        return in_pieces(decoder, latents, reach=inner.reach, num_frames=num_frames, out_step=hop_length)
    samples: Tensor = decoder(latents)
    return samples


def _attended(transformer: nn.Module, frames: Tensor, num_frames: int) -> Tensor:
    """Return ``transformer(frames)`` of [1, D, F]."""
    if not isinstance(transformer, Transformer):
        msg = f"expected a Transformer beside a network, found {type(transformer).__name__}"
        raise TypeError(msg)
    state, pieces = None, []
    for piece in torch.split(frames, num_frames, dim=-1):
        attended, state = transformer.resume(piece, state)
        pieces.append(attended)
    return torch.cat(pieces, dim=-1)


def _stride(resampling: list[nn.Module]) -> int:
    """Return how many frames of the network one frame is."""
    stride = 1
    for layer in resampling:
        if isinstance(layer, PaddedConv1d):
            stride *= layer.stride
        elif isinstance(layer, TrimmedConvTranspose1d):
            stride *= layer.conv.stride[0]
    return stride


def _normalizes_over_time(network: nn.Module) -> bool:
    return any(isinstance(layer, nn.GroupNorm) for layer in network.modules())
