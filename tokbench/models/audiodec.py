"""AudioDec (Wu et al. 2023, arXiv:2305.16608): a causal convolutional autoencoder around a residual quantizer.

Each frame is of samples up to its own first one, and each sample of codes up to its own frame, so that audio can be
coded while it comes in. Its vocoders are causal generators of HiFi-GAN, on standardized latents.

Axes: ``B`` batch, ``C`` channels, ``D`` features, ``F`` frames, ``T`` time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tokbench.models.causal import CausalConv1d, CausalConvTranspose1d, downsampled_reach, upsampled_reach
from tokbench.models.hifigan import HifiGan, HifiGanConfig
from tokbench.models.pieces import Reach
from tokbench.models.residual_vq import ResidualQuantizer

__all__ = ["AudioDecAutoencoder", "AudioDecConfig", "AudioDecDecoder", "AudioDecEncoder", "AudioDecVocoder"]

KERNEL_SIZE = 7
"""Of all convolutions that do not change the rate."""
PROJECTION_KERNEL_SIZE = 3
DILATIONS = (1, 3, 9)
"""Of the three residual units in each block."""
UNITS_SPAN = (KERNEL_SIZE - 1) * sum(DILATIONS)
"""Steps between the first and the last input of the three."""


@dataclass(frozen=True, kw_only=True)
class AudioDecConfig:
    """The sizes of an autoencoder."""

    encoder_channels: tuple[int, ...]
    """After the first convolution and after each block."""
    encoder_strides: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    """After the first convolution and after each block."""
    decoder_strides: tuple[int, ...]
    dimension: int = 64
    """Features of a frame."""
    num_codebooks: int = 8
    codebook_size: int = 1024
    is_activated: bool = False
    """Whether ELU stands after the encoder and around the blocks of the decoder, and a hyperbolic tangent at the
    end: the models called symAAD."""


class ResidualUnit(nn.Module):
    """A dilated and a pointwise convolution, with a way around both: [B, C, T] -> [B, C, T]."""

    def __init__(self, num_channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = CausalConv1d(num_channels, num_channels, KERNEL_SIZE, dilation=dilation, bias=False)
        self.conv2 = nn.Conv1d(num_channels, num_channels, 1, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        changed: Tensor = self.conv2(nn.functional.elu(self.conv1(nn.functional.elu(values))))
        return values + changed


def _units(num_channels: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualUnit(num_channels, dilation) for dilation in DILATIONS)


class EncoderBlock(nn.Module):
    """Residual units, then a strided convolution: [B, C, T] -> [B, C', ceil(T / stride)]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.res_units = _units(in_channels)
        self.conv = CausalConv1d(in_channels, out_channels, 2 * stride, stride=stride)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', F] of [B, C, T]."""
        for unit in self.res_units:
            values = unit(values)
        downsampled: Tensor = self.conv(values)
        return downsampled


class DecoderBlock(nn.Module):
    """A transposed convolution, then residual units: [B, C, F] -> [B, C', F · stride]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = CausalConvTranspose1d(in_channels, out_channels, stride=stride)
        self.res_units = _units(out_channels)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', T] of [B, C, F]."""
        values = self.conv(values)
        for unit in self.res_units:
            values = unit(values)
        return values


class AudioDecEncoder(nn.Module):
    """[B, 1, T] -> [B, D, ceil(T / product of the strides)], projected to the features of the quantizer."""

    def __init__(self, config: AudioDecConfig) -> None:
        super().__init__()
        channels = config.encoder_channels
        self.conv = CausalConv1d(1, channels[0], KERNEL_SIZE, bias=False)
        sizes = zip(channels[:-1], channels[1:], config.encoder_strides, strict=True)
        self.conv_blocks = nn.ModuleList(EncoderBlock(*size) for size in sizes)
        self.activation = nn.ELU() if config.is_activated else nn.Identity()
        self.project = CausalConv1d(channels[-1], config.dimension, PROJECTION_KERNEL_SIZE, bias=False)
        blocks = [
            layer for stride in config.encoder_strides for layer in ((UNITS_SPAN, 1), (2 * stride - 1, stride))
        ]
        ends = (KERNEL_SIZE - 1, 1), (PROJECTION_KERNEL_SIZE - 1, 1)
        self.reach = downsampled_reach([ends[0], *blocks, ends[1]])
        """Samples before a frame's first one on which it depends."""

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [B, D, F] of ``samples`` [B, 1, T]."""
        values = self.conv(samples)
        for block in self.conv_blocks:
            values = block(values)
        latents: Tensor = self.project(self.activation(values))
        return latents


class AudioDecDecoder(nn.Module):
    """The decoder that is trained with the encoder: [B, D, F] -> [B, 1, F · product of the strides]."""

    def __init__(self, config: AudioDecConfig) -> None:
        super().__init__()
        channels, strides = config.decoder_channels, config.decoder_strides
        self.conv1 = CausalConv1d(config.dimension, channels[0], KERNEL_SIZE, bias=False)
        sizes = zip(channels[:-1], channels[1:], strides, strict=True)
        self.conv_blocks = nn.ModuleList(DecoderBlock(*size) for size in sizes)
        self.conv2 = CausalConv1d(channels[-1], 1, KERNEL_SIZE, bias=False)
        self.activation = nn.ELU() if config.is_activated else nn.Identity()
        self.output_activation = nn.Tanh() if config.is_activated else nn.Identity()
        outer = (KERNEL_SIZE - 1, 1)
        self.reach = Reach(upsampled_reach([outer, *((UNITS_SPAN, stride) for stride in strides), outer]), 0)
        """Frames before its own, and after it, on which a sample depends."""

    def forward(self, latents: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of ``latents`` [B, D, F]."""
        values = self.conv1(latents)
        for block in self.conv_blocks:
            values = block(self.activation(values))
        samples: Tensor = self.output_activation(self.conv2(self.activation(values)))
        return samples


class AudioDecAutoencoder(nn.Module):
    """What is trained together, and saved in one file: encoder, quantizer and decoder."""

    def __init__(self, config: AudioDecConfig) -> None:
        super().__init__()
        self.encoder = AudioDecEncoder(config)
        self.quantizer = ResidualQuantizer(
            num_codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            dimension=config.dimension,
        )
        self.decoder = AudioDecDecoder(config)


class AudioDecVocoder(HifiGan):
    """A generator that is trained on what a quantizer makes: [B, D, F] -> [B, 1, T]."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: HifiGanConfig) -> None:
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(config.in_channels))
        self.register_buffer("scale", torch.ones(config.in_channels))

    def forward(self, latents: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of ``latents`` [B, D, F], standardized by those of its training data."""
        return super().forward((latents - self.mean[:, None]) / self.scale[:, None])
