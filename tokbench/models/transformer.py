"""A causal Transformer over frames, as Mimi has it before and after its quantizer.

Défossez et al. 2024, arXiv:2410.00037, section 3.3.1: normalization before each residual branch, a learnt scale
after it (layer scale, Touvron et al. 2021, arXiv:2103.17239), rotary positions (Su et al. 2021, arXiv:2104.09864),
and attention to a limited number of frames, so that long audio in pieces needs no more memory than short audio.

Axes: ``B`` batch, ``D`` features, ``F`` frames, ``H`` heads, ``E`` features of a head, ``P`` remembered frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from tokbench.specs.networks import Bottleneck

__all__ = ["AttentionState", "Transformer", "rotary_frequencies", "rotated"]

BASE = 10000.0
"""Ratio of the longest to the shortest rotary wavelength, nearly: RoPE, section 3.2.2."""

Memory = tuple[Tensor, Tensor]
"""Keys and values, each [B, H, P, E]."""


@dataclass(frozen=True)
class AttentionState:
    """What a Transformer remembers of the frames before."""

    num_frames: int
    """How many there were."""
    layers: tuple[Memory, ...]
    """Of those that can still be attended to."""


def rotary_frequencies(width: int) -> Tensor:
    """Return float32 [E / 2], the angle per position of each pair of the ``width`` features of a head."""
    return BASE ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)


class Transformer(nn.Module):
    """[B, D, F] -> [B, D, F]."""

    frequencies: Tensor

    def __init__(self, spec: Bottleneck, dimension: int) -> None:
        super().__init__()
        self.context = spec.context
        self.layers = nn.ModuleList(_Layer(spec, dimension) for _ in range(spec.num_layers))
        frequencies = rotary_frequencies(dimension // spec.num_heads)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, D, F] of [B, D, F]."""
        return self.resume(values, None)[0]

    def resume(self, values: Tensor, state: AttentionState | None) -> tuple[Tensor, AttentionState]:
        """Return what :meth:`forward` does, after ``state`` of all frames before, and the state after these."""
        seen, num_frames = state.num_frames if state else 0, values.shape[-1]
        remembered = state.layers[0][0].shape[2] if state and state.layers else 0
        rotation = self._rotation(seen, num_frames)
        mask = self._mask(remembered, num_frames)
        hidden, memories = values.transpose(1, 2), []
        for index, layer in enumerate(self.layers):
            hidden, (keys, vectors) = layer(hidden, rotation, mask, state.layers[index] if state else None)
            kept = min(keys.shape[2], self.context - 1)
            memories.append((keys[:, :, keys.shape[2] - kept :], vectors[:, :, vectors.shape[2] - kept :]))
        return hidden.transpose(1, 2), AttentionState(seen + num_frames, tuple(memories))

    def _rotation(self, first: int, num_frames: int) -> Memory:
        """Return cosines and sines [F, E / 2] of the positions from ``first`` on."""
        positions = torch.arange(first, first + num_frames, device=self.frequencies.device)
        angles = positions[:, None] * self.frequencies
        return angles.cos(), angles.sin()

    def _mask(self, remembered: int, num_frames: int) -> Tensor | None:
        """Return whether each of F frames attends to each of P + F; None where plain causality says it."""
        if not remembered and num_frames <= self.context:
            return None
        keys = torch.arange(-remembered, num_frames, device=self.frequencies.device)
        distance = keys[remembered:, None] - keys
        return (distance >= 0) & (distance < self.context)


class _Layer(nn.Module):
    """Attention, then a network of two layers, each beside a shortcut."""

    def __init__(self, spec: Bottleneck, dimension: int) -> None:
        super().__init__()
        self.num_heads = spec.num_heads
        self.attention_norm = nn.LayerNorm(dimension)
        self.inputs = nn.Linear(dimension, 3 * dimension, bias=False)
        self.output = nn.Linear(dimension, dimension, bias=False)
        self.attention_scale = nn.Parameter(torch.full((dimension,), spec.layer_scale))
        self.feedforward_norm = nn.LayerNorm(dimension)
        self.widen = nn.Linear(dimension, spec.feedforward_dimension, bias=False)
        self.narrow = nn.Linear(spec.feedforward_dimension, dimension, bias=False)
        self.feedforward_scale = nn.Parameter(torch.full((dimension,), spec.layer_scale))

    def forward(
        self, values: Tensor, rotation: Memory, mask: Tensor | None, memory: Memory | None
    ) -> tuple[Tensor, Memory]:
        """Return [B, F, D] of ``values`` [B, F, D], and all keys and values that were attended to."""
        attended, memory = self._attend(self.attention_norm(values), rotation, mask, memory)
        values = values + self.attention_scale * attended
        widened = gelu(self.widen(self.feedforward_norm(values)))
        return values + self.feedforward_scale * self.narrow(widened), memory

    def _attend(
        self, values: Tensor, rotation: Memory, mask: Tensor | None, memory: Memory | None
    ) -> tuple[Tensor, Memory]:
        heads = self.inputs(values).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, vectors = rotated(heads[0], *rotation), rotated(heads[1], *rotation), heads[2]
        if memory is not None:
            keys, vectors = torch.cat([memory[0], keys], dim=2), torch.cat([memory[1], vectors], dim=2)
        attended = scaled_dot_product_attention(queries, keys, vectors, attn_mask=mask, is_causal=mask is None)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output, (keys, vectors)


def rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return ``heads`` [B, H, F, E], the pairs of features i and i + E / 2 turned by the angles of their frame."""
    first, second = heads.chunk(2, dim=-1)
    cosines, sines = cosines.to(heads.dtype), sines.to(heads.dtype)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)
