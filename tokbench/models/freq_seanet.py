"""A SEANet over time and frequency: the encoder and the decoder of FreqCodec (Du et al. 2023, arXiv:2309.07405).

Convolutions over both axes of a spectrogram shrink its frequencies to one; an LSTM and a last convolution over time
alone follow. The decoder mirrors it. Grouped convolutions make the small models: each group has a fixed number of
channels, here the ``group_ratio``, over two.

Axes: ``B`` batch, ``C`` channels, ``H`` frequencies, ``T`` frames of the spectrogram, ``F`` frames, ``D`` features.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from tokbench.models.convolutions import PaddedConv1d, Style, norm_layer
from tokbench.models.seanet import SkipLstm, activation_layer
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.networks import FreqSeanet, Norm

__all__ = ["FreqSeanetDecoder", "FreqSeanetEncoder", "PaddedConv2d", "TrimmedConvTranspose2d"]

Pair = tuple[int, int]
"""Of frequency, of time."""


def _groups(num_channels: int, ratio: int | None) -> int:
    return num_channels // 2 // ratio if ratio else 1


def _reflect_pad(values: Tensor, frequency: Pair, time: Pair) -> Tensor:
    """Return [..., H, T] extended on both axes by reflection, after zeros where there is too little to reflect."""
    missing = [
        max(max(pair) - size + 1, 0) for pair, size in zip((frequency, time), values.shape[-2:], strict=True)
    ]
    extended = nn.functional.pad(values, (0, missing[1], 0, missing[0]))
    padded = nn.functional.pad(extended, (*time, *frequency), mode="reflect")
    return padded[..., : padded.shape[-2] - missing[0], : padded.shape[-1] - missing[1]]


class PaddedConv2d(nn.Module):
    """[B, C, H, T] -> [B, C', H / stride, ceil(T / stride)]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = (1, 1),
        dilation: Pair = (1, 1),
        groups: int = 1,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, dilation=dilation, groups=groups)
        self.norm = norm_layer(norm, out_channels)
        self.time_stride = stride[1]
        totals = [(k - 1) * d + 1 - s for k, d, s in zip(kernel_size, dilation, stride, strict=True)]
        self.frequency, self.time = ((total - total // 2, total // 2) for total in totals)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', H', T'] of [B, C, H, T]; what a last frame lacks is put before the first."""
        incomplete = -values.shape[-1] % self.time_stride
        before, after = self.time
        convolved: Tensor = self.norm(self.conv(_reflect_pad(values, self.frequency, (before + incomplete, after))))
        return convolved


class TrimmedConvTranspose2d(nn.Module):
    """[B, C, H, T] -> [B, C', H · stride + more, T · stride]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: Pair,
        *,
        more_frequencies: int = 0,
        groups: int = 1,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        kernel_size = (2 * stride[0], 2 * stride[1])
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride, groups=groups)
        self.norm = norm_layer(norm, out_channels)
        # A kernel of two strides makes one stride too many, which is cut off at both ends.
        low, first = (size - size // 2 for size in stride)
        self.low, self.high = low, stride[0] // 2 - more_frequencies
        self.first, self.last = first, stride[1] // 2

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C', H', T'] of [B, C, H, T]."""
        full: Tensor = self.norm(self.conv(values))
        return full[..., self.low : full.shape[-2] - self.high, self.first : full.shape[-1] - self.last]


class ResidualUnit(nn.Module):
    """A convolution to half the width and one back, beside a shortcut of kernel 1; [B, C, H, T] -> same."""

    def __init__(self, width: int, *, dilation: int, network: FreqSeanet) -> None:
        super().__init__()
        hidden, size, norm = width // 2, network.residual_kernel_size, network.norm
        groups = _groups(hidden, network.group_ratio)
        self.block = nn.Sequential(
            activation_layer(network.activation, width),
            PaddedConv2d(width, hidden, (size, size), dilation=(1, dilation), groups=groups, norm=norm),
            activation_layer(network.activation, hidden),
            PaddedConv2d(hidden, width, (1, 1), groups=groups, norm=norm),
        )
        self.shortcut = PaddedConv2d(width, width, (1, 1), groups=_groups(width, network.group_ratio), norm=norm)

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = self.shortcut(values) + self.block(values)
        return output


def _residual_units(width: int, network: FreqSeanet) -> Iterator[nn.Module]:
    return (ResidualUnit(width, dilation=dilation, network=network) for dilation in network.dilations)


def _lstm(width: int, network: FreqSeanet) -> list[nn.Module]:
    return [SkipLstm(width, num_layers=network.num_lstm_layers)] if network.num_lstm_layers else []


class FreqSeanetEncoder(nn.Module):
    """[B, C, H, T] -> [B, D, F], where the strides leave one of the H frequencies.

    ``strides`` are those of time.
    """

    def __init__(self, network: FreqSeanet, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        width, norm = network.num_filters, network.norm
        size = (network.kernel_size, network.kernel_size)
        layers: list[nn.Module] = [PaddedConv2d(network.num_channels, width, size, norm=norm)]
        for stride in zip(network.frequency_strides, strides, strict=True):
            groups = _groups(width, network.group_ratio)
            kernel_size = (2 * stride[0], 2 * stride[1])
            layers += _residual_units(width, network)
            layers += [
                activation_layer(network.activation, width),
                PaddedConv2d(width, 2 * width, kernel_size, stride=stride, groups=groups, norm=norm),
            ]
            width *= 2
        layers += [
            nn.Flatten(1, 2),  # [B, C, 1, T] -> [B, C, T]
            *_lstm(width, network),
            activation_layer(network.activation, width),
            PaddedConv1d(width, dimension, network.last_kernel_size, style=Style(norm=norm)),
        ]
        self.model = nn.Sequential(*layers)
        if network.norm == "weight":
            weight_normalized(self)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return latents [B, D, F] of ``spectrogram`` [B, C, H, T]."""
        latents: Tensor = self.model(spectrogram)
        return latents


class FreqSeanetDecoder(nn.Module):
    """[B, D, F] -> [B, C, H, T], where H is one more than the product of the strides over frequency.

    ``strides`` are those of time, in the order of the decoder.
    """

    def __init__(self, network: FreqSeanet, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        norm, pairs = network.norm, list(zip(network.frequency_strides[::-1], strides, strict=True))
        width = network.num_filters * 2 ** len(pairs)
        layers: list[nn.Module] = [
            PaddedConv1d(dimension, width, network.kernel_size, style=Style(norm=norm)),
            *_lstm(width, network),
            nn.Unflatten(1, (width, 1)),  # [B, C, T] -> [B, C, 1, T]
        ]
        for index, stride in enumerate(pairs):
            # A transform of even length N has N / 2 + 1 frequencies: the last layer makes the one.
            more = 1 if index == len(pairs) - 1 else 0
            groups = _groups(width, network.transposed_group_ratio)
            layers += [
                activation_layer(network.activation, width),
                TrimmedConvTranspose2d(width, width // 2, stride, more_frequencies=more, groups=groups, norm=norm),
            ]
            width //= 2
            layers += _residual_units(width, network)
        size = (network.last_kernel_size, network.last_kernel_size)
        layers += [
            activation_layer(network.activation, width),
            PaddedConv2d(width, network.num_channels, size, norm=norm),
        ]
        self.model = nn.Sequential(*layers)
        if network.norm == "weight":
            weight_normalized(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Return a spectrogram [B, C, H, T] of ``latents`` [B, D, F]."""
        spectrogram: Tensor = self.model(latents)
        return spectrogram
