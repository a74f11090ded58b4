"""The Transformer of language models of codes, in all its roles.

One stack of layers, normalized before each of their halves, reads a sequence from left to right, inputs in both
directions before outputs (prefix attention), or all in both directions; it may attend to a memory beside the
sequence, scale its normalizations by a level (AdaLN of VALL-E: Wang et al. 2023, arXiv:2301.02111, section 4.2.2),
carry learnt vectors in front of its keys (deep prompts: Li and Liang 2021, arXiv:2101.00190), or be two towers that
attend to each other (dGSLM: Nguyen et al. 2022, arXiv:2203.16502, section 3.2).

Axes: ``B`` batch, ``S`` steps, ``M`` steps of the memory, ``D`` features, ``H`` heads, ``E`` features of a head.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, glu, pad, relu, scaled_dot_product_attention, silu

from tokbench.models.code_lm import LayerPast, sinusoids
from tokbench.models.transformer import rotary_frequencies, rotated
from tokbench.models.vocos_backbone import AdaptiveLayerNorm
from tokbench.specs.lm_networks import Blocks, LmNetwork

__all__ = ["Attended", "LmPast", "LmTransformer", "Memory", "Reading", "RelativeBias", "Stack"]

NUM_BUCKETS, MAX_DISTANCE = 32, 128
"""Of relative positions: T5 (Raffel et al. 2020, arXiv:1910.10683, section 2.1)."""
_FIRST_PLACES = 0.02
"""Standard deviation of learnt positions before training, as in GPT-2."""


@dataclass(frozen=True)
class Memory:
    """What is attended to beside the sequence."""

    values: Tensor
    """[B, M, D]."""
    is_there: Tensor
    """bool [B, M]."""


@dataclass(frozen=True)
class Reading:
    """How a sequence is read."""

    positions: Tensor
    """int64 [B, S]."""
    is_there: Tensor
    """bool [B, S], false for what only fills the batch."""
    is_both_ways: bool = False
    """Whether every step sees all; else it sees those before it."""
    num_open: Tensor | None = None
    """int64 [B], first steps that all steps see, however they are read; None for none."""
    level: int = 0
    """Which of its scales a normalization takes."""
    memory: Memory | None = None


class LmPast:
    """What a Transformer has read; each call adds to it."""

    def __init__(self, layers: list["_LayerPasts"]) -> None:
        self.layers = layers
        self.positions: Tensor | None = None
        self.is_there: Tensor | None = None
        self.memory: Memory | None = None

    def extend(self, reading: Reading) -> tuple[Tensor, Tensor]:
        """Return the positions [B, keys] and what is there [B, keys], those of ``reading`` included."""
        positions, is_there = reading.positions, reading.is_there
        if self.positions is not None and self.is_there is not None:
            positions = torch.cat([self.positions, positions], dim=1)
            is_there = torch.cat([self.is_there, is_there], dim=1)
        self.positions, self.is_there = positions, is_there
        return positions, is_there

    def choose_(self, rows: Tensor) -> None:
        """Go on with the ``rows`` of the batch, int64 [B'], each any number of times."""
        if self.positions is not None and self.is_there is not None:
            self.positions, self.is_there = self.positions[rows], self.is_there[rows]
        if self.memory is not None:
            self.memory = Memory(self.memory.values[rows], self.memory.is_there[rows])
        for layer in self.layers:
            layer.choose_(rows)


@dataclass
class _LayerPasts:
    own: LayerPast
    other: LayerPast | None
    """Of the other tower."""
    memory: tuple[Tensor, Tensor] | None = None
    """Keys and values, made once."""

    def choose_(self, rows: Tensor) -> None:
        self.own.choose_(rows)
        if self.other is not None:
            self.other.choose_(rows)
        if self.memory is not None:
            self.memory = self.memory[0][rows], self.memory[1][rows]


class RelativeBias(nn.Module):
    """A learnt bias of attention for each head and each bucket of distances."""

    bucket_of: Tensor

    def __init__(self, num_heads: int, *, is_both_ways: bool) -> None:
        super().__init__()
        self.is_both_ways = is_both_ways
        self.biases = nn.Embedding(NUM_BUCKETS, num_heads)
        distances = torch.arange(-MAX_DISTANCE, MAX_DISTANCE + 1)
        self.register_buffer("bucket_of", self.buckets(distances), persistent=False)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return [B, H, S, keys] of the positions of ``queries`` [B, S] and ``keys`` [B, keys].

        Where these are the same in the whole batch, [1, H, S, keys].
        """
        queries, keys = _shared(queries), _shared(keys)
        # Those that are farther are in the bucket of the farthest.
        distances = (keys[:, None] - queries[:, :, None]).clamp_(-MAX_DISTANCE, MAX_DISTANCE)
        biases: Tensor = self.biases(self.bucket_of[distances + MAX_DISTANCE])
        return biases.permute(0, 3, 1, 2).contiguous()

    def buckets(self, distances: Tensor) -> Tensor:
        """Return the bucket of each distance from a query to a key: near ones their own, far ones by logarithm."""
        num_buckets, first = NUM_BUCKETS, torch.zeros_like(distances)
        if self.is_both_ways:
            num_buckets //= 2
            first = (distances > 0) * num_buckets
            lengths = distances.abs()
        else:
            lengths = (-distances).clamp_min(0)
        num_exact = num_buckets // 2
        share = (lengths.clamp_min(1) / num_exact).log() / math.log(MAX_DISTANCE / num_exact)
        far = (num_exact + share * (num_buckets - num_exact)).long().clamp_max(num_buckets - 1)
        return first + torch.where(lengths < num_exact, lengths, far)


def _shared(values: Tensor) -> Tensor:
    """Return the first of ``values`` [B, ...] alone, [1, ...], where all are the same."""
    first = values[:1]
    return first if len(values) > 1 and bool((values == first).all()) else values


class LmTransformer(nn.Module):
    """[B, S, D] -> [B, S, D]; with two towers, [2 · B, S, D], the second half being the second tower's."""

    frequencies: Tensor

    def __init__(
        self,
        spec: LmNetwork,
        *,
        is_both_ways: bool = False,
        num_levels: int = 0,
        has_memory: bool = False,
        num_prompts: int = 0,
    ) -> None:
        super().__init__()
        self.spec, self.num_prompts = spec, num_prompts
        self.stack = Stack(
            spec,
            num_levels=num_levels,
            has_memory=has_memory,
            num_crossed=spec.cross_layers if spec.towers > 1 else 0,
            num_prompts=num_prompts,
        )
        width = spec.dimension // spec.num_heads
        self.register_buffer("frequencies", rotary_frequencies(width), persistent=False)
        self.places = nn.Embedding(spec.context, spec.dimension) if spec.positions == "learned" else None
        if self.places is not None:
            nn.init.normal_(self.places.weight, std=_FIRST_PLACES)
        self.bias = (
            RelativeBias(spec.num_heads, is_both_ways=is_both_ways) if spec.positions == "relative" else None
        )

    def begin(self, batch_size: int, num_steps: int) -> LmPast:
        """Return the past of a batch before its first step, of sequences of up to ``num_steps``."""
        return self.stack.begin(self.spec.towers * batch_size, num_steps)

    def forward(self, values: Tensor, reading: Reading, past: LmPast | None = None) -> Tensor:
        """Return what a sequence, or what comes after ``past``, is turned into."""
        positions, is_there = (reading.positions, reading.is_there) if past is None else past.extend(reading)
        if past is not None:
            past.memory = past.memory or reading.memory
        towers = self.spec.towers
        is_plain = self.bias is None and not self.num_prompts and _sees_all_before(reading, is_there)
        attended = Attended(
            rotation=self._rotation(reading.positions, towers),
            mask=None if is_plain else self._mask(reading, positions, is_there),
            is_causal=is_plain,
            is_there=_repeated(reading.is_there, towers),
            level=reading.level,
            memory=reading.memory if past is None else past.memory,
        )
        output: Tensor = self.stack(self._placed(values, reading.positions, towers), attended, past)
        return output

    def _placed(self, values: Tensor, positions: Tensor, towers: int) -> Tensor:
        if self.spec.positions == "sinusoidal":
            return values + sinusoids(positions, values).repeat(towers, 1, 1)
        if self.places is not None:
            placed: Tensor = values + self.places(positions).repeat(towers, 1, 1)
            return placed
        return values

    def _rotation(self, positions: Tensor, towers: int) -> tuple[Tensor, Tensor] | None:
        if self.spec.positions != "rotary":
            return None
        angles = positions.repeat(towers, 1)[:, None, :, None] * self.frequencies
        return angles.cos(), angles.sin()

    def _mask(self, reading: Reading, positions: Tensor, is_there: Tensor) -> Tensor | None:
        """Return what each step sees, bool or an added bias; None where it sees everything.

        It is [B, 1 or H, S, keys] for each tower, and of one row where all rows are alike.
        """
        sees_all = (reading.is_both_ways or reading.positions.shape[1] == 1) and bool(is_there.all())
        mask = None if sees_all else _seen(reading, is_there)
        if self.bias is not None:
            bias = self.bias(reading.positions, positions)
            mask = bias if mask is None else bias.masked_fill(~mask, -math.inf)
        return mask if mask is None or len(mask) == 1 else _repeated(mask, self.spec.towers)


def _seen(reading: Reading, is_there: Tensor) -> Tensor:
    """Return which keys each step sees, bool [B or 1, 1, S, keys]."""
    num_keys = is_there.shape[1]
    keys = torch.arange(num_keys, device=is_there.device)
    own = keys[num_keys - reading.positions.shape[1] :, None]
    if _sees_all_before(reading, is_there):
        return (keys <= own)[None, None]
    seen = is_there[:, None, None]
    if not reading.is_both_ways:
        is_open = False if reading.num_open is None else keys < reading.num_open[:, None, None, None]
        seen = seen & ((keys <= own) | is_open)
    # What only fills the batch sees itself, for there is no attention to nothing.
    return seen | (keys == own)


def _sees_all_before(reading: Reading, is_there: Tensor) -> bool:
    """Say whether plain causality says what a step sees. What fills a batch on its right is seen by none."""
    if reading.is_both_ways or reading.num_open is not None:
        return False
    return reading.positions.shape == is_there.shape and bool(is_there[:, 0].all())


def _repeated(values: Tensor | None, times: int) -> Tensor | None:
    return values if values is None or times == 1 else values.repeat(times, *[1] * (values.ndim - 1))


@dataclass(frozen=True)
class Attended:
    """What all layers are told."""

    rotation: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None
    is_causal: bool = False
    """Whether a step sees those before it, without a mask that says so."""
    is_there: Tensor | None = None
    """bool [B, S], where some of a batch is not."""
    level: int = 0
    memory: Memory | None = None


class Stack(nn.Module):
    """Layers, and a normalization of what comes out: [B, S, D] -> [B, S, D]."""

    def __init__(
        self,
        spec: Blocks,
        *,
        num_levels: int = 0,
        has_memory: bool = False,
        num_crossed: int = 0,
        num_prompts: int = 0,
    ) -> None:
        super().__init__()
        layers = []
        for index in range(spec.num_layers):
            is_crossed = index >= spec.num_layers - num_crossed
            layers.append(
                _Layer(
                    spec,
                    num_levels=num_levels,
                    has_memory=has_memory,
                    is_crossed=is_crossed,
                    num_prompts=num_prompts,
                )
            )
        self._layers = nn.ModuleList(layers)
        self.norm = _Norm(spec.dimension, num_levels)

    @property
    def layers(self) -> Iterable["_Layer"]:
        """In their order."""
        return (layer for layer in self._layers if isinstance(layer, _Layer))

    def begin(self, batch_size: int, num_steps: int) -> LmPast:
        """Return the past of a batch before its first step, of sequences of up to ``num_steps``."""
        return LmPast([layer.begin(batch_size, num_steps) for layer in self.layers])

    def forward(self, values: Tensor, attended: Attended, past: LmPast | None = None) -> Tensor:
        """Return what the layers make of ``values``."""
        for index, layer in enumerate(self.layers):
            values = layer(values, attended, None if past is None else past.layers[index])
        output: Tensor = self.norm(values, attended.level)
        return output

    def placed(self, values: Tensor) -> Tensor:
        """Return ``values`` [B, S, D] with the positions of steps, which are added."""
        return values + sinusoids(torch.arange(values.shape[1], device=values.device), values)

    def read_all(self, values: Tensor, is_there: Tensor) -> Tensor:
        """Return [B, S, D] of ``values`` [B, S, D], of which each sees all that are there; positions are added."""
        own = torch.eye(values.shape[1], dtype=torch.bool, device=values.device)
        attended = Attended(mask=is_there[:, None, None] | own, is_there=is_there)
        output: Tensor = self(self.placed(values), attended)
        return output

    def read_before(self, values: Tensor) -> Tensor:
        """Return [B, S, D] of ``values`` [B, S, D], of which each sees those before it; positions are added."""
        output: Tensor = self(self.placed(values), Attended(is_causal=True))
        return output


class _Norm(nn.Module):
    """A layer normalization, with a scale and a shift for each level where there are levels."""

    def __init__(self, dimension: int, num_levels: int) -> None:
        super().__init__()
        self.norm: AdaptiveLayerNorm | nn.LayerNorm = (
            AdaptiveLayerNorm(num_levels, dimension) if num_levels else nn.LayerNorm(dimension)
        )

    def forward(self, values: Tensor, level: int) -> Tensor:
        is_adaptive = isinstance(self.norm, AdaptiveLayerNorm)
        normed: Tensor = self.norm(values, level) if is_adaptive else self.norm(values)
        return normed


class _Layer(nn.Module):
    """Attention to the sequence, to the other tower or a memory if there is one, and a network for each step."""

    def __init__(
        self, spec: Blocks, *, num_levels: int, has_memory: bool, is_crossed: bool, num_prompts: int
    ) -> None:
        super().__init__()
        self.dropout, dimension = spec.dropout, spec.dimension
        self.attention_norm = _Norm(dimension, num_levels)
        self.attention = _Attention(dimension, spec.num_heads)
        self.memory_norm = _Norm(dimension, num_levels) if has_memory or is_crossed else None
        self.memory_attention = _Attention(dimension, spec.num_heads) if has_memory or is_crossed else None
        self.is_crossed = is_crossed
        self.feedforward_norm = _Norm(dimension, num_levels)
        self.feedforward = _Feedforward(spec)
        self.first_norm = self.first_feedforward = self.convolution = None
        if spec.convolution is not None:
            self.first_norm, self.first_feedforward = _Norm(dimension, num_levels), _Feedforward(spec)
            self.convolution = _Convolution(dimension, spec.convolution)
        self.prompts = nn.Parameter(torch.empty(2, num_prompts, dimension)) if num_prompts else None
        if self.prompts is not None:
            nn.init.normal_(self.prompts, std=dimension**-0.5)

    def begin(self, batch_size: int, num_steps: int) -> _LayerPasts:
        own = self.attention.begin(batch_size, num_steps)
        return _LayerPasts(own, self.attention.begin(batch_size, num_steps) if self.is_crossed else None)

    def forward(self, values: Tensor, attended: Attended, past: _LayerPasts | None) -> Tensor:
        if self.first_feedforward is not None and self.first_norm is not None:
            values = self._added(values, 0.5 * self.first_feedforward(self.first_norm(values, attended.level)))
        normed = self.attention_norm(values, attended.level)
        own_past = None if past is None else past.own
        values = self._added(values, self.attention(normed, normed, attended, past=own_past, prompts=self.prompts))
        if self.memory_attention is not None and self.memory_norm is not None:
            normed = self.memory_norm(values, attended.level)
            values = self._added(values, self._remembered(self.memory_attention, normed, attended, past))
        if self.convolution is not None:
            values = self._added(values, self.convolution(values, attended.is_there))
        fed = self.feedforward(self.feedforward_norm(values, attended.level))
        return self._added(values, fed if self.first_feedforward is None else 0.5 * fed)

    def _remembered(
        self, attention: "_Attention", normed: Tensor, attended: Attended, past: _LayerPasts | None
    ) -> Tensor:
        if self.is_crossed:
            other = torch.cat(normed.chunk(2)[::-1])
            crossed: Tensor = attention(normed, other, attended, past=None if past is None else past.other)
            return crossed
        if attended.memory is None:
            return torch.zeros_like(normed)
        made = past.memory if past is not None else None
        if made is None:
            made = attention.keys_and_values(attended.memory.values)
        if past is not None:
            past.memory = made
        recalled: Tensor = attention.recall(normed, *made, attended.memory.is_there)
        return recalled

    def _added(self, values: Tensor, branch: Tensor) -> Tensor:
        return values + (dropout(branch, self.dropout) if self.training and self.dropout else branch)


class _Attention(nn.Module):
    """Attention of steps to others."""

    def __init__(self, dimension: int, num_heads: int) -> None:
        super().__init__()
        self.dimension, self.num_heads = dimension, num_heads
        self.inputs = nn.Linear(dimension, 3 * dimension)
        """To queries, keys and values."""
        self.output = nn.Linear(dimension, dimension)

    def begin(self, batch_size: int, num_steps: int) -> LayerPast:
        weight = self.output.weight
        empty = weight.new_empty(batch_size, self.num_heads, 0, self.dimension // self.num_heads)
        return LayerPast(empty, empty, num_steps)

    def forward(
        self,
        values: Tensor,
        others: Tensor,
        attended: Attended,
        *,
        past: LayerPast | None = None,
        prompts: Tensor | None = None,
    ) -> Tensor:
        """Return [B, S, D], what ``values`` [B, S, D] get from ``others`` [B, S, D] and what ``past`` holds."""
        if others is values:  # one product is faster than two
            made = self.inputs(values).unflatten(2, (3, self.num_heads, -1)).unbind(2)
            queries, keys, vectors = (each.transpose(1, 2) for each in made)
        else:
            queries, (keys, vectors) = self._queries(values), self.keys_and_values(others)
        if attended.rotation is not None:
            queries, keys = (rotated(each, *attended.rotation) for each in (queries, keys))
        if past is not None:
            keys, vectors = past.append(keys, vectors)
        mask = attended.mask
        if prompts is not None:
            first, second = (self._heads(prompt.expand(len(values), -1, -1)) for prompt in prompts)
            keys, vectors = torch.cat([first, keys], dim=2), torch.cat([second, vectors], dim=2)
            if mask is not None:
                mask = pad(mask, (prompts.shape[1], 0), value=1.0 if mask.dtype == torch.bool else 0.0)
        return self._attended(queries, keys, vectors, mask, is_causal=attended.is_causal)

    def keys_and_values(self, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return those of ``others`` [B, S, D], each [B, H, S, E]."""
        weight, bias = self.inputs.weight[self.dimension :], self.inputs.bias[self.dimension :]
        keys, vectors = nn.functional.linear(others, weight, bias).chunk(2, dim=-1)
        return self._heads(keys), self._heads(vectors)

    def recall(self, values: Tensor, keys: Tensor, vectors: Tensor, is_there: Tensor) -> Tensor:
        """Return [B, S, D], what ``values`` [B, S, D] get from a memory that is there where bool [B, M] says so."""
        return self._attended(self._queries(values), keys, vectors, is_there[:, None, None])

    def _queries(self, values: Tensor) -> Tensor:
        weight, bias = self.inputs.weight[: self.dimension], self.inputs.bias[: self.dimension]
        return self._heads(nn.functional.linear(values, weight, bias))

    def _attended(
        self, queries: Tensor, keys: Tensor, vectors: Tensor, mask: Tensor | None, *, is_causal: bool = False
    ) -> Tensor:
        mixed = scaled_dot_product_attention(queries, keys, vectors, mask, is_causal=is_causal)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output

    def _heads(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], self.num_heads, -1).transpose(1, 2)


class _Feedforward(nn.Module):
    """Two maps with a bend between them."""

    def __init__(self, spec: Blocks) -> None:
        super().__init__()
        self.activation = spec.activation
        factor = 2 if spec.activation == "gated" else 1
        self.widen = nn.Linear(spec.dimension, factor * spec.feedforward_dimension)
        self.narrow = nn.Linear(spec.feedforward_dimension, spec.dimension)

    def forward(self, values: Tensor) -> Tensor:
        widened = self.widen(values)
        if self.activation == "gated":
            straight, bent = widened.chunk(2, dim=-1)
            widened = straight * gelu(bent)
        else:
            widened = gelu(widened) if self.activation == "gelu" else relu(widened)
        output: Tensor = self.narrow(widened)
        return output


class _Convolution(nn.Module):
    """What a Conformer puts after attention (Gulati et al. 2020, arXiv:2005.08100, section 2.2), with LayerNorm.

    Batch normalization, which it has there, makes the predictions of a batch depend on each other (LauraGPT).
    """

    def __init__(self, dimension: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)
        self.widen = nn.Linear(dimension, 2 * dimension)
        self.depthwise = nn.Conv1d(dimension, dimension, kernel_size, padding="same", groups=dimension)
        self.depthwise_norm = nn.LayerNorm(dimension)
        self.output = nn.Linear(dimension, dimension)

    def forward(self, values: Tensor, is_there: Tensor | None) -> Tensor:
        hidden = glu(self.widen(self.norm(values)), dim=-1)
        if is_there is not None:
            hidden = hidden * is_there[..., None]
        mixed = self.depthwise(hidden.transpose(1, 2)).transpose(1, 2)
        output: Tensor = self.output(silu(self.depthwise_norm(mixed)))
        return output
