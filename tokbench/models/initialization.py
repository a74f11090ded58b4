"""Weights to begin with, of which signals come out of a deep network in place, whole, and as large as they go in.

PyTorch's own first weights make them smaller in each convolution: at the end of an encoder and a decoder hardly
anything is left, and a codec spends its first thousand steps on silence. They also spread what comes in over all
taps of a kernel: after some layers, the last of them at 50 frames a second, a sample has become a smear of a
tenth of a second, and in a causal network a late one. And products of many random matrices let some directions grow
and others vanish, where those of orthogonal matrices keep all (Saxe et al. 2014, arXiv:1312.6120).
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.models import audiodec, freq_seanet, hificodec, hifigan, seanet
from tokbench.models.causal import CausalConv1d, CausalConvTranspose1d
from tokbench.models.convolutions import PaddedConv1d, TrimmedConvTranspose1d
from tokbench.models.freq_seanet import PaddedConv2d, TrimmedConvTranspose2d
from tokbench.models.quantization.codebooks import ProjectedCodebook
from tokbench.models.quantization.residual import ResidualVq

__all__ = ["keep_variance"]

RECTIFIER_GAIN = math.sqrt(2 / (1 + hifigan.SLOPE**2))
"""What makes up for a leaky rectifier (He et al. 2015, arXiv:1502.01852, section 2.2). ELU and Snake need nothing
like it: they are nearly linear for signals as small as speech."""
FOCUS = 0.99
"""Share of the variance of a convolution's output that comes from the taps at the output's own place."""
BRANCH_GAIN = 0.1
"""Of a residual branch: the sum with what is beside it keeps its variance (compare Fixup, Zhang et al. 2019,
arXiv:1901.09321, which begins with 0)."""
DISTANCE = 1.0
"""From which codes look at vectors where they are found by direction: ours, beside latents of about 0.25."""

_Convolution = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d
_Residual = seanet.ResidualUnit | freq_seanet.ResidualUnit | audiodec.ResidualUnit | hifigan.ResidualBlock
_Rectified = hifigan.HifiGanGenerator | hificodec.HifiCodecEncoder


@torch.no_grad()
def keep_variance(network: nn.Module) -> None:
    """Draw the weights of all convolutions of ``network`` anew, each an orthogonal map at its output's own place.

    That is the tap on the sample that an output stands for (the delta-orthogonal weights of Xiao et al. 2018,
    arXiv:1806.05393) or, with a stride, the block of samples that a frame stands for. It has :data:`FOCUS` of the
    variance; all taps share the rest, at random. Biases are zero. A shortcut of kernel 1 begins as the identity,
    and the branch beside it small. Maps to the features of codes and back begin as parts of the latents: each
    codebook of a chain, or side of a split, has others for as long as there are any, and so none begins by adding
    to what is left.
    """
    places, rectified = dict(_places(network)), set(_after_rectifiers(network))
    for layer in network.modules():
        if isinstance(layer, _Convolution):
            gain = RECTIFIER_GAIN if layer in rectified else 1.0
            _set(layer, gain * _first_weight(layer, places[layer]))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for unit in network.modules():
        if isinstance(unit, _Residual):
            _begin_as_identity(unit)
        if isinstance(unit, ResidualVq):
            _begin_as_parts(unit)


def _places(network: nn.Module) -> Iterator[tuple[nn.Module, tuple[int, ...]]]:
    """Yield convolutions with the first tap of each axis on an output's own place; the last time is right.

    Of a transposed convolution, it is the tap of the first output that an input stands for.
    """
    for layer in network.modules():
        if isinstance(layer, _Convolution):
            yield layer, _place(layer)
    for layer in network.modules():
        match layer:
            case PaddedConv1d():
                yield layer.conv, _taps((layer.left,), layer.conv.dilation)
            case PaddedConv2d():
                yield layer.conv, _taps((layer.frequency[0], layer.time[0]), layer.conv.dilation)
            case TrimmedConvTranspose1d():
                yield layer.conv, (layer.left,)
            case TrimmedConvTranspose2d():
                yield layer.conv, (layer.low, layer.first)


def _place(layer: _Convolution) -> tuple[int, ...]:
    """Return what :func:`_places` does, of a layer that nothing around it pads or trims."""
    if isinstance(layer, CausalConv1d):
        return (layer.kernel_size[0] - layer.stride[0],)
    if isinstance(layer, CausalConvTranspose1d):
        return (0,)
    padding: Any = layer.padding  # numbers: no network here asks for padding by name
    is_transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    return tuple(padding) if is_transposed else _taps(tuple(padding), layer.dilation)


def _taps(before: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(left // step for left, step in zip(before, dilation, strict=True))


def _after_rectifiers(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the convolutions of networks with leaky rectifiers, of which all but the first follow one."""
    for part in network.modules():
        if isinstance(part, _Rectified):
            _, *others = (layer for layer in part.modules() if isinstance(layer, _Convolution))
            yield from others


