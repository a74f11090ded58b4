"""Encoders and decoders that a spec can ask for. Each turns the same frames into latents, and back."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = [
    "Activation",
    "AudioDec",
    "Bottleneck",
    "Decoder",
    "Encoder",
    "FreqSeanet",
    "HifiCodec",
    "HifiGan",
    "Init",
    "Norm",
    "Padding",
    "ResidualFields",
    "Seanet",
]

Activation = Literal["elu", "snake"]
Init = Literal["default", "zero-bias", "truncated-normal"]
Norm = Literal["none", "weight", "time-group"]
Padding = Literal["reflect", "replicate", "zeros"]


class Seanet(StrictModel):
    """Strided convolutions that double the width, each after dilated residual units; as a decoder, its mirror."""

    kind: Literal["seanet"] = "seanet"
    num_filters: int = Field(default=32, gt=0)
    """Channels at the rate of the samples; they double with each stride."""
    residual: Literal["bottleneck", "full"] = "bottleneck"
    """Whether a residual unit halves the width in between (EnCodec) or keeps it (SoundStream, DAC)."""
    shortcut: Literal["convolution", "identity"] = "convolution"
    """What is beside a residual unit: a convolution of kernel 1 (EnCodec), or nothing."""
    preactivated: bool = True
    """Whether a residual unit begins with an activation; if not, it has one only between its convolutions."""
    dilations: tuple[int, ...] = Field(default=(1,), min_length=1)
    """Of the residual units at each rate."""
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    activation: Activation = "elu"
    final_activation: Literal["none", "tanh"] = "none"
    """Of a decoder, after its last convolution."""
    norm: Norm = "none"
    """``weight``: weight normalization while it trains; ``time-group``: one group over channels and time."""
    init: Init = "default"
    """How convolutions that are not transposed begin: as PyTorch has them; with a bias of zero; or with that and
    weights from a normal distribution of standard deviation 0.02."""
    padding: Padding = "reflect"
    causal: bool = False
    num_lstm_layers: int = Field(default=2, ge=0)
    bidirectional: bool = False
    """Whether the LSTM of an encoder also runs backwards."""

    @property
    def is_bounded(self) -> bool:
        """Whether what it decodes lies between -1 and 1."""
        return self.final_activation == "tanh"


class Bottleneck(StrictModel):
    """A causal Transformer between a network and the quantizer, and another on the way back (Mimi)."""

    kind: Literal["transformer"] = "transformer"
    num_layers: int = Field(default=8, ge=0)
    num_heads: int = Field(default=8, gt=0)
    feedforward_dimension: int = Field(default=2048, gt=0)
    context: int = Field(default=250, gt=0)
    """Frames of the network that a frame attends to in each layer, itself and those before it."""
    layer_scale: float = Field(default=0.01, gt=0)
    """What the learnt scale of each residual branch begins with."""
    stride: int = Field(default=1, gt=0)
    """Frames of the network that a learnt strided convolution makes one of, after the Transformer."""


class AudioDec(StrictModel):
    """Causal convolutions with dilated residual units; as a decoder, their mirror (AudioDec)."""

    kind: Literal["audiodec"]
    num_filters: int = Field(default=32, gt=0)
    """Channels at the rate of the samples."""
    ratios: tuple[int, ...] = (2, 4, 8, 16)
    """Channels at each lower rate, in multiples of ``num_filters``: one for each stride."""
    activated: bool = False
    """Whether ELU stands after the encoder and around the blocks of the decoder, and tanh at its end (symAAD)."""
    norm: Literal["none", "weight"] = "none"

    @property
    def causal(self) -> bool:
        """Always."""
        return True

    @property
    def is_bounded(self) -> bool:
        """Whether what it decodes lies between -1 and 1."""
        return self.activated


class ResidualFields(StrictModel):
    """What the networks of HiFi-GAN are made of: residual blocks of several kernel sizes side by side."""

    kernel_sizes: tuple[int, ...] = ()
    """Of the strided convolutions, in the order in which they follow; twice the strides if empty, and one more
    where a stride is odd (HiFi-Codec). Causal ones are always twice their stride long."""
    block_kernel_sizes: tuple[int, ...] = Field(default=(3, 7, 11), min_length=1)
    block_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    """Of the convolutions of each block."""
    norm: Literal["none", "weight"] = "none"

    def strided(self, strides: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Return the stride and the kernel size of each strided convolution."""
        kernel_sizes = self.kernel_sizes or tuple(2 * stride + stride % 2 for stride in strides)
        return tuple(zip(strides, kernel_sizes, strict=True))

    @property
    def fields(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """The kernel size and the dilations of each block."""
        return tuple(zip(self.block_kernel_sizes, self.block_dilations, strict=True))


class HifiGan(ResidualFields):
    """The generator of HiFi-GAN, a decoder."""

    kind: Literal["hifigan"]
    num_filters: int = Field(default=32, gt=0)
    """Channels at the rate of the samples, halved with each stride until there."""
    num_groups: int = Field(default=1, gt=0)
    """Above 1, one residual block works on so many copies of its input, each with its own weights (AudioDec)."""
    causal: bool = False
    last_slope: float = 0.1
    """Of the rectifier before the last convolution, which not all implementations make the same."""
    final_activation: Literal["none", "tanh"] = "tanh"

    @property
    def is_bounded(self) -> bool:
        """Whether what it decodes lies between -1 and 1."""
        return self.final_activation == "tanh"


class HifiCodec(ResidualFields):
    """The mirror of HiFi-GAN with group normalization, an encoder (HiFi-Codec)."""

    kind: Literal["hificodec"]
    num_filters: int = Field(default=32, gt=0)
    """Channels at the rate of the samples; they double with each stride."""
    block_kernel_sizes: tuple[int, ...] = Field(default=(11, 7, 3), min_length=1)

    @property
    def causal(self) -> bool:
        """Never: it normalizes over all of time."""
        return False


class FreqSeanet(StrictModel):
    """A SEANet over time and frequency (FreqCodec).

    The first of the codec's strides is that of the short-time Fourier transform, the others are those of the
    network over time.
    """

    kind: Literal["freq-seanet"]
    phase: Literal["point", "angle"] = "point"
    """Beside the log magnitude: the phase as a point on a circle (mag_phase), or as its angle (mag_angle)."""
    frequency_strides: tuple[int, ...] = Field(default=(4, 4, 4, 4), min_length=1)
    """In the order of the encoder; the window is twice their product long, so that one frequency is left."""
    num_filters: int = Field(default=32, gt=0)
    """Channels at the rate of the spectrogram; they double with each stride."""
    dilations: tuple[int, ...] = (1,)
    """Over time, of the residual units at each rate."""
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    activation: Activation = "elu"
    norm: Norm = "time-group"
    num_lstm_layers: int = Field(default=2, ge=0)
    group_ratio: int | None = Field(default=None, gt=0)
    """A convolution of C channels has C / 2 / ``group_ratio`` groups; one group if not given."""
    transposed_group_ratio: int | None = Field(default=None, gt=0)
    """Likewise of transposed convolutions."""

    @property
    def causal(self) -> bool:
        """Never: its convolutions look both ways."""
        return False

    @property
    def is_bounded(self) -> bool:
        """Never: it adds up spectra."""
        return False

    @property
    def num_channels(self) -> int:
        """Of a spectrogram: its log magnitude, and what stands for its phase."""
        return 3 if self.phase == "point" else 2

    @property
    def window_length(self) -> int:
        """Of the transform, in samples."""
        return 2 * math.prod(self.frequency_strides)


Encoder = Annotated[Seanet | AudioDec | HifiCodec | FreqSeanet, Field(discriminator="kind")]
Decoder = Annotated[Seanet | AudioDec | HifiGan | FreqSeanet, Field(discriminator="kind")]


def layers_are_as_many_as_strides(strides: tuple[int, ...], encoder: Encoder, decoder: Decoder) -> str | None:
    """Report lists of an encoder or decoder that do not go with each other or with the strides."""
    problems = [*_misfits("encoder", encoder, strides), *_misfits("decoder", decoder, strides[::-1])]
    return "; ".join(problems) or None


def _misfits(name: str, network: Encoder | Decoder, strides: tuple[int, ...]) -> Iterator[str]:
    if isinstance(network, AudioDec) and len(network.ratios) != len(strides):
        yield f"{name}.ratios: expected one for each of {len(strides)} strides, found {list(network.ratios)}"
    if isinstance(network, FreqSeanet):
        found, half = network.frequency_strides, network.window_length // 2
        if len(found) != len(strides) - 1:
            yield f"{name}.frequency_strides: expected {len(strides) - 1}, strides less one, found {list(found)}"
        hop = strides[0] if name == "encoder" else strides[-1]
        if hop > half:
            yield f"strides: expected a first one of at most {half}, half of the {name}'s window, found {hop}"
    if isinstance(network, ResidualFields):
        yield from _misfits_of_fields(name, network, strides)


def _misfits_of_fields(name: str, network: ResidualFields, strides: tuple[int, ...]) -> Iterator[str]:
    num_blocks, sizes = len(network.block_kernel_sizes), network.kernel_sizes
    if len(network.block_dilations) != num_blocks:
        yield f"{name}.block_dilations: expected {num_blocks}, as many as block_kernel_sizes, found " + str(
            len(network.block_dilations)
        )
    pairs = list(zip(sizes, strides, strict=False))
    if sizes and (
        len(sizes) != len(strides) or any(size < stride or (size - stride) % 2 for size, stride in pairs)
    ):
        yield f"{name}.kernel_sizes: expected {list(strides)}, each and an even number more, found {list(sizes)}"
    if not isinstance(network, HifiGan):
        return
    if network.num_groups > 1 and num_blocks > 1:
        yield f"{name}.num_groups: expected 1 beside {num_blocks} block_kernel_sizes, found {network.num_groups}"
    if network.causal and sizes and any(size != 2 * stride for size, stride in pairs):
        yield f"{name}.kernel_sizes: expected twice the strides of a causal decoder, found {list(sizes)}"


def networks_are_possible(encoder: Encoder, decoder: Decoder) -> str | None:
    """Report switches of an encoder or decoder that exclude each other, or that it does not have."""
    problems = [*_impossible("encoder", encoder), *_impossible("decoder", decoder)]
    if isinstance(encoder, Seanet) and encoder.final_activation != "none":
        problems.append(f"encoder.final_activation: latents have none, found {encoder.final_activation!r}")
    if isinstance(decoder, Seanet) and decoder.bidirectional:
        problems.append("decoder.bidirectional: the LSTM of a decoder runs forwards alone")
    return "; ".join(problems) or None


def _impossible(name: str, network: Encoder | Decoder) -> Iterator[str]:
    if isinstance(network, Seanet) and network.bidirectional:
        if network.causal:
            yield f"{name}.bidirectional: what is causal does not run backwards"
        if not network.num_lstm_layers:
            yield f"{name}.bidirectional: there is no LSTM, num_lstm_layers is 0"
    if isinstance(network, FreqSeanet) and network.activation == "snake":
        yield f"{name}.activation: 'snake' bends channels over time alone, not over frequency as well"
    if network.causal and getattr(network, "norm", "none") == "time-group":
        yield f"{name}.norm: 'time-group' looks at all of time, which what is causal does not"


def heads_divide(dimension: int, bottleneck: Bottleneck | None) -> str | None:
    """Report heads between which the features cannot be shared out in pairs."""
    if bottleneck is not None and dimension % (2 * bottleneck.num_heads):
        found = bottleneck.num_heads
        return f"bottleneck.num_heads: expected a divisor of half of the {dimension} features, found {found}"
    return None


CONTRADICTIONS = (layers_are_as_many_as_strides, networks_are_possible, heads_divide)
"""Checks across keys, in the sense of :mod:`tokbench.specs.neural_codec`."""
