"""Pieces of examples that are longer than a stage learns from at a time.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tokbench.lm.examples import Example, frame_rate_hz
from tokbench.lm.sentences import Writing
from tokbench.specs.lm import Form, LmSpec, Part, Stage
from tokbench.specs.lm_streams import FeatureSource, LabelSource

__all__ = ["bound", "chunked", "cropped", "kept_whole", "narrowed", "shortened", "with_short_inputs"]


def cropped(writing: Writing, form_name: str, example: Example) -> Example:
    """Return a piece of ``example``, drawn at random, in which all that lasts as long as its outputs is cut alike.

    It is no longer than the stage learns from at a time, and fits the context. An input with a longest length of
    its own is cut to that, and one that tells of any piece stays as it is. Where another input has no time (text,
    for one), nothing can be left out of an output, and the example stays whole.
    """
    spec, seconds = writing.spec, writing.stage.crop_s or writing.spec.training.crop_s
    example = with_short_inputs(writing, form_name, example)
    rates = _rates(writing, writing.stage.forms[form_name])
    timed = {name: rate for name, rate in rates.items() if rate is not None}
    durations_s = [example.streams[name].shape[_axis(spec, name)] / rate for name, rate in timed.items()]
    if len(timed) == len(rates) and durations_s and _are_alike(durations_s, timed):
        slowest_hz = min(timed.values())
        return _drawn(writing, _Timed(spec, example, timed), max(int(seconds * slowest_hz), 1))
    if len(rates) == 1:
        return _drawn(writing, _Frames(spec, example, next(iter(rates))), writing.network.context - 2)
    return example


def kept_whole(writing: Writing, form_name: str, lengths: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return bool [N], the examples of which :func:`cropped` leaves nothing out.

    ``lengths`` int64 [N] are the frames of each stream of each example.
    """
    rates = _rates(writing, writing.stage.forms[form_name])
    num = len(next(iter(lengths.values())))
    if len(rates) == 1:
        return np.zeros(num, dtype=bool)
    timed = {name: rate for name, rate in rates.items() if rate is not None}
    if len(timed) < len(rates) or not timed:
        return np.ones(num, dtype=bool)
    durations_s = np.stack([lengths[name] / rate for name, rate in timed.items()])
    return np.array([not _are_alike(each, timed) for each in durations_s.T])


def _rates(writing: Writing, form: Form) -> dict[str, float | None]:
    """Return the frame rate of each stream that is cut, or kept whole, with the others."""
    streams = writing.spec.streams
    names = [name for name in bound(writing.stage, form) if not isinstance(streams[name], LabelSource)]
    return {name: frame_rate_hz(writing.spec.stream(name)) for name in names}


def bound(stage: Stage, form: Form) -> list[str]:
    """Return the streams of ``form`` that are cut alike: all but inputs that are cut on their own."""
    parts = [stage.part(name) for name in (*form.inputs, *form.outputs)]
    bound = [part for part in parts if part.longest_s is None and not part.of_any_piece]
    return [*dict.fromkeys(each.stream for part in bound for each in (part, *map(stage.part, part.plus)))]


def with_short_inputs(writing: Writing, form_name: str, example: Example) -> Example:
    """Return ``example`` with the inputs cut that have a longest length of their own, each anywhere."""
    short, streams = {}, example.streams
    for part in map(writing.stage.part, writing.stage.forms[form_name].inputs):
        if part.longest_s is not None and part.stream in streams:
            short[part.stream] = shortened(writing.spec, part, streams[part.stream], float(torch.rand(())))
    return replace(example, streams={**streams, **short})


def shortened(spec: LmSpec, part: Part, values: Tensor, position: float = 0.0) -> Tensor:
    """Return as many frames of ``values`` as ``part`` takes, from ``position``, 0 .. 1, of all that fits.

    ``values`` and what is returned are [F, D] of features, and else [K, F].
    """
    rate_hz = frame_rate_hz(spec.stream(part.stream))
    if part.longest_s is None or rate_hz is None:
        return values
    axis = _axis(spec, part.stream)
    length = max(int(part.longest_s * rate_hz), 1)
    start = int(position * max(values.shape[axis] - length + 1, 1))
    return values.narrow(axis, start, min(length, values.shape[axis] - start))


def _axis(spec: LmSpec, name: str) -> int:
    return 0 if isinstance(spec.stream(name), FeatureSource) else 1


