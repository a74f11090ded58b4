"""Training curves as a picture: one small panel per run, before the curve of the reference.

The SVG is written here, because its bytes must not depend on the fonts of a machine: no library that lays out
panels leaves the widths of texts aside. All coordinates are pixels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from tokbench.specs.study import Study, StudyRun

__all__ = ["curves_picture"]

METRIC = "mel"
_COLUMNS, _WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 4, 180, 96, 44, 46
_LEFT, _TOP, _RIGHT, _BOTTOM = 34, 24, 12, 24
_SKIPPED = 0.05
"""Share of a curve at its beginning that is left out, where it falls from above the picture."""
_HIGHEST = 0.99
"""Share of all heights that is within the picture; what is above is drawn at its upper edge."""
_MAX_TICKS = 5


@dataclass(frozen=True)
class _Axes:
    """From hours and heights to pixels of a panel."""

    hours: float
    low: float
    high: float

    def x(self, hours: float) -> float:
        return _WIDTH * hours / self.hours

    def y(self, height: float) -> float:
        return _HEIGHT * (self.high - min(height, self.high)) / ((self.high - self.low) or 1.0)

    def path(self, curve: pd.DataFrame) -> str:
        points = zip(curve["hours"], curve[METRIC], strict=True)
        return "M" + "L".join(f"{self.x(hours):.1f},{self.y(height):.1f}" for hours, height in points)


def curves_picture(study: Study, results: Path) -> str:
    """Return the curves of ``study`` below ``results`` as SVG, the mean over seeds; empty where there are none."""
    curves = {run.name: curve for run in study.runs if not (curve := _curve(study, run, results)).empty}
    if not curves:
        return ""
    heights = pd.concat(list(curves.values()))[METRIC]
    most = max(float(curve["hours"].max()) for curve in curves.values())
    axes = _Axes(most, float(heights.min()), float(heights.quantile(_HIGHEST)))
    num_rows = -(-len(curves) // _COLUMNS)
    width = _LEFT + _COLUMNS * (_WIDTH + _GAP_X) - _GAP_X + _RIGHT
    height = _TOP + num_rows * (_HEIGHT + _GAP_Y) - _GAP_Y + _BOTTOM
    lines = chain(
        [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {_FONT}>'],
        ['<rect width="100%" height="100%" fill="white"/>'],
        _reference(curves.get(study.reference), axes),
        *(_panel(index, name, curve, axes) for index, (name, curve) in enumerate(curves.items())),
        ["</svg>"],
    )
    return "\n".join(lines) + "\n"


def _curve(study: Study, run: StudyRun, results: Path) -> pd.DataFrame:
    """Return ``hours`` of audio and the metric of ``run``, the mean over the seeds that have a curve."""
    paths = [results / "curves" / f"{trial.name}.csv" for trial in study.trials(run)]
    tables = [pd.read_csv(path) for path in paths if path.is_file()]
    tables = [table for table in tables if {METRIC, "audio_s"} <= set(table)]
    if not tables:
        return pd.DataFrame()
    mean = pd.concat(tables).groupby("audio_s", as_index=False)[METRIC].mean().dropna()
    mean["hours"] = mean["audio_s"] / 3600
    return mean[mean["audio_s"] >= _SKIPPED * mean["audio_s"].max()]


def _reference(curve: pd.DataFrame | None, axes: _Axes) -> Iterator[str]:
    if curve is not None:
        yield f'<defs><path id="reference" d="{axes.path(curve)}" fill="none" stroke="#bbb"/></defs>'


def _panel(index: int, name: str, curve: pd.DataFrame, axes: _Axes) -> Iterator[str]:
    row, column = divmod(index, _COLUMNS)
    left, top = _LEFT + column * (_WIDTH + _GAP_X), _TOP + row * (_HEIGHT + _GAP_Y)
    yield f'<g transform="translate({left},{top})">'
    yield f'<text y="-8" fill="#222">{name}</text>'
    for value in _ticks(axes.low, axes.high):
        yield f'<path d="M0,{axes.y(value):.1f}H{_WIDTH}" stroke="#e4e4e4"/>'
        yield f'<text x="-5" y="{axes.y(value) + 3.5:.1f}" text-anchor="end" fill="#666">{value:g}</text>'
    for value in _ticks(0.0, axes.hours):
        yield f'<text x="{axes.x(value):.1f}" y="{_HEIGHT + 14}" text-anchor="middle" fill="#666">{value:g}</text>'
    yield '<use href="#reference"/>'
    yield f'<path d="{axes.path(curve)}" fill="none" stroke="#1f5fa8" stroke-width="1.3"/></g>'


def _ticks(low: float, high: float) -> list[float]:
    """Return at most :data:`_MAX_TICKS` multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``."""
    power = math.floor(math.log10((high - low) or 1.0)) - 1
    for step in (digit * 10.0**exponent for exponent in (power, power + 1, power + 2) for digit in (1, 2, 5)):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < _MAX_TICKS:
            return [float(f"{number * step:.6g}") for number in np.arange(first, last + 1)]
    return []


_FONT = 'font-family="sans-serif" font-size="11"'
