"""AudioDec (Wu et al. 2023, arXiv:2305.16608): a causal convolutional autoencoder around a residual quantizer.

Each frame is of samples up to its own first one, and each sample of codes up to its own frame, so that audio can be
coded while it comes in. Its vocoders are causal generators of HiFi-GAN, on standardized latents.

Axes: ``B`` batch, ``C`` channels, ``D`` features, ``F`` frames, ``T`` time.
"""

from torch import Tensor, nn

from tokbench.models.causal import CausalConv1d, CausalConvTranspose1d, downsampled_reach, upsampled_reach
from tokbench.models.pieces import Reach
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.networks import AudioDec

__all__ = ["AudioDecDecoder", "AudioDecEncoder"]

KERNEL_SIZE = 7
"""Of all convolutions that do not change the rate."""
PROJECTION_KERNEL_SIZE = 3
DILATIONS = (1, 3, 9)
"""Of the three residual units in each block."""
UNITS_SPAN = (KERNEL_SIZE - 1) * sum(DILATIONS)
"""Steps between the first and the last input of the three."""


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


def _widths(network: AudioDec) -> tuple[int, ...]:
    """Return the channels at the rate of the samples and at each lower one."""
    return (network.num_filters, *(network.num_filters * ratio for ratio in network.ratios))


class AudioDecEncoder(nn.Module):
    """[B, 1, T] -> [B, D, ceil(T / product of the strides)], projected to the features of the quantizer."""

    def __init__(self, network: AudioDec, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        widths = _widths(network)
        self.conv = CausalConv1d(1, widths[0], KERNEL_SIZE, bias=False)
        sizes = zip(widths[:-1], widths[1:], strides, strict=True)
        self.conv_blocks = nn.ModuleList(EncoderBlock(*size) for size in sizes)
        self.activation = nn.ELU() if network.activated else nn.Identity()
        self.project = CausalConv1d(widths[-1], dimension, PROJECTION_KERNEL_SIZE, bias=False)
        blocks = [layer for stride in strides for layer in ((UNITS_SPAN, 1), (2 * stride - 1, stride))]
        ends = (KERNEL_SIZE - 1, 1), (PROJECTION_KERNEL_SIZE - 1, 1)
        self.reach = downsampled_reach([ends[0], *blocks, ends[1]])
        """Samples before a frame's first one on which it depends."""
        if network.norm == "weight":
            weight_normalized(self)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [B, D, F] of ``samples`` [B, 1, T]."""
        values = self.conv(samples)
        for block in self.conv_blocks:
            values = block(values)
        latents: Tensor = self.project(self.activation(values))
        return latents


class AudioDecDecoder(nn.Module):
    """The decoder that is trained with the encoder: [B, D, F] -> [B, 1, F · product of the strides]."""

    def __init__(self, network: AudioDec, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        widths = _widths(network)[::-1]
        self.conv1 = CausalConv1d(dimension, widths[0], KERNEL_SIZE, bias=False)
        sizes = zip(widths[:-1], widths[1:], strides, strict=True)
        self.conv_blocks = nn.ModuleList(DecoderBlock(*size) for size in sizes)
        self.conv2 = CausalConv1d(widths[-1], 1, KERNEL_SIZE, bias=False)
        self.activation = nn.ELU() if network.activated else nn.Identity()
        self.output_activation = nn.Tanh() if network.activated else nn.Identity()
        outer = (KERNEL_SIZE - 1, 1)
        self.reach = Reach(upsampled_reach([outer, *((UNITS_SPAN, stride) for stride in strides), outer]), 0)
        """Frames before its own, and after it, on which a sample depends."""
        if network.norm == "weight":
            weight_normalized(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of ``latents`` [B, D, F]."""
        values = self.conv1(latents)
        for block in self.conv_blocks:
            values = block(self.activation(values))
        samples: Tensor = self.output_activation(self.conv2(self.activation(values)))
        return samples