def _are_alike(durations_s: Sequence[float], rates: Mapping[str, float]) -> bool:
    """Say whether all streams last as long, to a frame of the slowest."""
    return bool(max(durations_s) - min(durations_s) <= 1.5 / min(rates.values()))


class _Whole(Protocol):
    """What a piece is cut out of."""

    example: Example
    num_frames: int

    def piece(self, start: int, length: int) -> Example:
        """Return ``length`` of its frames, from ``start`` on."""


def _drawn(writing: Writing, whole: _Whole, longest: int) -> Example:
    """Return a piece of ``whole`` of at most ``longest`` frames that fits the context, if any does."""
    context = writing.network.context
    piece, length = whole.example, whole.num_frames
    if length > longest:
        length = longest
        piece = whole.piece(_drawn_start(whole, length), length)
    while (num_steps := writing.num_steps(piece)) > context and length > 1:
        length = max(min(length - 1, length * context // num_steps), 1)
        piece = whole.piece(_drawn_start(whole, length), length)
    return piece


def _drawn_start(whole: _Whole, length: int) -> int:
    return int(torch.randint(whole.num_frames - length + 1, ()))


class _Timed:
    """Streams that last as long, cut in frames of the slowest."""

    def __init__(self, spec: LmSpec, example: Example, rates: Mapping[str, float]) -> None:
        self.example, self._spec, self._rates, self._slowest_hz = example, spec, rates, min(rates.values())
        self.num_frames = min(
            int(example.streams[name].shape[_axis(spec, name)] * self._slowest_hz / rate)
            for name, rate in rates.items()
        )

    def piece(self, start: int, length: int) -> Example:
        first_s, duration_s = start / self._slowest_hz, length / self._slowest_hz
        pieces = narrowed(self._spec, self.example.streams, self._rates, first_s, duration_s)
        return replace(
            self.example,
            streams={**self.example.streams, **pieces},
            is_ended=self.example.is_ended and start + length == self.num_frames,
            duration_s=min(duration_s, self.example.duration_s),
        )


class _Frames:
    """A stream whose frames are in no time."""

    def __init__(self, spec: LmSpec, example: Example, name: str) -> None:
        self.example, self._name, self._axis = example, name, _axis(spec, name)
        self.num_frames = example.streams[name].shape[self._axis]

    def piece(self, start: int, length: int) -> Example:
        values = self.example.streams[self._name].narrow(self._axis, start, length)
        return replace(
            self.example,
            streams={**self.example.streams, self._name: values},
            is_ended=self.example.is_ended and start + length == self.num_frames,
            duration_s=self.example.duration_s * length / self.num_frames,
        )


def chunked(writing: Writing, example: Example, num_frames: int) -> Iterator[tuple[slice, Example]]:
    """Yield which of the ``num_frames`` of its output a stage writes at a time, and the piece that they are of.

    A stage that writes all at once, or an output whose frames are in no time, is of one chunk.
    """
    spec, stage = writing.spec, writing.stage
    form = writing.form(example.form)
    own_hz = frame_rate_hz(spec.stream(stage.part(form.outputs[0]).stream))
    if own_hz is None or stage.chunk_s is None:
        yield slice(0, num_frames), example
        return
    # Runs of units are no frames any more, and stay as they are.
    runs = {part.stream for part in stage.parts.values() if part.deduplicated}
    rates = {
        name: rate
        for name in bound(stage, form)
        if name in example.streams and name not in runs and (rate := frame_rate_hz(spec.stream(name))) is not None
    }
    length = max(round(stage.chunk_s * own_hz), 1)
    for start in range(0, num_frames, length):
        end = min(start + length, num_frames)
        cut = narrowed(spec, example.streams, rates, start / own_hz, (end - start) / own_hz)
        is_ended = example.is_ended and end == num_frames
        yield slice(start, end), replace(example, streams={**example.streams, **cut}, is_ended=is_ended)


def narrowed(
    spec: LmSpec, streams: Mapping[str, Tensor], rates: Mapping[str, float], start_s: float, duration_s: float
) -> dict[str, Tensor]:
    """Return those of ``streams`` that have ``rates``, from ``start_s`` on for ``duration_s``."""
    pieces = {}
    for name, rate_hz in rates.items():
        axis, first = _axis(spec, name), round(start_s * rate_hz)
        size = min(round(duration_s * rate_hz), streams[name].shape[axis] - first)
        pieces[name] = streams[name].narrow(axis, first, size)
    return pieces
