"""From examples to the sequences that a stage reads, and to what it is to predict at each step.

A sentence is the symbol of its form, then its inputs, then its outputs; each part begins with a symbol of its own.
The symbols of a step are several, whose vectors are added.

Axes: ``B`` batch, ``S`` steps, ``R`` symbols of a step, ``K`` codebooks, ``F`` frames, ``D`` features.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from tokbench.errors import NotSupportedError, TokbenchError
from tokbench.lm.examples import Example, deduplicated, frame_rate_hz, only_edges
from tokbench.lm.layouts import arranged, frame_table, with_end
from tokbench.lm.vocabulary import ENDED, NOTHING, Vocabulary
from tokbench.models.frame_rates import nearest_frames
from tokbench.specs.lm import Form, LmSpec, Next, Part
from tokbench.specs.lm_streams import CodeSource, FeatureSource

__all__ = ["ContextError", "Inset", "Piece", "Sentence", "Sentences", "Writing", "collate"]


class ContextError(TokbenchError):
    """A prompt that leaves no room for what it asks for, or something else that does not fit."""

    def __init__(self, spec: str, *, num_steps: int, context: int, what: str = "the request") -> None:
        super().__init__(
            f"{what} takes {num_steps} steps of {spec}, whose context is {context}: shorten it, or ask for less"
        )


@dataclass(frozen=True)
class Piece:
    """A part in a sentence."""

    part: str
    symbols: Tensor
    """int64 [R, S]; the first step begins the part."""
    features: Tensor | None = None
    """float32 [S - 1, D], of all steps but the first, for what is no symbols."""
    targets: Tensor | None = None
    """int64 [R, S] of an output: the symbol that is to be predicted at a step, 0 where there is none."""
    wanted: Tensor | None = None
    """float32 [S - 1, D] of an output of features."""
    is_inset: bool = False
    """Whether all steps but the first go through a network of their own."""


@dataclass(frozen=True)
class Inset:
    """What goes through a network of its own before it takes its steps in sentences."""

    values: Tensor
    """Symbols int64 [N, F, R], or features float32 [N, F, D]."""
    is_there: Tensor
    """bool [N, F]."""
    steps: Tensor
    """int64 [M], the step of each frame that is there, in the sentences written one after another."""


@dataclass(frozen=True)
class Sentence:
    """One sequence."""

    pieces: tuple[Piece, ...]
    form: int
    """Symbol of the form."""
    num_inputs: int
    """Pieces that are inputs."""
    num_steps: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_steps", 1 + sum(piece.symbols.shape[1] for piece in self.pieces))

    @property
    def num_open(self) -> int:
        """Steps before the first output."""
        return 1 + sum(piece.symbols.shape[1] for piece in self.pieces[: self.num_inputs])


@dataclass(frozen=True)
class Sentences:
    """Sequences side by side, filled up to the same length."""

    symbols: Tensor
    """int64 [B, S, R]."""
    targets: Tensor
    """int64 [B, S, R]; 0 where nothing is to be predicted."""
    positions: Tensor
    """int64 [B, S]."""
    is_there: Tensor
    """bool [B, S]."""
    num_open: Tensor
    """int64 [B], steps before the first output, with what fills the batch on the left."""
    insets: Mapping[str, Inset]
    wanted: Tensor | None = None
    """float32 [M, D], features to be predicted at the steps of which ``wanted_steps`` int64 [M] are the numbers."""
    wanted_steps: Tensor | None = None
    memory: "Sentences | None" = None

    def to(self, device: torch.device) -> "Sentences":
        """Return these sentences on ``device``."""
        insets = {
            name: Inset(each.values.to(device), each.is_there.to(device), each.steps.to(device))
            for name, each in self.insets.items()
        }
        return Sentences(
            symbols=self.symbols.to(device),
            targets=self.targets.to(device),
            positions=self.positions.to(device),
            is_there=self.is_there.to(device),
            num_open=self.num_open.to(device),
            insets=insets,
            wanted=None if self.wanted is None else self.wanted.to(device),
            wanted_steps=None if self.wanted_steps is None else self.wanted_steps.to(device),
            memory=None if self.memory is None else self.memory.to(device),
        )


class Writing:
    """How the stage of ``spec`` called ``stage_name`` writes its sentences."""

    def __init__(self, spec: LmSpec, stage_name: str) -> None:
        self.spec, self.stage = spec, spec.stages[stage_name]
        self.network = spec.network_of(stage_name)
        self.vocabulary = Vocabulary(spec, stage_name)
        self.num_rows = max(map(self._width, self.stage.used.values()))

    def _width(self, part: Part) -> int:
        """Return the most symbols of a step of ``part``."""
        plus = sum(self.vocabulary.num_rows(self.stage.part(name)) for name in part.plus)
        return max(self.vocabulary.num_rows(part), 1) + plus

    def codes(self, part: Part, example: Example) -> Tensor:
        """Return what ``part`` takes of ``example``: int64 [K, F], or float32 [F, D]."""
        values = example.streams[part.stream]
        if isinstance(self.spec.stream(part.stream), FeatureSource):
            return values
        chosen = values[part.first : part.end]
        return deduplicated(chosen) if part.deduplicated else chosen

    def form_name(self, example: Example) -> str:
        """Return the form of ``example`` in this stage: its own, or the first whose streams are there."""
        if example.form:
            return example.form
        for name, form in self.stage.forms.items():
            if all(self.stage.part(part).stream in example.streams for part in (*form.inputs, *form.outputs)):
                return name
        raise NotSupportedError(self.spec.name, f"a form for the streams {', '.join(example.streams) or 'of none'}")

    def form(self, name: str) -> Form:
        """Return the form called ``name``; raises :class:`NotSupportedError` where this stage has none."""
        if name not in self.stage.forms:
            raise NotSupportedError(self.spec.name, f"the form {name!r}, only {', '.join(self.stage.forms)}")
        return self.stage.forms[name]

    def inputs(self, example: Example, form: Form, empty: Collection[str] = ()) -> Iterator[Piece]:
        """Yield the inputs of ``example``, of which those in ``empty`` have nothing but their beginning."""
        for name in form.inputs:
            part = self.stage.part(name)
            if isinstance(self.spec.stream(part.stream), FeatureSource):
                values = example.streams[part.stream][: 0 if name in empty else None]
                steps = self._begun(name, torch.full((1, len(values)), NOTHING))
                yield replace(steps, features=values, is_inset=True)
                continue
            codes = self.codes(part, example)[:, : 0 if name in empty else None]
            grid = arranged(codes, frame_table(part.layout, *codes.shape)) if codes.numel() else codes
            piece = self._begun(name, self._joined(part, grid, example))
            yield replace(piece, is_inset=part.encoder is not None)

    def wanted_piece(self, name: str, part: Part, example: Example, wanted: Tensor) -> Piece:
        """Return an output of features, float32 [F, D]."""
        steps = torch.full((1, len(wanted)), NOTHING)
        plus = [self.added(part, each, len(wanted), example) for each in part.plus]
        return replace(self._begun(name, torch.cat([steps, *plus])), wanted=wanted)

    def next_piece(self, name: str, part: Part, codes: Tensor, example: Example, *, is_ended: bool) -> Piece:
        """Return ``codes`` int64 [K, F] as an output whose next step is to be predicted at each step."""
        table = _written_table(part, codes, is_ended=is_ended)
        grid = arranged(codes, table, end=ENDED)
        learnt = grid
        if part.edges:
            learnt = arranged(only_edges(codes, self.num_channels(part)), table, end=ENDED)
        piece = self._begun(name, self._joined(part, grid, example))
        targets = pad(self.vocabulary.symbols(part, learnt), (0, 1, 0, len(piece.symbols) - len(learnt)))
        return Piece(name, piece.symbols, targets=targets)

    def frames_piece(self, name: str, part: Part, shown: Tensor, wanted: Tensor, example: Example) -> Piece:
        """Return the codes ``shown`` int64 [K, F] as an output in which ``wanted`` ones are to be predicted."""
        piece = self._begun(name, self._joined(part, shown, example))
        targets = pad(self.vocabulary.symbols(part, wanted), (1, 0, 0, len(piece.symbols) - len(wanted)))
        return Piece(name, piece.symbols, targets=targets)

    def num_channels(self, part: Part) -> int:
        """Return the channels that the codebooks of ``part`` are of."""
        source = self.spec.stream(part.stream)
        return source.channels if isinstance(source, CodeSource) else 1

    def num_steps(self, example: Example) -> int:
        """Return the steps that ``example`` takes as it is learnt, with no input left empty.

        Of the sequence, or of what is attended to beside it where that is longer.
        """
        form = self.form(self.form_name(example))
        own = aside = 1
        for name in form.inputs:
            part = self.stage.part(name)
            codes = self.codes(part, example)
            is_features = isinstance(self.spec.stream(part.stream), FeatureSource)
            num = len(codes) if is_features else frame_table(part.layout, *codes.shape).shape[1]
            if part.by == "cross-attention":
                aside += 1 + num
            else:
                own += 1 + num
        for index, name in enumerate(form.outputs):
            is_ended = example.is_ended or index < len(form.outputs) - 1
            own += 1 + self._num_written(self.stage.part(name), example, is_ended=is_ended)
        return max(own, aside)

    def _num_written(self, part: Part, example: Example, *, is_ended: bool) -> int:
        """Return the steps of an output."""
        codes = self.codes(part, example)
        if isinstance(self.spec.stream(part.stream), FeatureSource):
            return len(codes)
        if not isinstance(self.stage.objective, Next):
            return codes.shape[1]
        return _written_table(part, codes, is_ended=is_ended).shape[1]

    def _begun(self, name: str, symbols: Tensor) -> Piece:
        first = torch.full((len(symbols), 1), NOTHING)
        # Each tower has its own share of the rows.
        first[:: len(symbols) // self.network.towers] = self.vocabulary.start(name)
        return Piece(name, torch.cat([first, symbols], dim=1))

    def _joined(self, part: Part, grid: Tensor, example: Example) -> Tensor:
        """Return the symbols int64 [R, S] of a ``grid`` of codes, with those of the streams that are added."""
        plus = [self.added(part, name, grid.shape[1], example) for name in part.plus]
        return torch.cat([self.vocabulary.symbols(part, grid), *plus])

    def added(self, part: Part, name: str, num_steps: int, example: Example) -> Tensor:
        """Return int64 [K', S], the symbols of the part ``name`` that are added to the steps of ``part``."""
        plus = self.stage.part(name)
        codes = self.codes(plus, example)
        if codes.shape[1] == 1:
            return self.vocabulary.symbols(plus, codes).expand(-1, num_steps)
        own_hz, other_hz = (
            frame_rate_hz(self.spec.stream(part.stream)),
            frame_rate_hz(self.spec.stream(plus.stream)),
        )
        same = own_hz is None or other_hz is None
        frames = nearest_frames(num_steps, 1.0 if same else other_hz, 1.0 if same else own_hz)  # type: ignore[arg-type]
        return self.vocabulary.symbols(plus, codes)[:, frames.clamp_max(codes.shape[1] - 1)]

    def sentence(self, form_name: str, inputs: Sequence[Piece], outputs: Sequence[Piece] = ()) -> Sentence:
        """Return the sequence of ``inputs`` and ``outputs``."""
        return Sentence((*inputs, *outputs), self.vocabulary.form(form_name), len(inputs))

    def split(self, sentence: Sentence) -> tuple[Sentence, Sentence | None]:
        """Return what is read as a sequence, and what is attended to beside it, if anything."""
        aside = [
            piece
            for piece in sentence.pieces[: sentence.num_inputs]
            if self.stage.part(piece.part).by == "cross-attention"
        ]
        rest = [piece for piece in sentence.pieces if not any(piece is each for each in aside)]
        memory = Sentence(tuple(aside), sentence.form, len(aside)) if aside else None
        return Sentence(tuple(rest), sentence.form, sentence.num_inputs - len(aside)), memory


def _written_table(part: Part, codes: Tensor, *, is_ended: bool) -> Tensor:
    """Return the table of ``codes`` int64 [K, F] as an output, with its end where that is learnt and there."""
    return (with_end if part.ended and is_ended else frame_table)(part.layout, *codes.shape)


def collate(
    writing: Writing, sentences: Sequence[Sentence], *, what: str = "the request", is_right_aligned: bool = False
) -> Sentences:
    """Return ``sentences`` side by side.

    Raises :class:`ContextError`, which says ``what`` they are, where one is longer than the context: none is cut.
    """
    split = [writing.split(sentence) for sentence in sentences]
    longest = max(part.num_steps for both in split for part in both if part is not None)
    if longest > writing.network.context:
        raise ContextError(writing.spec.name, num_steps=longest, context=writing.network.context, what=what)
    memories = [memory for _, memory in split if memory is not None]
    memory = _attended(writing, memories) if memories else None
    return replace(_together(writing, [own for own, _ in split], is_right_aligned=is_right_aligned), memory=memory)


def _attended(writing: Writing, sentences: Sequence[Sentence]) -> Sentences:
    """Return ``sentences`` side by side, to be attended to.

    What says which form and which parts they are is there only where nothing else is: it is the same in all, and so
    the easiest to attend to, and a model that learns so in its first steps hears nothing of the rest any more.
    """
    together = _together(writing, sentences, is_right_aligned=False)
    is_said = torch.zeros_like(together.is_there)
    for row, sentence in enumerate(sentences):
        for place, piece in _places(sentence):
            is_said[row, place : place + piece.symbols.shape[1] - 1] = True
    is_empty = ~is_said.any(dim=1, keepdim=True)
    return replace(together, is_there=together.is_there & (is_said | is_empty))


def _together(writing: Writing, sentences: Sequence[Sentence], *, is_right_aligned: bool) -> Sentences:
    lengths = torch.tensor([sentence.num_steps for sentence in sentences])
    num_steps, num_rows = int(lengths.max()), writing.num_rows
    firsts = num_steps - lengths if is_right_aligned else torch.zeros_like(lengths)
    symbols = torch.full((len(sentences), num_steps, num_rows), NOTHING)
    targets, steps = torch.full_like(symbols, NOTHING), torch.arange(num_steps)
    # What fills the batch goes on counting: rows of the same positions share what is made of them.
    positions = (steps - firsts[:, None]).clamp_min(0)
    for row, (sentence, first, length) in enumerate(zip(sentences, firsts.tolist(), lengths.tolist(), strict=True)):
        places = slice(first, first + length)
        symbols[row, places] = _columns(writing, sentence).T
        targets[row, places] = _targets(sentence, num_rows).T
        positions[row, places] = _positions(sentence, is_restarted=writing.network.restarted)
    wanted = [
        _Frames(row, place, piece.wanted)
        for row, sentence in enumerate(sentences)
        for place, piece in _places(sentence)
        if piece.wanted is not None
    ]
    starts = [row * num_steps + first for row, first in enumerate(firsts.tolist())]
    return Sentences(
        symbols=symbols,
        targets=targets,
        positions=positions,
        is_there=(steps >= firsts[:, None]) & (steps < (firsts + lengths)[:, None]),
        num_open=firsts + torch.tensor([sentence.num_open for sentence in sentences]),
        insets=_insets(writing, sentences, starts),
        wanted=torch.cat([frames.values for frames in wanted]) if wanted else None,
        wanted_steps=torch.cat([frames.steps(starts) for frames in wanted]) if wanted else None,
    )


@dataclass(frozen=True)
class _Frames:
    """Frames of the sentence ``row``, of which the first is at the step ``place``."""

    row: int
    place: int
    values: Tensor
    """[F, D]."""

    def steps(self, starts: Sequence[int]) -> Tensor:
        """Return int64 [F], the steps in all sentences, which begin at ``starts``, one after another."""
        return starts[self.row] + self.place + torch.arange(len(self.values))


def _places(sentence: Sentence) -> Iterator[tuple[int, Piece]]:
    """Yield the step of what comes after the beginning of each piece."""
    place = 1
    for piece in sentence.pieces:
        yield place + 1, piece
        place += piece.symbols.shape[1]


def _columns(writing: Writing, sentence: Sentence) -> Tensor:
    """Return int64 [R, S], the symbols of ``sentence`` but for those of insets."""
    form = torch.full((writing.num_rows, 1), NOTHING)
    form[:: writing.num_rows // writing.network.towers] = sentence.form
    columns = [form]
    for piece in sentence.pieces:
        symbols = pad(piece.symbols, (0, 0, 0, writing.num_rows - len(piece.symbols)))
        if piece.is_inset:
            symbols[:, 1:] = NOTHING
        columns.append(symbols)
    return torch.cat(columns, dim=1)


def _targets(sentence: Sentence, num_rows: int) -> Tensor:
    """Return int64 [R, S]."""
    columns = [torch.full((num_rows, 1), NOTHING)]
    for piece in sentence.pieces:
        targets = torch.zeros_like(piece.symbols) if piece.targets is None else piece.targets
        columns.append(pad(targets, (0, 0, 0, num_rows - len(targets))))
    return torch.cat(columns, dim=1)


def _positions(sentence: Sentence, *, is_restarted: bool) -> Tensor:
    """Return int64 [S]."""
    if not is_restarted:
        return torch.arange(sentence.num_steps)
    return torch.cat(
        [torch.zeros(1, dtype=torch.int64), *(torch.arange(p.symbols.shape[1]) for p in sentence.pieces)]
    )


def _insets(writing: Writing, sentences: Sequence[Sentence], starts: Sequence[int]) -> Mapping[str, Inset]:
    """Return what goes through a network of its own, by the name of the part."""
    found: dict[str, list[_Frames]] = {}
    for row, sentence in enumerate(sentences):
        for place, piece in _places(sentence):
            if piece.is_inset:
                values = piece.symbols[:, 1:].T if piece.features is None else piece.features
                frames = _Frames(row, place, values[: max(writing.network.context - place, 0)])
                found.setdefault(piece.part, []).extend([frames] if len(frames.values) else [])
    return {name: _inset(frames, starts) for name, frames in found.items() if frames}


def _inset(frames: Sequence[_Frames], starts: Sequence[int]) -> Inset:
    lengths = torch.tensor([len(each.values) for each in frames])
    return Inset(
        values=pad_sequence([each.values for each in frames], batch_first=True),
        is_there=torch.arange(int(lengths.max())) < lengths[:, None],
        steps=torch.cat([each.steps(starts) for each in frames]),
    )
