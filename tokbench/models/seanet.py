"""SEANet: a convolutional encoder of audio, and the decoder that mirrors it.

Strided convolutions that double the width, each after dilated residual units, then an LSTM and a last convolution
(Tagliasacchi et al. 2020, arXiv:2009.02095; with the LSTM, as EnCodec has it: Défossez et al. 2022,
arXiv:2210.13438, sec. 3.1). SpeechTokenizer, FunCodec and WavTokenizer are of this family.

Axes: ``B`` batch, ``C`` channels, ``T`` samples, ``F`` frames, ``D`` features.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tokbench.models.convolutions import Norm, PaddedConv1d, TrimmedConvTranspose1d

__all__ = [
    "Activation",
    "LstmState",
    "ResidualUnit",
    "SeanetConfig",
    "SeanetDecoder",
    "SeanetEncoder",
    "SkipLstm",
    "Snake",
    "activation_layer",
    "rename_published",
]

Activation = Literal["elu", "snake"]
LstmState = tuple[Tensor, Tensor]
"""Outputs and cells of every layer of an LSTM, as PyTorch returns them."""


@dataclass(frozen=True, kw_only=True)
class SeanetConfig:
    """Sizes of an encoder or a decoder. The defaults are those of EnCodec."""

    num_channels: int = 1
    """Audio channels."""
    dimension: int = 128
    """Features of a frame."""
    num_filters: int = 32
    """Channels of the widest-band layer; they double with each stride."""
    strides: tuple[int, ...] = (8, 5, 4, 2)
    """In the order of the decoder; the encoder goes through them backwards."""
    num_residual_units: int = 1
    """Residual units at each rate; the n-th is dilated by ``dilation_base`` to the power n."""
    dilation_base: int = 2
    kernel_size: int = 7
    """Of the first convolution."""
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    activation: Activation = "elu"
    norm: Norm = "none"
    causal: bool = False
    num_lstm_layers: int = 2
    """None of them if 0."""
    bidirectional: bool = False
    """Whether the LSTM also runs backwards, with a width of its own: the next layer gets twice as many channels."""

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.strides)


class Snake(nn.Module):
    """x + sin²(ax) / a with ``a``, called alpha, learnt per channel (Ziyin et al. 2020, arXiv:2006.08195)."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, num_channels, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        return values + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * values).pow(2)


def activation_layer(activation: Activation, num_channels: int) -> nn.Module:
    """Return the layer that ``activation`` names, for [B, C, …]."""
    return Snake(num_channels) if activation == "snake" else nn.ELU()


