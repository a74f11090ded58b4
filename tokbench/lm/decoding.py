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
from tokbench.lm.network import Hidden, StageNetwork
from tokbench.lm.sampling import chosen, guided
from tokbench.lm.sentences import Piece, Sentence, Sentences, Writing, collate
from tokbench.lm.vocabulary import ENDED, NOTHING, Block
from tokbench.lm.writers import EdgeOutput, Order, Output, Writer
from tokbench.models.lm_transformer import LmPast
from tokbench.specs.lm import Sampling

__all__ = ["ContextError", "Written", "droppable", "write"]


class ContextError(TokbenchError):
    """A prompt that leaves no room for what it asks for."""

    def __init__(self, spec: str, *, num_steps: int, context: int) -> None:
        super().__init__(
            f"the prompt takes {num_steps} steps of {spec}, whose context is {context}: shorten it, or ask for less"
        )


@dataclass(frozen=True)
class Written:
    """What came out of an example."""

    streams: Mapping[str, Tensor]
    """int64 [K, F] by the name of the part."""
    is_ended: Mapping[str, bool]
    """Whether the model said that it ends, or the length was asked for."""


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
        begun = [self._begin(example, order) for example, order in zip(examples, orders, strict=True)]
        self.writers = [writer for writer, _, _ in begun]
        self.sentences = [sentence for _, sentence, _ in begun]
        self.nulls = [null for _, _, null in begun] if self.is_guided else []

    def _begin(self, example: Example, orders: Mapping[str, Order]) -> tuple[Writer, Sentence, Sentence]:
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
        self._check_room(sentence, writer)
        empty = writing.inputs(example, form, droppable(writing, name)) if self.is_guided else ()
        return writer, sentence, writing.sentence(name, list(empty), [known])

    def _check_room(self, sentence: Sentence, writer: Writer) -> None:
        context, own = self.network.spec.context, self.writing.split(sentence)[0]
        known = [output for output in writer.outputs if output.order.is_known]
        needed = own.num_steps + sum(output.num_steps - output.step for output in known)
        if own.num_steps >= context or needed > context:
            raise ContextError(self.writing.spec.name, num_steps=needed, context=context)

    def _opened(self, sentences: Sequence[Sentence], num_left: int) -> tuple[LmPast, Hidden, int]:
        """Read ``sentences``; return what was read, what was made of the last step of each, and the steps left."""
        batch = collate(self.writing, sentences, is_right_aligned=True).to(self.device)
        room = self.network.spec.context - batch.symbols.shape[1]
        past = self.network.begin(len(sentences), batch.symbols.shape[1] + min(num_left, room))
        return past, self._last(self.network(batch, past)), room

    def _last(self, hidden: Hidden) -> Hidden:
        return Hidden(self.network, hidden.values[..., -1:, :])

    def _read(self, past: LmPast, columns: Tensor, positions: Tensor) -> Hidden:
        """Read one more step: symbols int64 [B, R] at positions int64 [B]."""
        batch_size = len(columns)
        sentences = Sentences(
            symbols=columns[:, None],
            targets=torch.zeros_like(columns[:, None]),
            positions=positions[:, None],
            is_there=torch.ones(batch_size, 1, dtype=torch.bool),
            num_open=torch.zeros(batch_size, dtype=torch.int64),
            insets={},
        )
        return self._last(self.network(sentences.to(self.device), past))

    def sample(self, generators: Sequence[torch.Generator], on_share: Callable[[float], None]) -> None:
        """Write all examples, drawing what is not known."""
        writers = self.writers
        if not writers:
            return
        num_left = max(writer.num_left for writer in writers)
        past, hidden, room = self._opened([*self.sentences, *self.nulls], num_left)
        times, num_steps = 2 if self.is_guided else 1, max(min(num_left, room), 1)
        for step in itertools.count():
            self._decide(hidden, generators)
            on_share(min(step / num_steps, 1.0))
            columns, positions = zip(*(writer.next_column() for writer in writers), strict=True)
            if all(writer.is_done for writer in writers) or not room:
                break
            room -= 1
            hidden = self._read(past, torch.stack(columns).repeat(times, 1), torch.tensor(positions).repeat(times))

    def _decide(self, hidden: Hidden, generators: Sequence[torch.Generator]) -> None:
        """Decide on the codes of the step of each writer."""
        columns = torch.full((len(self.writers), self.writing.num_rows), NOTHING)
        orders = [list(writer.output.rows()) if writer.is_deciding else [] for writer in self.writers]
        for place in range(max(map(len, orders), default=0)):
            waiting: dict[Block, list[tuple[int, int]]] = {}
            for index, rows in enumerate(orders):
                if place < len(rows) and not self._put_known(index, rows[place]):
                    block = self._block(index, rows[place])
                    waiting.setdefault(block, []).append((index, rows[place]))
            for block, places in waiting.items():
                self._draw(hidden, block, places, columns, generators)
            # Only a local network looks at what was decided before in the same step.
            for index, rows in enumerate(orders if self.network.local is not None else ()):
                if place < len(rows):
                    output = self.writers[index].output
                    symbols = self.writing.vocabulary.symbols(output.part, output.column[:, None])[:, 0]
                    columns[index, : len(symbols)] = symbols

    def _put_known(self, index: int, row: int) -> bool:
        output = self.writers[index].output
        code = output.known(row)
        if code is not None:
            output.put(row, code, is_drawn=False)
        return code is not None

    def _block(self, index: int, row: int) -> Block:
        return self.writing.vocabulary.blocks(self.writers[index].output.part)[row]

    def _draw(
        self,
        hidden: Hidden,
        block: Block,
        places: Sequence[tuple[int, int]],
        columns: Tensor,
        generators: Sequence[torch.Generator],
    ) -> None:
        logits = self._logits(hidden, block, places, columns)
        for line, (index, row) in zip(logits, places, strict=True):
            self._ban(line, block, index, row)
        rows = {row for _, row in places}
        for row in rows:
            own = [place for place, (_, each) in enumerate(places) if each == row]
            wanted = [places[place][0] for place in own]
            found = chosen(logits[own], self.sampling, row, [generators[index] for index in wanted])
            for index, code in zip(wanted, (found + block.start - block.first).tolist(), strict=True):
                self.writers[index].output.put(row, ENDED if code < 0 else code)

    def _logits(self, hidden: Hidden, block: Block, places: Sequence[tuple[int, int]], columns: Tensor) -> Tensor:
        """Return [N, V] on the processor, of each of ``places``: an example and a row."""
        is_chosen = torch.zeros(*columns.shape, dtype=torch.bool)
        for index, row in places:
            is_chosen[index, row] = True
        if self.is_guided:
            asked, seen = is_chosen.repeat(2, 1), columns.repeat(2, 1)
        else:
            asked, seen = is_chosen, columns
        features = hidden.features(asked[:, None].to(self.device), seen[:, None].to(self.device))
        logits = self.network.logits(features, block).float().cpu()
        if self.is_guided:
            with_inputs, without = logits.chunk(2)
            logits = guided(with_inputs, without, self.sampling.guidance)
        order = is_chosen.nonzero()[:, 0].tolist()
        return logits[[order.index(index) for index, _ in places]]

    def _ban(self, logits: Tensor, block: Block, index: int, row: int) -> None:
        output = self.writers[index].output
        if block.has_end and not output.may_end(row):
            logits[0] = -torch.inf
        for code in output.banned(row):
            logits[code + block.first - block.start] = -torch.inf

    def search(self, index: int) -> Written:
        """Return the likeliest output that is found with several beginnings side by side: of one codebook."""
        writer, width = self.writers[index], self.sampling.beam
        output = writer.output
        if len(writer.outputs) > 1 or output.num_rows > 1 or self.is_guided:
            msg = "a beam is for one output of one codebook, without guidance"
            raise TokbenchError(msg)
        (block,) = self.writing.vocabulary.blocks(output.part)
        past, hidden, room = self._opened([self.sentences[index]], output.num_steps)
        beam = _Beam(width, has_end=block.has_end, is_known=output.order.is_known)
        num_new = min(output.order.num_frames - output.num_begun, room)
        for step in range(num_new + (not output.order.is_known)):
            logits = self.network.logits(hidden.values[:, 0], block).float().log_softmax(dim=-1).cpu()
            parents, places = beam.grow(logits)
            if beam.is_done or step >= num_new - 1:
                break
            past.choose_(parents.to(self.device))
            columns = torch.full((len(places), self.writing.num_rows), NOTHING)
            columns[:, 0] = places + block.start
            hidden = self._read(past, columns, torch.full((len(places),), writer.position + 1 + step))
        found_places, is_ended = beam.best()
        codes = torch.tensor([found_places], dtype=torch.int64) + block.start - block.first
        found = torch.cat([output.codes[:, : output.num_begun], codes], dim=1)
        return Written({output.name: found}, {output.name: is_ended or output.order.is_known})


class _Beam:
    """Beginnings side by side, the likeliest that were found, and those that have ended."""

    def __init__(self, width: int, *, has_end: bool, is_known: bool) -> None:
        self._width, self._has_end, self._is_known = width, has_end, is_known
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

    def grow(self, log_probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Go on by a symbol, by [N, V] of each; return the parent and the last place of each, int64 [N']."""
        if self._has_end and self._is_known:
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
        """Return the places of the best one, and whether it has ended."""
        if self._ended:
            return max(self._ended, key=lambda each: each[0])[1], True
        return max(self._alive, key=lambda each: each[0])[1], False
