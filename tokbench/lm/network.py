"""The network of a stage: from sentences to what it thinks of each symbol that may come.

Axes: ``B`` batch, ``S`` steps, ``R`` symbols of a step, ``N`` predictions, ``D`` features, ``V`` symbols.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from tokbench.lm.sentences import Inset, Sentences, Writing
from tokbench.lm.vocabulary import NOTHING, Block
from tokbench.models.lm_transformer import Attended, LmPast, LmTransformer, Memory, Reading, Stack
from tokbench.specs.lm import Levels, LmSpec, Next
from tokbench.specs.lm_networks import LocalBlocks
from tokbench.specs.lm_streams import FeatureSource

__all__ = ["COMPUTATION", "Hidden", "StageNetwork", "Step", "lay_out_for_steps_"]

COMPUTATION = 3
"""Raised by any change by which the same weights predict something else, or others are needed."""
_FIRST_WEIGHTS = 0.02
"""Standard deviation of weights before training, as in GPT-2."""


class Hidden:
    """What a network has made of steps."""

    def __init__(self, network: "StageNetwork", values: Tensor) -> None:
        self._network, self.values = network, values
        """[B, S, D], or [2, B, S, D] of two towers."""

    def features_of(self, blocks: Sequence[Block], symbols: Tensor) -> Iterator[tuple[Block, Tensor, Tensor]]:
        """Yield each of ``blocks``, bool [B, S, R] where ``symbols`` are of it, and their features [N, D'].

        ``symbols`` int64 [B, S, R] are those of the steps that are predicted, of which a local network sees the
        ones before each; it goes through each step once for all. Blocks of which there is no symbol are left out.
        """
        found = [(block, (symbols >= block.start) & (symbols < block.stop)) for block in blocks]
        there = [(block, is_of_block) for block, is_of_block in found if bool(is_of_block.any())]
        if self._network.local is None:
            for block, is_of_block in there:
                yield block, is_of_block, self._of(*is_of_block.nonzero(as_tuple=True))
        elif there:
            is_any = torch.stack([is_of_block for _, is_of_block in there]).any(dim=0)
            batch, step = is_any.any(dim=2).nonzero(as_tuple=True)
            made = self._network.local(self.values[batch, step], symbols[batch, step])
            for block, is_of_block in there:
                yield block, is_of_block, made[is_of_block[batch, step]]

    def _of(self, batch: Tensor, step: Tensor, row: Tensor) -> Tensor:
        if self.values.ndim == 3:  # noqa: PLR2004
            return self.values[batch, step]
        return self.values[row // self._network.rows_per_tower, batch, step]

    def last(self) -> "Step":
        """Return what predicts the step after the last, symbol by symbol."""
        values = self.values[..., -1, :]
        if self._network.local is not None:
            return _LocalStep(self._network.local, values, self._network.writing.num_rows)
        return Step(values, self._network.rows_per_tower)


class Step:
    """What predicts a step, one row after another."""

    def __init__(self, values: Tensor, rows_per_tower: int) -> None:
        self._values, self._rows_per_tower = values, rows_per_tower
        """[B, D], or [2, B, D] of two towers."""

    def features(self, row: int, symbols: Tensor) -> Tensor:
        """Return [B, D'], from which ``row`` is predicted.

        ``symbols`` int64 [N, R] are those of the step that are decided on, on any device, of which a local network
        sees the ones before ``row``. B is N, or a multiple of it where examples are read in several ways.
        """
        del symbols
        return self._values if self._values.ndim == 2 else self._values[row // self._rows_per_tower]  # noqa: PLR2004


class _LocalStep(Step):
    """The same by a local network, which goes through each row once."""

    def __init__(self, local: "LocalNetwork", values: Tensor, num_rows: int) -> None:
        self._embedded, self._stack = local.embedded, local.stack
        self._given = local.stack.placed(local.input(values)[:, None].expand(-1, num_rows, -1))
        """[B, R, D'], what is read of each row beside the symbol before it."""
        self._past = local.stack.begin(len(values), num_rows)
        self._made: list[Tensor] = []

    def features(self, row: int, symbols: Tensor) -> Tensor:
        for place in range(len(self._made), row + 1):
            values = self._given[:, place]
            if place:
                before = symbols[:, place - 1].to(values.device).repeat(len(values) // len(symbols))
                values = values + self._embedded(before)
            self._made.append(self._stack(values[:, None], Attended(), self._past)[:, 0])
        return self._made[row]


class StageNetwork(nn.Module):
    """The network of the stage of ``spec`` that is called ``stage_name``."""

    def __init__(self, spec: LmSpec, stage_name: str) -> None:
        super().__init__()
        self.writing = Writing(spec, stage_name)
        stage, own = self.writing.stage, self.writing.network
        self.objective, self.spec = stage.objective, own
        self.rows_per_tower = max(self.writing.num_rows // own.towers, 1)
        num_symbols = self.writing.vocabulary.size
        self.num_levels = self._num_levels()
        """Codebooks of the output of the objective ``levels``; else 0."""
        self.embedding = nn.Embedding(num_symbols, own.dimension, padding_idx=NOTHING)
        self.transformer = LmTransformer(
            own,
            is_both_ways=not isinstance(self.objective, Next),
            num_levels=self.num_levels,
            has_memory=any(part.by == "cross-attention" for part in stage.used.values()),
            num_prompts=stage.prompts.length if stage.prompts else 0,
        )
        self.local = None if own.local is None else LocalNetwork(own.local, own.dimension, num_symbols)
        self.projections = nn.ModuleDict(dict(self._projections()))
        self.encoders = nn.ModuleDict(dict(self._encoders()))
        width = own.dimension if own.local is None else own.local.dimension
        self.outputs = nn.Linear(width, num_symbols, bias=False)
        self.apply(_begin)
        if own.tied and own.local is None:
            self.outputs.weight = self.embedding.weight
        outputs = stage.outputs
        self.blocks = list(
            dict.fromkeys(b for part in outputs.values() for b in self.writing.vocabulary.blocks(part))
        )
        """All codebooks that are predicted."""
        self.predictors = nn.ModuleDict(
            {
                name: nn.Linear(own.dimension, self.feature_dimension(part.stream))
                for name, part in outputs.items()
                if self.feature_dimension(part.stream)
            }
        )
        """Of outputs that are features."""
        self.in_runs = tuple(dict.fromkeys(part.stream for part in outputs.values() if part.deduplicated))
        """Streams that come out without repetitions."""
        for stream in self.in_runs:
            source = spec.stream(stream)
            size = 0 if isinstance(source, FeatureSource) else source.sizes[0]
            self.register_buffer(_run_frames_of(stream), torch.ones(size))

    def run_frames(self, stream: str) -> Tensor:
        """Return for how many frames symbols of ``stream``, of its first codebook, went on in training: float [V].

        Its mean, of one of those in :attr:`in_runs`. Vocoders of such units have a network that predicts it (Lee et
        al. 2021, arXiv:2107.05604, section 3.3); this is what can be said of a unit that is seen alone.
        """
        return self.get_buffer(_run_frames_of(stream))

    def _num_levels(self) -> int:
        if not isinstance(self.objective, Levels):
            return 0
        (part,) = self.writing.stage.outputs.values()
        return self.writing.vocabulary.num_rows(part)

    def feature_dimension(self, stream: str) -> int:
        """Return the features of a frame of ``stream``; 0 of symbols."""
        source = self.writing.spec.stream(stream)
        return source.dimension if isinstance(source, FeatureSource) else 0

    def _projections(self) -> Iterable[tuple[str, nn.Module]]:
        for name, part in self.writing.stage.inputs.items():
            if dimension := self.feature_dimension(part.stream):
                blocks = part.encoder.blocks(self.spec) if part.encoder else self.spec
                yield name, nn.Linear(dimension, blocks.dimension)

    def _encoders(self) -> Iterable[tuple[str, nn.Module]]:
        for name, part in self.writing.stage.inputs.items():
            if part.encoder is not None:
                blocks = part.encoder.blocks(self.spec)
                is_embedded = not self.feature_dimension(part.stream)
                yield name, _Encoder(Stack(blocks), blocks.dimension, self.spec.dimension, is_embedded=is_embedded)

    def forward(self, sentences: Sentences, past: LmPast | None = None, *, level: int = 0) -> Hidden:
        """Read ``sentences``, which follow ``past`` if there is one; ``level`` is that of the normalizations."""
        memory = None
        if sentences.memory is not None:
            memory = Memory(self._embedded(sentences.memory), sentences.memory.is_there)
        is_open = isinstance(self.objective, Next) and self.objective.reads == "prefix"
        reading = Reading(
            positions=sentences.positions,
            is_there=sentences.is_there,
            is_both_ways=not isinstance(self.objective, Next),
            num_open=sentences.num_open if is_open and bool((sentences.num_open > 1).any()) else None,
            level=level,
            memory=memory,
        )
        values = self.transformer(self._embedded(sentences), reading, past)
        return Hidden(self, values if self.spec.towers == 1 else values.unflatten(0, (self.spec.towers, -1)))

    def _embedded(self, sentences: Sentences) -> Tensor:
        """Return [B, S, D]; with two towers, [2 · B, S, D]."""
        if self.spec.towers > 1:
            return torch.cat([self._vectors(rows) for rows in sentences.symbols.chunk(self.spec.towers, dim=2)])
        values = self._vectors(sentences.symbols)
        flat = values.flatten(0, 1)
        for name, inset in sentences.insets.items():
            flat = flat.index_add(0, inset.steps, self._inset(name, inset)[inset.is_there].to(flat.dtype))
        return flat.reshape(values.shape)

    def _vectors(self, symbols: Tensor) -> Tensor:
        """Return [..., D], what is read of ``symbols`` int64 [..., R]."""
        sums = self._sums(symbols)
        # Where each part counts from its beginning, models learn from places which frame a text is about.
        is_scaled = self.spec.positions == "sinusoidal" and not self.spec.restarted
        return _scaled(sums) if is_scaled else sums

    def _sums(self, symbols: Tensor) -> Tensor:
        sums: Tensor = self.embedding(symbols).sum(dim=-2)
        return sums

    def _inset(self, name: str, inset: Inset) -> Tensor:
        """Return [N, F, D]."""
        is_features = name in self.projections
        # Symbols come here for an encoder, which adds sinusoids.
        values = self.projections[name](inset.values) if is_features else _scaled(self._sums(inset.values))
        encoded: Tensor = self.encoders[name](values, inset.is_there) if name in self.encoders else values
        return encoded

    def begin(self, batch_size: int, num_steps: int) -> LmPast:
        """Return the past before the first step of a batch, of up to ``num_steps``."""
        return self.transformer.begin(batch_size, num_steps)

    def logits(self, features: Tensor, block: Block) -> Tensor:
        """Return [N, V] of ``features`` [N, D']: those of the symbols from ``block.start`` to ``block.stop``.

        With a joint vocabulary, these are the log probabilities among all symbols.
        """
        if self.spec.vocabulary == "joint":
            everything = nn.functional.linear(features, self.outputs.weight[NOTHING + 1 :])
            first = block.start - NOTHING - 1
            return everything.log_softmax(dim=-1)[:, first : first + block.stop - block.start]
        return nn.functional.linear(features, self.outputs.weight[block.start : block.stop])

    def nats(self, features: Tensor, symbols: Tensor, block: Block) -> Tensor:
        """Return [N], minus the log probability of each of ``symbols`` int64 [N], which are of ``block``."""
        logits = self.logits(features, block).float()
        if self.spec.vocabulary == "joint":
            return -logits.gather(1, symbols[:, None] - block.start)[:, 0]
        return nn.functional.cross_entropy(logits, symbols - block.start, reduction="none")


class _Encoder(nn.Module):
    """A network that a part goes through, with a projection to the width of the rest where that is another."""

    def __init__(self, stack: Stack, own: int, outer: int, *, is_embedded: bool) -> None:
        super().__init__()
        self.stack = stack
        is_same = own == outer
        self.input = nn.Linear(outer, own) if is_embedded and not is_same else nn.Identity()
        self.output = nn.Identity() if is_same else nn.Linear(own, outer)

    def forward(self, values: Tensor, is_there: Tensor) -> Tensor:
        """Return [N, F, D] of ``values`` [N, F, D'] of which bool ``is_there`` [N, F] are there."""
        output: Tensor = self.output(self.stack.read_all(self.input(values), is_there))
        return output


class LocalNetwork(nn.Module):
    """Goes through the symbols of a step one by one: UniAudio (arXiv:2310.00704, section 2.3)."""

    def __init__(self, spec: LocalBlocks, dimension: int, num_symbols: int) -> None:
        super().__init__()
        self.input = nn.Linear(dimension, spec.dimension)
        self.embedding = nn.Embedding(num_symbols, spec.dimension, padding_idx=NOTHING)
        self.stack = Stack(spec)

    def forward(self, steps: Tensor, symbols: Tensor) -> Tensor:
        """Return [N, R, D'], from which each of ``symbols`` int64 [N, R] is predicted by those before it.

        ``steps`` [N, D] is what the other network made of all steps before.
        """
        before = nn.functional.pad(self.embedded(symbols[:, :-1]), (0, 0, 1, 0))
        output: Tensor = self.stack.read_before(before + self.input(steps)[:, None])
        return output

    def embedded(self, symbols: Tensor) -> Tensor:
        """Return [..., D'], what is read of ``symbols`` int64 [...], to which sinusoids are added."""
        return _scaled(self.embedding(symbols))


def _run_frames_of(stream: str) -> str:
    return f"run_frames_{stream}"


def _scaled(vectors: Tensor) -> Tensor:
    """Return ``vectors`` [..., D] as long as the sinusoids beside them (Vaswani et al. 2017, section 3.4).

    See ``docs/decisions/what-is-heard-first.md``.
    """
    return vectors * math.sqrt(vectors.shape[-1])


def lay_out_for_steps_(network: nn.Module) -> None:
    """Put the weights of maps in memory input by input, the numbers being the same.

    A processor then reads them in their order where a map has few rows, as when a step is written: 1.2 to 1.5 times
    as fast for up to eight rows of 128 or 256 features, and no slower for the rows of a batch. Of 768, one or two
    rows gain as much, and four to sixteen lose a tenth to a fifth. Tables of symbols stay as they are.
    """
    tables = {id(layer.weight) for layer in network.modules() if isinstance(layer, nn.Embedding)}
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and id(layer.weight) not in tables:
            layer.weight.data = layer.weight.data.t().contiguous().t()


def _begin(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=_FIRST_WEIGHTS)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
        nn.init.normal_(layer.weight, std=layer.embedding_dim**-0.5)
        with torch.no_grad():
            layer.weight[NOTHING] = 0
