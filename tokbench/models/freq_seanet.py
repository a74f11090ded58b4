"""A SEANet over time and frequency: the encoder and the decoder of FreqCodec (Du et al. 2023, arXiv:2309.07405).

Convolutions over both axes of a spectrogram shrink its frequencies to one; an LSTM and a last convolution over time
alone follow. The decoder mirrors it. Grouped convolutions make the small models: each group has a fixed number of
channels, here the ``group_ratio``, over two.

Axes: ``B`` batch, ``C`` channels, ``H`` frequencies, ``T`` frames of the spectrogram, ``F`` frames, ``D`` features.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from tokbench.models.convolutions import Norm, PaddedConv1d, norm_layer
from tokbench.models.seanet import Activation, SkipLstm, activation_layer

__all__ = ["FreqSeanetConfig", "FreqSeanetDecoder", "FreqSeanetEncoder", "PaddedConv2d", "TrimmedConvTranspose2d"]

Pair = tuple[int, int]
"""Of frequency, of time."""


@dataclass(frozen=True, kw_only=True)
class FreqSeanetConfig:
    """Sizes of an encoder or a decoder. The defaults are those of FunCodec."""

    num_channels: int = 3
    """Of a spectrogram: log magnitude, and the real and the imaginary part of its phase."""
    dimension: int = 128
    """Features of a frame."""
    num_filters: int = 32
    strides: tuple[Pair, ...] = ((4, 1), (4, 1), (4, 2), (4, 1))
    """In the order of the decoder; the encoder goes through them backwards."""
    num_residual_units: int = 1
    dilation_base: int = 2
    """The n-th residual unit is dilated in time by it to the power n."""
    kernel_size: int = 7
    """Of the first convolution."""
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    activation: Activation = "elu"
    norm: Norm = "time_group_norm"
    num_lstm_layers: int = 2
    """None of them if 0."""
    group_ratio: int | None = None
    """A convolution of C channels has C / 2 / ``group_ratio`` groups; None for one group."""
    transposed_group_ratio: int | None = None
    """Likewise of transposed convolutions."""


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


class _ResidualUnit(nn.Module):
    """A convolution to half the width and one back, beside a shortcut of kernel 1; [B, C, H, T] -> same."""

    def __init__(self, width: int, *, dilation: int, config: FreqSeanetConfig) -> None:
        super().__init__()
        hidden, size, norm = width // 2, config.residual_kernel_size, config.norm
        groups = _groups(hidden, config.group_ratio)
        self.block = nn.Sequential(
            activation_layer(config.activation, width),
            PaddedConv2d(width, hidden, (size, size), dilation=(1, dilation), groups=groups, norm=norm),
            activation_layer(config.activation, hidden),
            PaddedConv2d(hidden, width, (1, 1), groups=groups, norm=norm),
        )
        self.shortcut = PaddedConv2d(width, width, (1, 1), groups=_groups(width, config.group_ratio), norm=norm)

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = self.shortcut(values) + self.block(values)
        return output


def _residual_units(width: int, config: FreqSeanetConfig) -> list[nn.Module]:
    powers = range(config.num_residual_units)
    return [_ResidualUnit(width, dilation=config.dilation_base**power, config=config) for power in powers]


def _lstm(width: int, config: FreqSeanetConfig) -> list[nn.Module]:
    return [SkipLstm(width, num_layers=config.num_lstm_layers)] if config.num_lstm_layers else []


class FreqSeanetEncoder(nn.Module):
    """[B, C, H, T] -> [B, D, F], where the strides leave one of the H frequencies."""

    def __init__(self, config: FreqSeanetConfig) -> None:
        super().__init__()
        width, norm = config.num_filters, config.norm
        size = (config.kernel_size, config.kernel_size)
        layers: list[nn.Module] = [PaddedConv2d(config.num_channels, width, size, norm=norm)]
        for stride in reversed(config.strides):
            groups = _groups(width, config.group_ratio)
            kernel_size = (2 * stride[0], 2 * stride[1])
            layers += _residual_units(width, config)
            layers += [
                activation_layer(config.activation, width),
                PaddedConv2d(width, 2 * width, kernel_size, stride=stride, groups=groups, norm=norm),
            ]
            width *= 2
        layers += [
            nn.Flatten(1, 2),  # [B, C, 1, T] -> [B, C, T]
            *_lstm(width, config),
            activation_layer(config.activation, width),
            PaddedConv1d(width, config.dimension, config.last_kernel_size, norm=norm),
        ]
        self.model = nn.Sequential(*layers)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return latents [B, D, F] of ``spectrogram`` [B, C, H, T]."""
        latents: Tensor = self.model(spectrogram)
        return latents


class FreqSeanetDecoder(nn.Module):
    """[B, D, F] -> [B, C, H, T], where H is one more than the product of the strides over frequency."""

    def __init__(self, config: FreqSeanetConfig) -> None:
        super().__init__()
        norm = config.norm
        width = config.num_filters * 2 ** len(config.strides)
        layers: list[nn.Module] = [
            PaddedConv1d(config.dimension, width, config.kernel_size, norm=norm),
            *_lstm(width, config),
            nn.Unflatten(1, (width, 1)),  # [B, C, T] -> [B, C, 1, T]
        ]
        for index, stride in enumerate(config.strides):
            # A transform of even length N has N / 2 + 1 frequencies: the last layer makes the one.
            more = 1 if index == len(config.strides) - 1 else 0
            groups = _groups(width, config.transposed_group_ratio)
            layers += [
                activation_layer(config.activation, width),
                TrimmedConvTranspose2d(width, width // 2, stride, more_frequencies=more, groups=groups, norm=norm),
            ]
            width //= 2
            layers += _residual_units(width, config)
        size = (config.last_kernel_size, config.last_kernel_size)
        layers += [
            activation_layer(config.activation, width),
            PaddedConv2d(width, config.num_channels, size, norm=norm),
        ]
        self.model = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Return a spectrogram [B, C, H, T] of ``latents`` [B, D, F]."""
        spectrogram: Tensor = self.model(latents)
        return spectrogram