class SkipLstm(nn.Module):
    """An LSTM of the width of its input, added to the input; [B, C, F] -> [B, C or 2 C, F]."""

    def __init__(self, width: int, *, num_layers: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers, bidirectional=bidirectional)
        self.num_directions = 2 if bidirectional else 1

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, F], or [B, 2 C, F] if the LSTM runs in both directions, of [B, C, F]."""
        return self.resume(values, None)[0]

    def resume(self, values: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        """Return what :meth:`forward` does, after ``state`` of all frames before, and the state after these."""
        steps = values.permute(2, 0, 1)
        outputs, state = self.lstm(steps, state)
        return (outputs + steps.repeat(1, 1, self.num_directions)).permute(1, 2, 0), state


class ResidualUnit(nn.Module):
    """A dilated convolution to half the width and one back, beside a shortcut of kernel 1."""

    def __init__(self, width: int, *, dilation: int, config: SeanetConfig) -> None:
        super().__init__()
        hidden, kernel_size = width // 2, config.residual_kernel_size
        causal, norm = config.causal, config.norm
        self.block = nn.Sequential(
            activation_layer(config.activation, width),
            PaddedConv1d(width, hidden, kernel_size, dilation=dilation, causal=causal, norm=norm),
            activation_layer(config.activation, hidden),
            PaddedConv1d(hidden, width, 1, causal=causal, norm=norm),
        )
        self.shortcut = PaddedConv1d(width, width, 1, causal=causal, norm=norm)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        output: Tensor = self.shortcut(values) + self.block(values)
        return output


def _residual_units(width: int, config: SeanetConfig) -> list[nn.Module]:
    powers = range(config.num_residual_units)
    return [ResidualUnit(width, dilation=config.dilation_base**power, config=config) for power in powers]


def _lstm(width: int, config: SeanetConfig) -> list[nn.Module]:
    layers = config.num_lstm_layers
    return [SkipLstm(width, num_layers=layers, bidirectional=config.bidirectional)] if layers else []


Stages = tuple[nn.Sequential, SkipLstm | None, nn.Sequential]


def _stages(model: nn.Sequential) -> Stages:
    layers = list(model)
    for index, layer in enumerate(layers):
        if isinstance(layer, SkipLstm):
            return nn.Sequential(*layers[:index]), layer, nn.Sequential(*layers[index + 1 :])
    return nn.Sequential(), None, nn.Sequential(*layers)


class SeanetEncoder(nn.Module):
    """[B, C, T] -> [B, D, ceil(T / hop)]."""

    def __init__(self, config: SeanetConfig) -> None:
        super().__init__()
        width, causal, norm = config.num_filters, config.causal, config.norm
        layers: list[nn.Module] = [
            PaddedConv1d(config.num_channels, width, config.kernel_size, causal=causal, norm=norm)
        ]
        for stride in reversed(config.strides):
            layers += _residual_units(width, config)
            layers += [
                activation_layer(config.activation, width),
                PaddedConv1d(width, 2 * width, 2 * stride, stride=stride, causal=causal, norm=norm),
            ]
            width *= 2
        layers += _lstm(width, config)
        if config.num_lstm_layers and config.bidirectional:
            width *= 2
        layers += [
            activation_layer(config.activation, width),
            PaddedConv1d(width, config.dimension, config.last_kernel_size, causal=causal, norm=norm),
        ]
        self.model = nn.Sequential(*layers)

    @property
    def stages(self) -> Stages:
        """What comes before the LSTM, the LSTM, and what comes after it; all of it before where there is none."""
        before, lstm, after = _stages(self.model)
        return (before, lstm, after) if lstm is not None else (after, None, before)

    def forward(self, samples: Tensor) -> Tensor:
        """Return latents [B, D, F] of float32 ``samples`` [B, C, T]."""
        latents: Tensor = self.model(samples)
        return latents


class SeanetDecoder(nn.Module):
    """[B, D, F] -> [B, C, F · hop]. Its LSTM runs forwards alone, whatever ``bidirectional`` says."""

    def __init__(self, config: SeanetConfig) -> None:
        super().__init__()
        causal, norm = config.causal, config.norm
        width = config.num_filters * 2 ** len(config.strides)
        layers: list[nn.Module] = [
            PaddedConv1d(config.dimension, width, config.kernel_size, causal=causal, norm=norm)
        ]
        if config.num_lstm_layers:
            layers += [SkipLstm(width, num_layers=config.num_lstm_layers)]
        for stride in config.strides:
            layers += [
                activation_layer(config.activation, width),
                TrimmedConvTranspose1d(width, width // 2, 2 * stride, stride=stride, causal=causal, norm=norm),
            ]
            width //= 2
            layers += _residual_units(width, config)
        layers += [
            activation_layer(config.activation, width),
            PaddedConv1d(width, config.num_channels, config.last_kernel_size, causal=causal, norm=norm),
        ]
        self.model = nn.Sequential(*layers)

    @property
    def stages(self) -> Stages:
        """What comes before the LSTM, the LSTM, and what comes after it; all of it after where there is none."""
        return _stages(self.model)

    def forward(self, latents: Tensor) -> Tensor:
        """Return samples [B, C, F · hop] of ``latents`` [B, D, F]."""
        samples: Tensor = self.model(latents)
        return samples


def rename_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``tensors`` of a published SEANet under the names that the layers have here.

    The published code, EnCodec's, wraps each convolution twice: ``0.conv.conv.weight``, ``4.convtr.convtr.weight``
    and ``0.conv.norm.weight`` are ``0.conv.weight``, ``4.conv.weight`` and ``0.norm.weight`` here.
    """
    renamed = {}
    for name, tensor in tensors.items():
        for outer in ("conv", "convtr"):
            name = name.replace(f".{outer}.{outer}.", ".conv.").replace(f".{outer}.norm.", ".norm.")  # noqa: PLW2901
        renamed[name] = tensor
    return renamed
