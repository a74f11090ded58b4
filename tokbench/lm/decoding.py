"""Writing from left to right: the next step by all steps before it, each of which is read once.

Axes: ``B`` batch, ``S`` steps, ``R`` symbols of a step, ``V`` symbols.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokbench.errors import TokbenchError
from tokbench.lm.examples import Example
from tokbench.lm.network import Hidden, StageNetwork, Step
from tokbench.lm.sampling import chosen, guided
from tokbench.lm.sentences import ContextError, Piece, Sentence, Sentences, Writing, collate
from tokbench.lm.vocabulary import ENDED, NOTHING, Block
from tokbench.lm.writers import EdgeOutput, Order, Output, Writer
from tokbench.models.lm_transformer import LmPast
from tokbench.specs.lm import Sampling

__all__ = ["Written", "droppable", "write"]


@dataclass(frozen=True)
class Written:
    """What came out of an example."""

    streams: Mapping[str, Tensor]
    """int64 [K, F] by the name of the part."""
    is_ended: Mapping[str, bool]
    """Whether all is there, up to where the model said that it ends or to the length that was asked for."""


@torch.inference_mode()
def write(
    network: StageNetwork,
    examples: Sequence[Example],
    orders: Sequence[Mapping[str, Order]],
    *,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    on_share: Callable[[float], None] | None = None,
) -> list[Written]:
    """Return the outputs of ``examples``, of each of which ``orders`` tells by name what is asked for.

    ``on_share`` hears the share of the work that is done, 0 .. 1, where that ends at the latest.
    Raises :class:`ContextError` for a prompt that is longer than the context, or a known length that does not fit.
    """
    desk, on_share = _Desk(network, examples, orders, sampling), on_share or _unheard
    if sampling.beam > 1:
        found = []
        for index in range(len(examples)):
            found.append(desk.search(index))
            on_share(len(found) / len(examples))
        return found
    desk.sample(generators, on_share)
    return [_written(writer) for writer in desk.writers]


def _unheard(_share: float) -> None:
    """Tell nobody."""


def _written(writer: Writer) -> Written:
    return Written(
        {output.name: output.written() for output in writer.outputs},
        {output.name: output.is_ended for output in writer.outputs},
    )


def droppable(writing: Writing, form_name: str) -> list[str]:
    """Return the inputs of a form that are sometimes left empty in training, or else all of them."""
    inputs = writing.form(form_name).inputs
    return [name for name in inputs if writing.stage.part(name).dropped > 0] or list(inputs)


@dataclass(frozen=True)
class _Opening:
    """What is read of an example before anything is drawn."""

    writer: Writer
    sentence: Sentence
    null: Sentence
    """The same without the inputs that guidance leads away from."""
    room: int
    """Steps that may be read after it: as many with any other examples beside it."""
    lead: int
    """By how much its positions are ahead of those of ``null``."""


class _Desk:
    """Where several examples are written at once."""

    def __init__(
        self,
        network: StageNetwork,
        examples: Sequence[Example],
        orders: Sequence[Mapping[str, Order]],
        sampling: Sampling,
    ) -> None:
        self.network, self.writing, self.sampling = network, network.writing, sampling
        self.device = network.embedding.weight.device
        self.is_guided = sampling.guidance != 1
        self.openings = [self._begin(example, order) for example, order in zip(examples, orders, strict=True)]
        self.writers = [opening.writer for opening in self.openings]

    def _begin(self, example: Example, orders: Mapping[str, Order]) -> _Opening:
        writing, name = self.writing, self.writing.form_name(example)
        form = writing.form(name)
        inputs = list(writing.inputs(example, form))
        before = writing.split(writing.sentence(name, inputs))[0].num_steps
        position = 0 if writing.network.restarted else before
        outputs = [
            (EdgeOutput if writing.stage.part(output).edges else Output)(writing, output, orders[output])
            for output in form.outputs
        ]
        writer = Writer(writing, example, outputs, position=position)
        first = form.outputs[0]
        start = torch.full((writing.num_rows, 1), NOTHING)
        start[:: writing.num_rows // writing.network.towers] = writing.vocabulary.start(first)
        known = Piece(first, torch.cat([start, writer.known_steps()], dim=1))
        sentence = writing.sentence(name, inputs, [known])
        empty = list(writing.inputs(example, form, droppable(writing, name))) if self.is_guided else inputs
        null = writing.sentence(name, empty, [known])
        room = self._room(sentence, writer)
        lead = 0 if writing.network.restarted else self._num_steps(sentence) - self._num_steps(null)
        return _Opening(writer, sentence, null, room, lead)

    def _num_steps(self, sentence: Sentence) -> int:
        return self.writing.split(sentence)[0].num_steps

    def _room(self, sentence: Sentence, writer: Writer) -> int:
        context, num_steps = self.network.spec.context, self._num_steps(sentence)
        known = [output for output in writer.outputs if output.order.is_known]
        needed = num_steps + sum(output.num_steps - output.step for output in known)
        if num_steps >= context or needed > context:
            raise ContextError(self.writing.spec.name, num_steps=needed, context=context)
        return context - num_steps

    def _opened(self, sentences: Sequence[Sentence], num_left: int) -> tuple[LmPast, Step]:
        """Read ``sentences`` before ``num_left`` steps at most; return the past, and what predicts the next."""
        batch = collate(self.writing, sentences, is_right_aligned=True).to(self.device)
        past = self.network.begin(len(sentences), batch.symbols.shape[1] + num_left)
        return past, self.network(batch, past).last()

    def _read(self, past: LmPast, columns: Tensor, positions: Tensor) -> Step:
        """Read one more step, symbols int64 [B, R] at positions int64 [B]; return what predicts the next."""
        batch_size = len(columns)
        sentences = Sentences(
            symbols=columns[:, None],
            targets=torch.zeros_like(columns[:, None]),
            positions=positions[:, None],
            is_there=torch.ones(batch_size, 1, dtype=torch.bool),
            num_open=torch.zeros(batch_size, dtype=torch.int64),
            insets={},
        )
        hidden: Hidden = self.network(sentences.to(self.device), past)
        return hidden.last()

    def sample(self, generators: Sequence[torch.Generator], on_share: Callable[[float], None]) -> None:
        """Write all examples, drawing what is not known."""
        if not self.openings:
            return
        sentences = [opening.sentence for opening in self.openings]
        sentences += [opening.null for opening in self.openings] if self.is_guided else []
        num_left = max(min(opening.writer.num_left, opening.room) for opening in self.openings)
        past, following = self._opened(sentences, num_left)
        for step in itertools.count():
            self._decide(following, generators)
            on_share(min(step / max(num_left, 1), 1.0))
            columns = torch.stack([writer.next_column() for writer in self.writers])
            for opening in self.openings:
                if step == opening.room:
                    opening.writer.stop()
            if all(writer.is_done for writer in self.writers):
                break
            following = self._read_on(past, columns)

    def _read_on(self, past: LmPast, columns: Tensor) -> Step:
        """Read the step that each writer has gone on to, int64 [B, R]: with guidance, without inputs as well."""
        # What is done reads nothing, wherever that stands.
        places = [(0, 0) if each.writer.is_done else (each.writer.position, each.lead) for each in self.openings]
        positions = [position for position, _ in places]
        if self.is_guided:
            columns = columns.repeat(2, 1)
            positions += [position - lead for position, lead in places]
        return self._read(past, columns, torch.tensor(positions))

    def _decide(self, following: Step, generators: Sequence[torch.Generator]) -> None:
        """Decide on the codes of the step of each writer."""
        symbols = torch.full((len(self.writers), self.writing.num_rows), NOTHING)
        orders = [writer.output.rows() if writer.is_deciding else [] for writer in self.writers]
        for rows in itertools.zip_longest(*orders):
            waiting: dict[tuple[int, Block], list[int]] = {}
            for index, row in enumerate(rows):
                if row is not None and not self._put_known(index, row, symbols):
                    waiting.setdefault((row, self._block(index, row)), []).append(index)
            for (row, block), indices in waiting.items():
                logits = self._logits(following.features(row, symbols), block)[indices]
                for line, index in zip(logits, indices, strict=True):
                    self._ban(line, block, index, row)
                found = chosen(logits, self.sampling, row, [generators[index] for index in indices])
                symbols[indices, row] = found + block.start
                for index, code in zip(indices, (found + block.start - block.first).tolist(), strict=True):
                    self.writers[index].output.put(row, ENDED if code < 0 else code)

    def _put_known(self, index: int, row: int, symbols: Tensor) -> bool:
        output = self.writers[index].output
        code = output.known(row)
        if code is not None:
            output.put(row, code, is_drawn=False)
            symbols[index, row] = self._block(index, row).symbol(code)
        return code is not None

    def _block(self, index: int, row: int) -> Block:
        return self.writing.vocabulary.blocks(self.writers[index].output.part)[row]

    def _logits(self, features: Tensor, block: Block) -> Tensor:
        """Return [B, V] on the processor, of the features of all examples."""
        logits = self.network.logits(features, block).float().cpu()
        if self.is_guided:
            with_inputs, without = logits.chunk(2)
            return guided(with_inputs, without, self.sampling.guidance)
        return logits

    def _ban(self, logits: Tensor, block: Block, index: int, row: int) -> None:
        output = self.writers[index].output
        if block.has_end and not output.may_end(row):
            logits[0] = -torch.inf
        for code in output.banned(row):
            logits[code + block.first - block.start] = -torch.inf

    def search(self, index: int) -> Written:
        """Return the likeliest output that is found with several beginnings side by side: of one codebook."""
        opening = self.openings[index]
        writer, output, order = opening.writer, opening.writer.output, opening.writer.output.order
        if len(writer.outputs) > 1 or output.num_rows > 1 or self.is_guided:
            msg = "a beam is for one output of one codebook, without guidance: ask for beam = 1"
            raise TokbenchError(msg)
        (block,) = self.writing.vocabulary.blocks(output.part)
        past, following = self._opened([opening.sentence], min(output.num_steps, opening.room))
        columns = torch.full((1, self.writing.num_rows), NOTHING)
        beam = _Beam(self.sampling.beam, has_end=block.has_end)
        num_new = min(order.num_frames - output.num_begun, opening.room + 1)
        for step in range(num_new):
            logits = self._logits(following.features(0, columns), block).log_softmax(dim=-1)
            may_end = not order.is_known and output.num_begun + step >= order.num_least
            parents, places = beam.grow(logits, may_end=may_end)
            if beam.is_done or step == num_new - 1:
                break
            past.choose_(parents.to(self.device))
            columns = writer.columns(output.part, places[None] + block.start - block.first)
            following = self._read(past, columns, torch.full((len(places),), writer.position + 1 + step))
        found_places, is_ended = beam.best()
        codes = torch.tensor([found_places], dtype=torch.int64) + block.start - block.first
        found = torch.cat([order.begun, codes], dim=1)
        return Written({output.name: found}, {output.name: is_ended or order.is_known})


class _Beam:
    """Beginnings side by side, the likeliest that were found, and those that have ended."""

    def __init__(self, width: int, *, has_end: bool) -> None:
        self._width, self._has_end = width, has_end
        self._alive: list[tuple[float, list[int]]] = [(0.0, [])]
        """The log probability of each, and its places among the symbols of the codebook."""
        self._ended: list[tuple[float, list[int]]] = []
        """Those with the log probability per symbol, the end included."""

    @property
    def is_done(self) -> bool:
        """Whether as many have ended as are kept, and the best of them is at least as good as all that have not.

        Endings that come too early are among the likeliest, too, where one beginning is nearly certain.
        """
        if len(self._ended) < self._width:
            return False
        alive = [score / len(places) for score, places in self._alive]
        return max(alive, default=-math.inf) <= max(score for score, _ in self._ended)

    def grow(self, log_probabilities: Tensor, *, may_end: bool = True) -> tuple[Tensor, Tensor]:
        """Go on by a symbol, by [N, V] of each; return the parent and the last place of each, int64 [N']."""
        if self._has_end and not may_end:
            log_probabilities = log_probabilities.index_fill(1, torch.tensor([0]), -torch.inf)
        before = torch.tensor([score for score, _ in self._alive])[:, None]
        scores = (before + log_probabilities).flatten()
        best = scores.topk(min(2 * self._width, len(scores)))
        grown: list[tuple[float, list[int]]] = []
        parents: list[int] = []
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if score == -math.inf:
                break
            parent, place = divmod(index, log_probabilities.shape[1])
            places = [*self._alive[parent][1], place]
            if self._has_end and place == 0:
                self._ended.append((score / len(places), places[:-1]))
            elif len(grown) < self._width:
                grown.append((score, places))
                parents.append(parent)
        self._alive = grown
        return torch.tensor(parents), torch.tensor([places[-1] for _, places in grown])

    def best(self) -> tuple[list[int], bool]:
        """Return the places of the best one, and whether it has ended: any that has is better than all others."""
        if self._ended:
            return max(self._ended, key=lambda each: each[0])[1], True
        return max(self._alive, key=lambda each: each[0])[1], False