def _first_weight(layer: _Convolution, place: tuple[int, ...]) -> Tensor:
    """Return a weight in the shape of that of ``layer``, with an orthogonal block at ``place``."""
    shape, stride = layer.weight.shape, layer.stride
    starts = [min(first, size - step) for first, size, step in zip(place, layer.kernel_size, stride, strict=True)]
    block = [slice(start, start + step) for start, step in zip(starts, stride, strict=True)]
    is_all = math.prod(layer.kernel_size) == math.prod(stride)
    weight = torch.randn(shape) * math.sqrt((1 - FOCUS) / _fan_in(layer))
    if is_all:
        weight.zero_()
    weight[(slice(None), slice(None), *block)] += _orthogonal(layer) * math.sqrt(1.0 if is_all else FOCUS)
    return weight


def _orthogonal(layer: _Convolution) -> Tensor:
    """Return the maps of all groups of ``layer``, [C, C', *stride], which keep the variance of a channel.

    From all inputs of a block to the outputs or, transposed, from the inputs to all outputs of a block.
    """
    first, second = layer.weight.shape[0] // layer.groups, layer.weight.shape[1]
    is_transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    sizes = first, second * math.prod(layer.stride)
    num_inputs, num_outputs = sizes if is_transposed else reversed(sizes)
    scale = math.sqrt(max(num_outputs / num_inputs, 1))
    maps = [scale * nn.init.orthogonal_(torch.empty(sizes)) for _ in range(layer.groups)]
    return torch.cat(maps).reshape(-1, second, *layer.stride)


def _set(layer: nn.Module, weight: Tensor) -> None:
    """Let ``weight`` be that of ``layer``, which may be a product of others (weight normalization)."""
    if nn.utils.parametrize.is_parametrized(layer, "weight"):
        layer.weight = weight
    else:
        layer.get_parameter("weight").copy_(weight)


def _fan_in(layer: _Convolution) -> float:
    """Return how many inputs an output is the sum of, on average."""
    taps: float = math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
        taps /= math.prod(layer.stride)
    return layer.in_channels // layer.groups * taps


def _begin_as_identity(unit: _Residual) -> None:
    for layer in _ends(unit):
        _set(layer, layer.weight * BRANCH_GAIN)
    shortcut = getattr(unit, "shortcut", None)
    if isinstance(shortcut, PaddedConv1d | PaddedConv2d):
        identity = torch.empty(shortcut.conv.weight.shape)
        _set(shortcut.conv, nn.init.dirac_(identity, groups=shortcut.conv.groups))


def _begin_as_parts(quantizer: ResidualVq) -> None:
    coders = [layer for layer in quantizer.layers if isinstance(layer, ProjectedCodebook)]
    for group in range(quantizer.num_groups):
        _project_on_parts((coder.project_in, coder.project_out) for coder in coders[group :: quantizer.num_groups])
    if quantizer.spec.normalized:
        for coder in coders:
            _look_from_afar(coder.project_in, coder.project_out)
    _project_on_parts(zip(quantizer.project_in, quantizer.project_out, strict=True))


def _project_on_parts(pairs: Iterable[tuple[nn.Module, nn.Module]]) -> None:
    """Let each pair of maps be rows of an orthogonal matrix, and these transposed."""
    unused = torch.empty(0)
    for inwards, outwards in pairs:
        if not (isinstance(inwards, nn.Linear) and isinstance(outwards, nn.Linear)):
            continue
        inner, outer = inwards.out_features, inwards.in_features
        if len(unused) < inner:
            unused = nn.init.orthogonal_(torch.empty(max(inner, outer), outer))
        rows, unused = unused[:inner], unused[inner:]
        _set(inwards, rows)
        _set(outwards, rows.T.contiguous())
        for layer in (inwards, outwards):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _look_from_afar(inwards: nn.Module, outwards: nn.Module) -> None:
    """Add :data:`DISTANCE` to the first feature, and take it away again behind the codes.

    Codes that are found by direction say nothing of how long a vector is, and so of how loud a frame: seen from
    there, vectors of all lengths have directions of their own.
    """
    if isinstance(inwards, nn.Linear) and isinstance(outwards, nn.Linear):
        inwards.bias[0] = DISTANCE
        outwards.bias.copy_(-DISTANCE * outwards.weight[:, 0])


def _ends(unit: _Residual) -> Iterator[Any]:
    """Yield the last convolution of each branch."""
    match unit:
        case audiodec.ResidualUnit():
            yield unit.conv2
        case hifigan.ResidualBlock():
            yield from unit.convs2
        case _:
            yield unit.block[-1].conv
