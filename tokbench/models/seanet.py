"""SEANet: a convolutional encoder of audio, and the decoder that mirrors it.

Strided convolutions that double the width, each after dilated residual units, then an LSTM and a last convolution
(Tagliasacchi et al. 2020, arXiv:2009.02095; with the LSTM, as EnCodec has it: Défossez et al. 2022,
arXiv:2210.13438, sec. 3.1). SoundStream, EnCodec, DAC, SpeechTokenizer, FunCodec, WavTokenizer and Mimi are of this
family, and differ in the switches of :class:`tokbench.specs.networks.Seanet`.

Axes: ``B`` batch, ``C`` channels, ``T`` samples, ``F`` frames, ``D`` features.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.models.convolutions import PaddedConv1d, Style, TrimmedConvTranspose1d
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.networks import Activation, Seanet

__all__ = [
    "LstmState",
    "ResidualUnit",
    "SeanetDecoder",
    "SeanetEncoder",
    "SkipLstm",
    "Snake",
    "activation_layer",
    "rename_published",
]

LstmState = tuple[Tensor, Tensor]
"""Outputs and cells of every layer of an LSTM, as PyTorch returns them."""


TINY = 1e-9
"""Keeps alpha from zero: published code of DAC."""


class Snake(nn.Module):
    """x + sin²(ax) / a with ``a``, called alpha, learnt per channel (Ziyin et al. 2020, arXiv:2006.08195)."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, num_channels, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        return _snake(values, self.alpha)


class _SnakeFunction(torch.autograd.Function):
    """The same with a gradient of its own, which is half as much work as that of its parts, and keeps less.

    With y = x + sin²(ax) / a and u = sin(2ax) = 2 sin(ax) cos(ax): dy/dx = 1 + u, and, since sin²(ax) / a is y - x,
    dy/da = (x u - (y - x)) / a.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, alpha: Tensor) -> Tensor:
        activated = (alpha * values).sin_().square_().mul_(_inverse(alpha)).add_(values)
        ctx.save_for_backward(values, alpha, activated)
        return activated

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        values, alpha, activated = ctx.saved_tensors
        inverse = _inverse(alpha)
        sines = (2 * alpha * values).sin_()
        by_alpha = (values - activated).addcmul_(values, sines).mul_(gradient).sum(dim=(0, 2), keepdim=True)
        return sines.mul_(alpha * inverse).add_(1).mul_(gradient), by_alpha * inverse


def _inverse(alpha: Tensor) -> Tensor:
    return (alpha + TINY).reciprocal()


_snake: Callable[[Tensor, Tensor], Tensor] = _SnakeFunction.apply


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
    """A dilated convolution and one of kernel 1, beside a shortcut; [B, C, T] -> [B, C, T]."""

    def __init__(self, width: int, *, dilation: int, network: Seanet) -> None:
        super().__init__()
        hidden, style = width if network.residual == "full" else width // 2, _style(network)
        first = [activation_layer(network.activation, width)] if network.preactivated else []
        self.block = nn.Sequential(
            *first,
            PaddedConv1d(width, hidden, network.residual_kernel_size, dilation=dilation, style=style),
            activation_layer(network.activation, hidden),
            PaddedConv1d(hidden, width, 1, style=style),
        )
        is_direct = network.shortcut == "identity"
        self.shortcut = nn.Identity() if is_direct else PaddedConv1d(width, width, 1, style=style)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        output: Tensor = self.shortcut(values) + self.block(values)
        return output


def _style(network: Seanet) -> Style:
    """Return what all convolutions of ``network`` have in common."""
    return Style(causal=network.causal, padding=network.padding, norm=network.norm)


def _residual_units(width: int, network: Seanet) -> list[nn.Module]:
    return [ResidualUnit(width, dilation=dilation, network=network) for dilation in network.dilations]


def _lstm(width: int, network: Seanet) -> list[nn.Module]:
    layers = network.num_lstm_layers
    return [SkipLstm(width, num_layers=layers, bidirectional=network.bidirectional)] if layers else []


Stages = tuple[nn.Sequential, SkipLstm | None, nn.Sequential]


def _stages(model: nn.Sequential) -> Stages:
    layers = list(model)
    for index, layer in enumerate(layers):
        if isinstance(layer, SkipLstm):
            return nn.Sequential(*layers[:index]), layer, nn.Sequential(*layers[index + 1 :])
    return nn.Sequential(), None, nn.Sequential(*layers)


class SeanetEncoder(nn.Module):
    """[B, C, T] -> [B, D, ceil(T / hop)], where C is ``num_channels`` and D ``dimension``."""

    def __init__(self, network: Seanet, *, dimension: int, strides: Sequence[int], num_channels: int = 1) -> None:
        super().__init__()
        width, style = network.num_filters, _style(network)
        layers: list[nn.Module] = [PaddedConv1d(num_channels, width, network.kernel_size, style=style)]
        for stride in strides:
            layers += _residual_units(width, network)
            layers += [
                activation_layer(network.activation, width),
                PaddedConv1d(width, 2 * width, 2 * stride, stride=stride, style=style),
            ]
            width *= 2
        layers += _lstm(width, network)
        if network.num_lstm_layers and network.bidirectional:
            width *= 2
        layers += [
            activation_layer(network.activation, width),
            PaddedConv1d(width, dimension, network.last_kernel_size, style=style),
        ]
        self.model = _drawn(nn.Sequential(*layers), network)

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
    """[B, D, F] -> [B, C, F · hop], with ``strides`` in its own order, those of its encoder backwards.

    Its LSTM runs forwards alone, whatever ``bidirectional`` says.
    """

    def __init__(self, network: Seanet, *, dimension: int, strides: Sequence[int], num_channels: int = 1) -> None:
        super().__init__()
        width, style = network.num_filters * 2 ** len(strides), _style(network)
        layers: list[nn.Module] = [PaddedConv1d(dimension, width, network.kernel_size, style=style)]
        if network.num_lstm_layers:
            layers += [SkipLstm(width, num_layers=network.num_lstm_layers)]
        for stride in strides:
            layers += [
                activation_layer(network.activation, width),
                TrimmedConvTranspose1d(width, width // 2, 2 * stride, stride=stride, style=style),
            ]
            width //= 2
            layers += _residual_units(width, network)
        layers += [
            activation_layer(network.activation, width),
            PaddedConv1d(width, num_channels, network.last_kernel_size, style=style),
        ]
        if network.final_activation == "tanh":
            layers += [nn.Tanh()]
        self.model = _drawn(nn.Sequential(*layers), network)

    @property
    def stages(self) -> Stages:
        """What comes before the LSTM, the LSTM, and what comes after it; all of it after where there is none."""
        return _stages(self.model)

    def forward(self, latents: Tensor) -> Tensor:
        """Return samples [B, C, F · hop] of ``latents`` [B, D, F]."""
        samples: Tensor = self.model(latents)
        return samples


TRUNCATED_DEVIATION = 0.02
"""Of normal weights that are cut off at ±2: ``init_weights`` of the published code of DAC."""


def _drawn(layers: nn.Sequential, network: Seanet) -> nn.Sequential:
    """Return ``layers``, their weights drawn and normalized in place. Transposed convolutions are PyTorch's."""
    for layer in layers.modules() if network.init != "default" else ():
        if isinstance(layer, nn.Conv1d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.Conv1d) and network.init == "truncated-normal":
            nn.init.trunc_normal_(layer.weight, std=TRUNCATED_DEVIATION)
    return weight_normalized(layers) if network.norm == "weight" else layers


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
