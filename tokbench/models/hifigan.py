"""The generator of HiFi-GAN: frames to a waveform by transposed convolutions and fields of many widths.

Kong et al. 2020, arXiv:2010.05646, generator V1; its causal and grouped forms are those of AudioDec (Wu et al.
2023, arXiv:2305.16608).

Axes: ``B`` batch, ``C`` channels, ``D`` features, ``F`` frames, ``T`` time.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from tokbench.models.causal import CausalConv1d, CausalConvTranspose1d, upsampled_reach
from tokbench.models.pieces import Reach
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.networks import HifiGan

__all__ = ["HifiGanGenerator", "ResidualBlock"]

SLOPE = 0.1
"""Of the leaky rectifiers: Kong et al. 2020, section 2."""
OUTER_KERNEL_SIZE = 7
"""Of the first and of the last convolution."""


def _conv(num_channels: int, kernel_size: int, dilation: int, *, groups: int, is_causal: bool) -> nn.Conv1d:
    """Return a convolution that keeps the number of channels and of steps."""
    if is_causal:
        return CausalConv1d(num_channels, num_channels, kernel_size, dilation=dilation, groups=groups)
    padding = (kernel_size - 1) * dilation // 2
    return nn.Conv1d(num_channels, num_channels, kernel_size, dilation=dilation, groups=groups, padding=padding)


class ResidualBlock(nn.Module):
    """For each dilation a dilated and a plain convolution, with a way around both: [B, C, T] -> [B, C, T]."""

    def __init__(
        self,
        num_channels: int,
        kernel_size: int,
        dilations: tuple[int, ...],
        *,
        groups: int = 1,
        is_causal: bool = False,
    ) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            _conv(num_channels, kernel_size, dilation, groups=groups, is_causal=is_causal) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(
            _conv(num_channels, kernel_size, 1, groups=groups, is_causal=is_causal) for _ in dilations
        )
        self.span = (kernel_size - 1) * (sum(dilations) + len(dilations))
        """Steps between the first and the last input of an output."""

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            values = values + plain(leaky_relu(dilated(leaky_relu(values, SLOPE)), SLOPE))
        return values


class ReceptiveFields(nn.Module):
    """The mean of residual blocks of several kernel sizes: [B, C, T] -> [B, C, T]."""

    def __init__(self, num_channels: int, network: HifiGan) -> None:
        super().__init__()
        blocks = [ResidualBlock(num_channels, *field, is_causal=network.causal) for field in network.fields]
        self.blocks = nn.ModuleList(blocks)
        self.span = max(block.span for block in blocks)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        total = torch.zeros_like(values)
        for block in self.blocks:
            total = total + block(values)
        return total / len(self.blocks)


class GroupedFields(ResidualBlock):
    """One residual block on several copies of its input, mixed at the end: [B, C, T] -> [B, C, T].

    The groups of a convolution run side by side where blocks of several kernel sizes run one after the other.
    """

    def __init__(self, num_channels: int, network: HifiGan) -> None:
        (field,), groups = network.fields, network.num_groups
        super().__init__(num_channels * groups, *field, groups=groups, is_causal=network.causal)
        self.conv_out = nn.Conv1d(num_channels * groups, num_channels, 1, bias=False)
        self.num_groups = groups

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        mixed: Tensor = self.conv_out(super().forward(values.repeat(1, self.num_groups, 1)))
        return mixed


class HifiGanGenerator(nn.Module):
    """[B, D, F] -> [B, 1, F · product of the strides], between -1 and 1 if ``network`` ends in tanh."""

    def __init__(self, network: HifiGan, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        fields = GroupedFields if network.num_groups > 1 else ReceptiveFields
        layers = network.strided(strides)
        width, causal, spans = network.num_filters * 2 ** len(strides), network.causal, []
        self.input_conv = _outer_conv(dimension, width, is_causal=causal)
        self.upsamples = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for stride, kernel_size in layers:
            self.upsamples.append(_upsample(width, stride, kernel_size, is_causal=causal))
            width //= 2
            block = fields(width, network)
            spans.append(block.span)
            self.blocks.append(block)
        self.output_conv = _outer_conv(width, 1, is_causal=causal)
        self.last_slope, self.is_bounded = network.last_slope, network.is_bounded
        self.reach = _causal_reach(strides, spans) if causal else _reach(layers, spans)
        """Frames before and after its own on which a sample depends."""
        if network.norm == "weight":
            weight_normalized(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of ``latents`` [B, D, F]."""
        values = self.input_conv(latents)
        for upsample, fields in zip(self.upsamples, self.blocks, strict=True):
            values = fields(upsample(leaky_relu(values, SLOPE)))
        samples: Tensor = self.output_conv(leaky_relu(values, self.last_slope))
        return samples.tanh() if self.is_bounded else samples


def _outer_conv(in_channels: int, out_channels: int, *, is_causal: bool) -> nn.Conv1d:
    if is_causal:
        return CausalConv1d(in_channels, out_channels, OUTER_KERNEL_SIZE)
    return nn.Conv1d(in_channels, out_channels, OUTER_KERNEL_SIZE, padding=OUTER_KERNEL_SIZE // 2)


def _upsample(in_channels: int, stride: int, kernel_size: int, *, is_causal: bool) -> nn.ConvTranspose1d:
    """Return a transposed convolution to half the channels, that makes ``stride`` steps of one."""
    if is_causal:
        return CausalConvTranspose1d(in_channels, in_channels // 2, stride=stride)
    padding = (kernel_size - stride) // 2
    return nn.ConvTranspose1d(in_channels, in_channels // 2, kernel_size, stride, padding)


def _causal_reach(strides: tuple[int, ...], spans: list[int]) -> Reach:
    outer = (OUTER_KERNEL_SIZE - 1, 1)
    return Reach(upsampled_reach([outer, *zip(spans, strides, strict=True), outer]), 0)


def _reach(layers: tuple[tuple[int, int], ...], spans: list[int]) -> Reach:
    """Return how far ``layers`` of (stride, kernel size) look, with blocks of ``spans`` after each."""
    outer = OUTER_KERNEL_SIZE - 1
    before = after = outer // 2
    for span, (stride, kernel_size) in reversed(list(zip(spans, layers, strict=True))):
        # Output t is of the inputs ceil((t + p - k + 1) / S) … floor((t + p) / S); t is the first step of a frame
        # less what looks back from there, or its last step and what looks ahead.
        padding = (kernel_size - stride) // 2
        before = (before + span // 2 + kernel_size - 1 - padding) // stride
        after = (after + span // 2 + stride - 1 + padding) // stride
    return Reach(before + outer // 2, after + outer // 2)
