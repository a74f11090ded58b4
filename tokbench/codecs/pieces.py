"""Long audio in pieces, with the result of the whole: how far convolutions reach, and memory carried across.

A network of convolutions alone needs no more than :class:`tokbench.codecs.base.Context`, which :func:`reach`
computes. Where something between the convolutions remembers all that came before it, such as an LSTM or causal
attention, :func:`in_pieces` carries its state from one piece to the next.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Convolution", "Memory", "Stage", "causal_convolutions", "convolutions", "in_pieces", "reach"]


@dataclass(frozen=True)
class Convolution:
    """What decides how far a convolution over time reaches."""

    kernel: int
    """Steps between the first and the last tap, both included: dilation counted."""
    stride: int
    left: int
    """Steps of padding at the left; for a transposed convolution, steps that are trimmed there."""
    is_transposed: bool = False


def convolutions(module: nn.Module) -> Iterator[Convolution]:
    """Yield every convolution of ``module`` that pads by itself, in the order in which they were made."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            kernel = (layer.kernel_size[0] - 1) * layer.dilation[0] + 1
            left = int(layer.padding[0])
            yield Convolution(kernel, layer.stride[0], left, isinstance(layer, nn.ConvTranspose1d))


def causal_convolutions(network: nn.Module) -> Iterator[Convolution]:
    """Yield every convolution of ``network``, each padded from outside by all that it sees of the past."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d):
            kernel = (layer.kernel_size[0] - 1) * layer.dilation[0] + 1
            yield Convolution(kernel, layer.stride[0], kernel - layer.stride[0])


def reach(layers: Iterable[Convolution]) -> tuple[int, int]:
    """Return how many steps of input before and after its own each output depends on, through all ``layers``.

    A step's own are those that a network without overlap would make it from. Padding by reflection at an end stays
    inside, as long as no layer pads more on the right than on the left.
    """
    before, after = 0, 0
    for layer in reversed(list(layers)):
        kernel, stride, left = layer.kernel, layer.stride, layer.left
        if layer.is_transposed:
            # Output o gets input i where 0 <= o + left - i·stride < kernel; o runs over the steps of one input.
            before = (before - left + kernel - 1) // stride
            after = (stride - 1 + after + left) // stride
        else:
            # Output o gets the inputs from o·stride - left on, as many as the kernel is long.
            before = before * stride + left
            after = after * stride + kernel - left - stride
    return max(before, 0), max(after, 0)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a network whose reach is finite."""

    run: Callable[[Tensor], Tensor]
    """float32 [1, D, steps_in · F] -> float32 [1, D', steps_out · F]; the last frame of all may be incomplete."""
    steps_in: int = 1
    steps_out: int = 1
    before: int
    """Frames before a frame on which it depends."""
    after: int
    """Frames after it."""


Memory = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""(float32 [1, D, T], state of all before or None) -> (float32 [1, D', T], state of all up to here)."""


def in_pieces(
    inputs: Tensor, first: Stage, memory: Memory, second: Stage, *, piece_frames: int
) -> Iterator[Tensor]:
    """Yield, piece by piece along the last axis, ``second(memory(first(inputs)))`` of ``inputs`` [1, D, T].

    Each piece of about ``piece_frames`` frames is extended by what the stages need to see around it; what the
    extension adds is dropped again, except where it is a true end.
    """
    num_frames = -(-inputs.shape[-1] // first.steps_in)
    state: Any = None
    held = inputs.new_empty(0)
    held_from, done = 0, 0  # frames at which `held` begins, and up to which all has been handed out
    for begin, end in _bounds(num_frames, piece_frames):
        is_last = end == num_frames
        start, stop = max(begin - first.before, 0), min(end + first.after, num_frames)
        seen = first.run(inputs[..., start * first.steps_in : stop * first.steps_in])
        cut = None if is_last else (end - start) * first.steps_out
        new, state = memory(seen[..., (begin - start) * first.steps_out : cut], state)
        held = new if begin == 0 else torch.cat([held, new], dim=-1)
        ready = num_frames if is_last else max(end - second.after, done)
        cut = None if is_last else (ready - held_from) * second.steps_out
        if ready > done:
            yield second.run(held)[..., (done - held_from) * second.steps_out : cut]
        done, kept_from = ready, max(ready - second.before, held_from)
        held, held_from = held[..., (kept_from - held_from) * second.steps_in :], kept_from


def _bounds(num_frames: int, piece_frames: int) -> Iterator[tuple[int, int]]:
    """Cut into equal pieces; what is left over makes them longer rather than being a piece of its own."""
    num_pieces = max(num_frames // piece_frames, 1)
    edges = [index * num_frames // num_pieces for index in range(num_pieces + 1)]
    yield from itertools.pairwise(edges)
