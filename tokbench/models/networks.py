"""From the spec of an encoder or decoder to the network."""

from collections import OrderedDict

from torch import nn

from tokbench.models.audiodec import AudioDecDecoder, AudioDecEncoder
from tokbench.models.convolutions import PaddedConv1d, Style, TrimmedConvTranspose1d
from tokbench.models.freqcodec import FreqCodecDecoder, FreqCodecEncoder
from tokbench.models.hificodec import HifiCodecEncoder
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder
from tokbench.models.standardized import Standardized
from tokbench.models.transformer import Transformer
from tokbench.specs.networks import AudioDec, FreqSeanet, HifiCodec, HifiGan
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.vocoder import Vocoder

__all__ = ["build_decoder", "build_encoder", "build_vocoder"]


def build_encoder(spec: NeuralCodecSpec) -> nn.Module:
    """Return the encoder of ``spec``: [B, 1, T] -> [B, D, ceil(T / hop)].

    With a bottleneck it is a sequence of ``network``, ``transformer`` and, where that makes frames longer,
    ``resampling``.
    """
    bottleneck = spec.bottleneck
    if bottleneck is None:
        return _encoder(spec)
    parts = OrderedDict(network=_encoder(spec), transformer=Transformer(bottleneck, spec.dimension))
    if bottleneck.stride > 1:
        style = Style(causal=spec.encoder.causal, padding="replicate", bias=False)
        size = 2 * bottleneck.stride
        parts["resampling"] = PaddedConv1d(
            spec.dimension, spec.dimension, size, stride=bottleneck.stride, style=style
        )
    return nn.Sequential(parts)


def _encoder(spec: NeuralCodecSpec) -> nn.Module:
    network, dimension, strides = spec.encoder, spec.dimension, spec.strides
    if isinstance(network, AudioDec):
        return AudioDecEncoder(network, dimension=dimension, strides=strides)
    if isinstance(network, HifiCodec):
        return HifiCodecEncoder(network, dimension=dimension, strides=strides, is_completed=True)
    if isinstance(network, FreqSeanet):
        return FreqCodecEncoder(network, dimension=dimension, strides=strides)
    return SeanetEncoder(network, dimension=dimension, strides=strides)


def build_vocoder(spec: NeuralCodecSpec, vocoder: Vocoder) -> Standardized:
    """Return what takes the place of the decoder of ``spec``: [B, D, F] -> [B, 1, F · hop]."""
    network = build_decoder(spec.model_copy(update={"decoder": vocoder.network}))
    return Standardized(network, dimension=spec.dimension)


def build_decoder(spec: NeuralCodecSpec) -> nn.Module:
    """Return the decoder of ``spec``: [B, D, F] -> [B, 1, F · hop].

    With a bottleneck it is a sequence of ``resampling``, if any, ``transformer`` and ``network``.
    """
    bottleneck = spec.bottleneck
    if bottleneck is None:
        return _decoder(spec)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if bottleneck.stride > 1:
        parts["resampling"] = TrimmedConvTranspose1d(
            spec.dimension,
            spec.dimension,
            2 * bottleneck.stride,
            stride=bottleneck.stride,
            groups=spec.dimension,
            style=Style(causal=spec.decoder.causal, bias=False),
        )
    parts["transformer"] = Transformer(bottleneck, spec.dimension)
    parts["network"] = _decoder(spec)
    return nn.Sequential(parts)


def _decoder(spec: NeuralCodecSpec) -> nn.Module:
    network, dimension, strides = spec.decoder, spec.dimension, spec.strides[::-1]
    if isinstance(network, AudioDec):
        return AudioDecDecoder(network, dimension=dimension, strides=strides)
    if isinstance(network, HifiGan):
        return HifiGanGenerator(network, dimension=dimension, strides=strides)
    if isinstance(network, FreqSeanet):
        return FreqCodecDecoder(network, dimension=dimension, strides=strides)
    return SeanetDecoder(network, dimension=dimension, strides=strides)
