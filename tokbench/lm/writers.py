"""An example that is being written, step by step: what its next step needs, and what has been decided.

Axes: ``K`` codebooks, ``F`` frames, ``R`` symbols of a step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from tokbench.lm.examples import Example
from tokbench.lm.layouts import ABSENT, frame_table, with_end
from tokbench.lm.sentences import Writing
from tokbench.lm.vocabulary import ENDED, NOTHING
from tokbench.specs.lm import Part

__all__ = ["EdgeOutput", "Order", "Output", "Writer"]


@dataclass(frozen=True)
class Order:
    """What is asked for of an output."""

    begun: Tensor
    """int64 [K, F], its beginning, of any number of frames."""
    num_frames: int
    """Frames of the whole, exactly or at most."""
    is_known: bool
    """Whether it is exactly that many; if not, the model says when it ends."""
    num_least: int = 0
    """Frames of the whole, at least, before the model may say that it ends."""


class Output:
    """The codes of an output while they are written, in arrays: cell by cell, these cost far less than tensors."""

    def __init__(self, writing: Writing, name: str, order: Order) -> None:
        self.name, self.part = name, writing.stage.part(name)
        self.num_rows, self.order, begun = len(order.begun), order, order.begun
        self.step = 0
        self.num_frames = order.num_frames if order.is_known else None
        """None until the end is known."""
        self.codes = np.full((self.num_rows, max(order.num_frames, begun.shape[1]) + 1), ABSENT)
        self.codes[:, : begun.shape[1]] = begun.numpy()
        self.num_begun = begun.shape[1]
        self.column = np.full(self.num_rows, ABSENT)
        """What has been decided of this step."""
        self._table = self._laid_out()

    def _laid_out(self) -> np.ndarray:
        # What says that all is over stands there where the length is known, too: it was there in training.
        is_ended = self.part.ended or self.num_frames is None
        laid_out = with_end if is_ended else frame_table
        return laid_out(self.part.layout, self.num_rows, self.order.num_frames).numpy()

    @property
    def num_steps(self) -> int:
        """Steps, at most."""
        return int(self._table.shape[1])

    @property
    def is_done(self) -> bool:
        """Whether all is written."""
        return self.step >= self.num_steps

    @property
    def is_ended(self) -> bool:
        """Whether all is written, up to where the model said that it ends or to the length that was known."""
        return self.num_frames is not None and self.is_done

    def row_order(self) -> Sequence[int]:
        """Return all rows in the order in which they are decided."""
        return range(self.num_rows)

    def rows(self) -> list[int | None]:
        """Return the rows in their order, None in the place of one that has no code at this step."""
        frames = self._table[:, self.step].tolist()
        return [None if frames[row] == ABSENT else row for row in self.row_order()]

    def known(self, row: int) -> int | None:
        """Return the code of ``row`` at this step, if it need not be drawn."""
        frame = int(self._table[row, self.step])
        if frame < self.num_begun:
            return int(self.codes[row, frame])
        # As long as it is to be, or as long as it may be: nothing is left but to end.
        return ENDED if frame == self.order.num_frames else None

    def banned(self, row: int) -> Sequence[int]:
        """Return codes of ``row`` that cannot be drawn at this step."""
        del row
        return ()

    def may_end(self, row: int) -> bool:
        """Say whether the end may be drawn for ``row``."""
        return row == 0 and self.num_frames is None and int(self._table[row, self.step]) >= self.order.num_least

    def put(self, row: int, code: int, *, is_drawn: bool = True) -> None:
        """Decide on the code of ``row`` at this step."""
        self.column[row] = code
        frame = int(self._table[row, self.step])
        if code != ENDED:
            self.codes[row, frame] = code
        elif is_drawn:
            self.num_frames = frame

    def finish_step(self) -> Tensor:
        """Return the codes int64 [K] of this step, and go on to the next."""
        column = self.column
        if ENDED in column:
            self._end()
        self.step += 1
        self.column = np.full_like(column, ABSENT)
        return torch.from_numpy(column)

    def _end(self) -> None:
        """Lay out what is left, now that the number of frames is known."""
        num_frames = int(self._table[0, self.step])
        self._table = with_end(self.part.layout, self.num_rows, num_frames).numpy()

    def written(self) -> Tensor:
        """Return the codes int64 [K, F] of the frames that are complete."""
        if self.is_done and self.num_frames is not None:
            return torch.from_numpy(self.codes[:, : self.num_frames])
        per_row = (self._table[:, : self.step] != ABSENT).sum(axis=1)
        return torch.from_numpy(self.codes[:, : min(int(per_row.min()), self.order.num_frames)])


class EdgeOutput(Output):
    """Channels of a code and its duration, which is drawn a step later: the code then stays for as long (dGSLM)."""

    def __init__(self, writing: Writing, name: str, order: Order) -> None:
        super().__init__(writing, name, order)
        self._per_channel = self.num_rows // writing.num_channels(self.part)
        self._ends = [order.begun.shape[1]] * (self.num_rows // self._per_channel)
        """Of each channel, the frame before which its code stays."""

    def row_order(self) -> Sequence[int]:
        """Return durations before codes: they say whether a code is to be drawn at all."""
        return sorted(super().row_order(), key=lambda row: row % self._per_channel == 0)

    def known(self, row: int) -> int | None:
        """Return the code before it where that stays, and nothing for the duration of what is not new."""
        code = super().known(row)
        frame, channel = int(self._table[row, self.step]), row // self._per_channel
        first = channel * self._per_channel
        if code is not None or frame < self.num_begun:
            return code
        if row == first:
            return int(self.codes[row, frame - 1]) if 0 < frame < self._ends[channel] else None
        is_new = frame == 0 or self.codes[first, frame] != self.codes[first, frame - 1]
        return None if is_new else ABSENT

    def banned(self, row: int) -> Sequence[int]:
        """Return the code before: what is drawn is new."""
        frame = int(self._table[row, self.step])
        return [int(self.codes[row, frame - 1])] if row % self._per_channel == 0 and frame > 0 else ()

    def put(self, row: int, code: int, *, is_drawn: bool = True) -> None:
        """Decide on a code, or on how long one stays."""
        super().put(row, code, is_drawn=is_drawn)
        frame, (channel, place) = int(self._table[row, self.step]), divmod(row, self._per_channel)
        if place == 1 and code >= 0 and frame >= self.num_begun:
            self._ends[channel] = frame + code + 1


class Writer:
    """The outputs of an example, one after another."""

    def __init__(self, writing: Writing, example: Example, outputs: Sequence[Output], *, position: int) -> None:
        self._writing, self._example = writing, example
        self.outputs, self._index = list(outputs), 0
        self.position = position
        """Of the last step that was read."""
        self._wants_start = False

    @property
    def output(self) -> Output:
        """The one that is being written."""
        return self.outputs[self._index]

    @property
    def is_done(self) -> bool:
        """Whether all outputs are written."""
        return self._index == len(self.outputs)

    @property
    def is_deciding(self) -> bool:
        """Whether a code is to be decided on, by what the network made of the last step."""
        return not self.is_done and not self._wants_start

    @property
    def num_left(self) -> int:
        """Steps that are still to be read, at most."""
        return sum(output.num_steps + 1 for output in self.outputs[self._index :])

    def known_steps(self) -> Tensor:
        """Write down the steps of the first output that are known before anything is predicted: int64 [R, S]."""
        return torch.stack([*self._known_steps()], dim=1) if self._has_known() else self._none()

    def _none(self) -> Tensor:
        return torch.full((self._writing.num_rows, 0), NOTHING)

    def _has_known(self) -> bool:
        if not self.is_deciding:
            return False
        output = self.output
        return not output.is_done and all(output.known(row) not in {None, ENDED} for row in self._rows())

    def _known_steps(self) -> Iterator[Tensor]:
        while self._has_known():
            for row in self._rows():
                code = self.output.known(row)
                self.output.put(row, ABSENT if code is None else code, is_drawn=False)
            yield self.next_column()

    def _rows(self) -> list[int]:
        return [row for row in self.output.rows() if row is not None]

    def stop(self) -> None:
        """Write nothing more, whatever is left."""
        self._index = len(self.outputs)

    def next_column(self) -> Tensor:
        """Return the symbols int64 [R] of the step that was decided on, or that begins an output; go on to it.

        Where nothing is left to be written, there are none, and the position stays.
        """
        column = torch.full((self._writing.num_rows,), NOTHING)
        if self.is_done:
            return column
        self.position += 1
        if self._wants_start:
            self._wants_start = False
            column[0] = self._writing.vocabulary.start(self.output.name)
            self.position = 0 if self._writing.network.restarted else self.position
            return column
        output = self.output
        column = self.columns(output.part, output.finish_step()[:, None])[0]
        if output.is_done:
            self._index, self._wants_start = self._index + 1, True
        return column

    def columns(self, part: Part, codes: Tensor) -> Tensor:
        """Return int64 [N, R], the symbols of a step with each of ``codes`` int64 [K, N] of the output ``part``."""
        plus = [self._writing.added(part, name, codes.shape[1], self._example) for name in part.plus]
        symbols = torch.cat([self._writing.vocabulary.symbols(part, codes), *plus])
        return pad(symbols, (0, 0, 0, self._writing.num_rows - len(symbols)), value=NOTHING).T
