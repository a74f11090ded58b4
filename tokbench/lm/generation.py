"""One stage of what is generated, for several requests at once.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from tokbench.errors import UsageError
from tokbench.lm.crops import chunked
from tokbench.lm.decoding import Written, write
from tokbench.lm.examples import Example, deduplicated, frame_rate_hz
from tokbench.lm.filling import fill, regress
from tokbench.lm.layouts import ABSENT
from tokbench.lm.network import StageNetwork
from tokbench.lm.writers import Order
from tokbench.models.frame_rates import num_within
from tokbench.specs.lm import LmSpec, Next, Part, Regression, Sampling
from tokbench.specs.lm_streams import CodeSource

__all__ = ["Generation", "LengthError", "Task", "takes_length"]

_CHUNKS_AT_ONCE = 32


class LengthError(UsageError):
    """An output that nothing says the length of, the model included."""

    def __init__(self, spec: str, stream: str) -> None:
        super().__init__(f"{spec} cannot tell how long {stream!r} is to be: ask for a duration (--seconds)")


def takes_length(spec: LmSpec, form: str) -> bool:
    """Say whether a duration tells how long any output of ``form`` is: not of runs, nor of what another tells."""
    for stage in spec.stages.values():
        for part in map(stage.part, stage.forms[form].outputs if form in stage.forms else ()):
            source, others = spec.stream(part.stream), [spec.stream(stage.part(each).stream) for each in part.plus]
            is_in_time = isinstance(source, CodeSource) and frame_rate_hz(source) is not None
            if is_in_time and not part.deduplicated and not any(map(frame_rate_hz, others)):
                return True
    return False


@dataclass
class Task:
    """A request on its way through the stages."""

    form: str
    streams: dict[str, Tensor]
    """Inputs."""
    begun: dict[str, Tensor]
    """Beginnings of outputs, runs of units where those come out."""
    duration_s: float | None
    """Of what comes after them; None where the model says when it ends."""
    generator: torch.Generator
    """Of all that is drawn for it."""
    longest_s: float = math.inf
    """Of what comes after what is begun, where the model says when it ends."""
    made: dict[str, Tensor] = field(default_factory=dict)
    """Outputs so far: symbols int64 [K, F] of the first codebooks, or features float32 [F, D]."""
    is_ended: dict[str, bool] = field(default_factory=dict)

    def num_begun(self, stream: str) -> int:
        """Return the frames, or runs, of ``stream`` that were given."""
        if stream not in self.begun:
            return 0
        values = self.begun[stream]
        return values.shape[0 if values.is_floating_point() else 1]


@dataclass(frozen=True)
class _Chunk:
    """A piece of an output that is written by itself."""

    example: Example
    orders: Mapping[str, Order]
    generator: torch.Generator


class Generation:
    """The part of a network in it; ``on_share`` hears the share of it that is done, 0 .. 1."""

    def __init__(
        self, network: StageNetwork, sampling: Sampling, on_share: Callable[[float], None] | None = None
    ) -> None:
        self.network, self.writing, self.sampling = network, network.writing, sampling
        self.on_share = on_share

    def run(self, tasks: Sequence[Task]) -> None:
        """Generate what this stage adds to ``tasks``, which are of one form."""
        examples = [Example({**task.streams, **task.made}, task.form) for task in tasks]
        if isinstance(self.network.objective, Next):
            self._write(tasks, examples)
        elif isinstance(self.network.objective, Regression):
            ((_, part),) = self.writing.stage.outputs.items()
            num_frames = [self._num_frames(part, task) for task in tasks]
            for task, values in zip(tasks, regress(self.network, examples, num_frames), strict=True):
                task.made[part.stream] = values
        else:
            self._fill(tasks, examples)

    def _write(self, tasks: Sequence[Task], examples: Sequence[Example]) -> None:
        form = self.writing.form(tasks[0].form)
        parts = {name: self.writing.stage.part(name) for name in form.outputs}
        orders = [{name: self._order(part, task) for name, part in parts.items()} for task in tasks]
        generators = [task.generator for task in tasks]
        if self.writing.stage.chunk_s is not None:
            ((name, part),) = parts.items()
            chunks = [
                self._chunks(name, part, example, order[name], task.generator)
                for task, example, order in zip(tasks, examples, orders, strict=True)
            ]
            found_chunks = iter(self._in_turn([chunk for some in chunks for chunk in some]))
            for task, order, some in zip(tasks, orders, chunks, strict=True):
                codes = [each.streams[name] for each in islice(found_chunks, len(some))]
                # Where the stage before wrote no whole frame, there is no chunk.
                self._keep(task, part, torch.cat([order[name].begun[:, :0], *codes], dim=1))
            return
        written = self._written(examples, orders, generators)
        for task, found in zip(tasks, written, strict=True):
            for name, part in parts.items():
                self._keep(task, part, found.streams[name])
                task.is_ended[part.stream] = found.is_ended[name]

    def _written(
        self,
        examples: Sequence[Example],
        orders: Sequence[Mapping[str, Order]],
        generators: Sequence[torch.Generator],
    ) -> list[Written]:
        return write(
            self.network,
            examples,
            orders,
            sampling=self.sampling,
            generators=generators,
            on_share=self.on_share,
        )

    def _in_turn(self, chunks: Sequence["_Chunk"]) -> Iterator[Written]:
        """Write all ``chunks``, of which each has memory for all that it has read, some at a time."""
        for first in range(0, len(chunks), _CHUNKS_AT_ONCE):
            some = chunks[first : first + _CHUNKS_AT_ONCE]
            yield from self._written(
                [chunk.example for chunk in some],
                [chunk.orders for chunk in some],
                [chunk.generator for chunk in some],
            )

    def _chunks(
        self, name: str, part: Part, example: Example, order: Order, generator: torch.Generator
    ) -> list["_Chunk"]:
        """Return the pieces in which an output is written whose length is known."""
        if not order.is_known or frame_rate_hz(self.writing.spec.stream(part.stream)) is None:
            raise LengthError(self.writing.spec.name, part.stream)
        chunks = []
        for frames, cut in chunked(self.writing, example, order.num_frames):
            seed = int(torch.randint(2**62, (), generator=generator))
            own = Order(order.begun[:, frames], frames.stop - frames.start, is_known=True)
            chunks.append(_Chunk(cut, {name: own}, torch.Generator().manual_seed(seed)))
        return chunks

    def _keep(self, task: Task, part: Part, codes: Tensor) -> None:
        """Put ``codes`` below those of the codebooks before."""
        above = task.made[part.stream][: part.first] if part.first else codes[:0]
        task.made[part.stream] = torch.cat([above[:, : codes.shape[1]], codes])

    def _begun(self, part: Part, task: Task) -> Tensor:
        if part.stream not in task.begun:
            return torch.zeros(self.writing.vocabulary.num_rows(part), 0, dtype=torch.int64)
        codes = task.begun[part.stream][part.first : part.end]
        return deduplicated(codes) if part.deduplicated else codes

    def _order(self, part: Part, task: Task) -> Order:
        begun = self._begun(part, task)
        num_frames = self._known_frames(part, task)
        if num_frames is not None:
            return Order(begun, num_frames, is_known=True)
        rate_hz = frame_rate_hz(self.writing.spec.stream(part.stream))
        longest_s = min(self.sampling.max_s, task.longest_s)
        more = self.sampling.max_symbols if rate_hz is None else int(longest_s * rate_hz)
        if not part.ended:
            raise LengthError(self.writing.spec.name, part.stream)
        # Of sound there is at least a frame: no sound at all could be neither heard nor compared.
        least = begun.shape[1] + (0 if rate_hz is None else 1)
        return Order(begun, begun.shape[1] + more, is_known=False, num_least=least)

    def _known_frames(self, part: Part, task: Task) -> int | None:
        """Return the frames of an output, those that are begun included, if something says how many they are."""
        if part.first and part.stream in task.made:
            return task.made[part.stream].shape[1]
        spec = self.writing.spec
        rate_hz = None if part.deduplicated else frame_rate_hz(spec.stream(part.stream))
        if rate_hz is None:
            return None
        for name in (self.writing.stage.part(each).stream for each in part.plus):
            values, other_hz = {**task.streams, **task.made}[name], frame_rate_hz(spec.stream(name))
            if other_hz is not None:
                return num_within(values.shape[1], other_hz, rate_hz)
        if task.duration_s is None or not isinstance(spec.stream(part.stream), CodeSource):
            return None
        return task.num_begun(part.stream) + max(round(task.duration_s * rate_hz), 1)

    def _num_frames(self, part: Part, task: Task) -> int:
        num_frames = self._known_frames(part, task)
        if num_frames is None:
            raise LengthError(self.writing.spec.name, part.stream)
        return num_frames

    def _fill(self, tasks: Sequence[Task], examples: Sequence[Example]) -> None:
        ((_, part),) = self.writing.stage.outputs.items()
        num_rows = self.writing.vocabulary.num_rows(part)
        codes, num_begun = [], []
        for task in tasks:
            known = task.made.get(part.stream)
            num_frames = self._num_frames(part, task) if known is None else known.shape[1]
            whole = torch.full((num_rows, num_frames), ABSENT)
            if known is not None:
                above = known[part.first : part.end]
                whole[: len(above)] = above
            begun = self._begun(part, task)[:, :num_frames]
            whole[:, : begun.shape[1]] = begun
            codes.append(whole)
            num_begun.append(begun.shape[1])
        generators = [task.generator for task in tasks]
        filled = fill(
            self.network,
            examples,
            codes,
            num_begun=num_begun,
            sampling=self.sampling,
            generators=generators,
            on_share=self.on_share,
        )
        for task, found in zip(tasks, filled, strict=True):
            self._keep(task, part, found)
