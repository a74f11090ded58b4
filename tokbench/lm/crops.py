"""Pieces of examples that are longer than a stage learns from at a time.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tokbench.lm.examples import Example, frame_rate_hz
from tokbench.specs.lm import Form, LmSpec, Part, Stage
from tokbench.specs.lm_streams import FeatureSource, LabelSource

__all__ = ["bound", "cropped", "narrowed", "shortened"]


def cropped(spec: LmSpec, stage_name: str, form_name: str, example: Example) -> Example:
    """Return a piece of ``example``, drawn at random, in which all that lasts as long as its outputs is cut alike.

    An input with a longest length of its own is cut to that, and one that tells of any piece stays as it is. Where
    another input has no time (text, for one), nothing can be left out of an output, and the example stays whole.
    """
    stage, network = spec.stages[stage_name], spec.network_of(stage_name)
    form, seconds = stage.forms[form_name], stage.crop_s or spec.training.crop_s
    streams = {**example.streams, **_short_inputs(spec, stage, form, example.streams)}
    example = replace(example, streams=streams)
    names = [name for name in bound(stage, form) if not isinstance(spec.streams[name], LabelSource)]
    rates = {name: frame_rate_hz(spec.stream(name)) for name in names}
    timed = {name: rate for name, rate in rates.items() if rate is not None}
    if len(timed) == len(names) and _last_alike(streams, timed, spec):
        return _in_time(spec, example, timed, seconds)
    if len(names) == 1:
        return _by_frames(spec, example, names[0], network.context - 2)
    return example


def bound(stage: Stage, form: Form) -> list[str]:
    """Return the streams of ``form`` that are cut alike: all but inputs that are cut on their own."""
    parts = [stage.part(name) for name in (*form.inputs, *form.outputs)]
    bound = [part for part in parts if part.longest_s is None and not part.of_any_piece]
    return [*dict.fromkeys(each.stream for part in bound for each in (part, *map(stage.part, part.plus)))]


def _short_inputs(spec: LmSpec, stage: Stage, form: Form, streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the inputs that have a longest length of their own, cut to it."""
    short = {}
    for part in map(stage.part, form.inputs):
        if part.longest_s is not None and part.stream in streams:
            short[part.stream] = shortened(spec, part, streams[part.stream], float(torch.rand(())))
    return short


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


def _last_alike(streams: Mapping[str, Tensor], rates: Mapping[str, float], spec: LmSpec) -> bool:
    """Say whether all streams last as long, to a frame of the slowest."""
    durations = [streams[name].shape[_axis(spec, name)] / rate for name, rate in rates.items()]
    return bool(durations) and max(durations) - min(durations) <= 1.5 / min(rates.values())


def _in_time(spec: LmSpec, example: Example, rates: Mapping[str, float], seconds: float) -> Example:
    slowest_hz = min(rates.values())
    num_frames = min(
        int(example.streams[name].shape[_axis(spec, name)] * slowest_hz / rate) for name, rate in rates.items()
    )
    length = max(int(seconds * slowest_hz), 1)
    if num_frames <= length:
        return example
    start = int(torch.randint(num_frames - length + 1, ()))
    pieces = narrowed(spec, example.streams, rates, start / slowest_hz, length / slowest_hz)
    return Example(
        {**example.streams, **pieces},
        example.form,
        is_ended=example.is_ended and start + length == num_frames,
        duration_s=min(length / slowest_hz, example.duration_s),
    )


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


def _by_frames(spec: LmSpec, example: Example, name: str, length: int) -> Example:
    axis, values = _axis(spec, name), example.streams[name]
    num_frames = values.shape[axis]
    if num_frames <= length:
        return example
    start = int(torch.randint(num_frames - length + 1, ()))
    return Example(
        {**example.streams, name: values.narrow(axis, start, length)},
        example.form,
        is_ended=example.is_ended and start + length == num_frames,
        duration_s=example.duration_s * length / num_frames,
    )
