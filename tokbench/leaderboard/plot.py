"""Quality against bitrate: one SVG per metric, made by Vega-Lite.

The bytes must not depend on the fonts of the machine. Nothing in the picture is placed by the width of a text: the
layout is fixed, titles are left to the page, and the numbers on the axes are not thinned out by their extent. The
colours are CSS variables of the page, so that one picture serves light and dark.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import vl_convert

from tokbench.leaderboard.cells import Row
from tokbench.leaderboard.numbers import number_format, with_digits
from tokbench.leaderboard.table import Table

__all__ = ["NUM_COLOURS", "Picture", "pictures"]

VEGA_LITE_VERSION = "6.1"
NUM_COLOURS = 8
"""Colours of the page, ``--codec-0`` to ``--codec-7``; more codecs repeat them with another shape."""

# Pixels of the picture: the frame, what surrounds it, and the room of a name beside a point.
_WIDTH, _HEIGHT = 500, 330
_PADDING = {"left": 48, "right": 132, "top": 14, "bottom": 28}
_LINE_HEIGHT = 13
_LETTER_WIDTH = 7
_LABEL_GAP = 9
_LABEL_LENGTH = 20
_OFFSETS = (0, -13, 13, -26, 26, -39, 39)
_SHAPES = ("circle", "square", "diamond", "triangle-up")
_SIGNIFICANT = 6
"""Digits of the data in the picture, so that the last bit of a sum moves no byte."""


@dataclass(frozen=True)
class Picture:
    """One metric against bitrate."""

    key: str
    """Column on the vertical axis."""
    heading: str
    unit: str
    better: str | None
    x_heading: str
    svg: str
    hidden: tuple[str, ...]
    """Labels of the rows that are not drawn: no value, no bitrate, or an anchor far from everything else."""


@dataclass(frozen=True)
class _Point:
    codec: str
    label: str
    x: float
    y: float
    low: float
    high: float
    description: str

    def datum(self) -> dict[str, Any]:
        rounded = {name: _rounded(getattr(self, name)) for name in ("x", "y", "low", "high")}
        return {"codec": self.codec, "description": self.description, **rounded}


@dataclass(frozen=True)
class _Frame:
    """The part of the plane that is drawn."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    @classmethod
    def around(cls, x: Sequence[float], points: Sequence[_Point], anchors: Sequence[_Point]) -> Self:
        """Return the frame of all ``x``, of the points, and of the anchors that lie within one height of them."""
        low, high = min(point.low for point in points), max(point.high for point in points)
        span = (high - low) or abs(high) or 1.0
        near = [anchor.y for anchor in anchors if low - span <= anchor.y <= high + span]
        low, high = min(low, *near, high), max(high, *near, low)
        margin = 0.06 * ((high - low) or span)
        return cls(min(x) / 1.3, max(x) * 1.3, low - margin, high + margin)

    def __contains__(self, point: _Point) -> bool:
        return self.y_low <= point.y <= self.y_high

    def x_pixels(self, x: float) -> float:
        """Return the distance of ``x`` from the left edge."""
        return _WIDTH * math.log(x / self.x_low) / math.log(self.x_high / self.x_low)

    def y_pixels(self, y: float) -> float:
        """Return the distance of ``y`` from the top."""
        return (self.y_high - y) / self.y_per_pixel

    @property
    def y_per_pixel(self) -> float:
        """Return the height of a pixel."""
        return (self.y_high - self.y_low) / _HEIGHT


@dataclass(frozen=True)
class _Looks:
    """Colour and shape of each codec, the same in every picture of a table."""

    codecs: list[str]

    @property
    def colour(self) -> dict[str, Any]:
        colours = [f"var(--codec-{index % NUM_COLOURS})" for index in range(len(self.codecs))]
        return {"type": "nominal", **self._encoding(colours)}

    @property
    def shape(self) -> dict[str, Any]:
        return self._encoding([_SHAPES[index // NUM_COLOURS % len(_SHAPES)] for index in range(len(self.codecs))])

    def _encoding(self, values: list[str]) -> dict[str, Any]:
        return {"field": "codec", "scale": {"domain": self.codecs, "range": values}, "legend": None}


def pictures(table: Table) -> list[Picture]:
    """Return the pictures of a table, in the order of the leaderboard; a metric without any point has none."""
    plot = table.board.plot
    if plot is None:
        return []
    drawn = (_picture(table, plot.x, key) for key in plot.y)
    return [picture for picture in drawn if picture is not None]


def _picture(table: Table, x_key: str, y_key: str) -> Picture | None:
    x, y = table.section.metric(x_key), table.section.metric(y_key)
    shown = [row for row in table.section.rows if not row.is_anchor and (row.cells[x_key].value or 0.0) > 0.0]
    points = [point for row in shown if (point := _point(row, x_key, y_key))]
    if x is None or y is None or not points:
        return None
    anchors = [point for row in table.section.rows if row.is_anchor and (point := _point(row, x_key, y_key))]
    x_scale = number_format(x.unit, []).scale
    frame = _Frame.around([(row.cells[x_key].value or 0.0) * x_scale for row in shown], points, anchors)
    looks = _Looks(sorted({row.codec.name for row in shown}))
    drawn = {point.label for point in points} | {anchor.label for anchor in anchors if anchor in frame}
    return Picture(
        key=y_key,
        heading=y.title,
        unit=number_format(y.unit, []).unit,
        better=y.better,
        x_heading=f"{x.title} ({number_format(x.unit, []).unit})",
        svg=vl_convert.vegalite_to_svg(_spec(points, anchors, frame, looks), vl_version=VEGA_LITE_VERSION),
        hidden=tuple(row.label for row in table.section.rows if row.label not in drawn),
    )


def _point(row: Row, x_key: str, y_key: str) -> _Point | None:
    x, y = row.cells[x_key].summary, row.cells[y_key].summary
    if y is None or y.value is None:
        return None
    x_format, y_format = number_format(x.unit if x else "", []), number_format(y.unit, [y.value])
    x_value = (x.value or 0.0) * x_format.scale if x else 0.0
    low, high = (y.value if end is None else end for end in (y.low, y.high))
    interval = "" if y.low is None else f" ({y_format.text(low)} to {y_format.text(high)})"
    return _Point(
        codec=row.codec.name,
        label=row.label,
        x=x_value,
        y=y.value * y_format.scale,
        low=low * y_format.scale,
        high=high * y_format.scale,
        description=(
            f"{row.codec.name} {row.codec.setting}: {y_format.text(y.value)} {y_format.unit}".rstrip()
            + f"{interval} at {with_digits(x_value)} {x_format.unit}"
        ),
    )


def _spec(points: Sequence[_Point], anchors: Sequence[_Point], frame: _Frame, looks: _Looks) -> dict[str, Any]:
    ordered = sorted(points, key=lambda point: (point.codec, point.x, point.label))
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "padding": _PADDING,
        "autosize": "none",
        "background": None,
        "config": _CONFIG,
        "data": {"values": [point.datum() for point in ordered]},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "scale": {"type": "log", "domain": [_rounded(frame.x_low), _rounded(frame.x_high)], "nice": False},
                "axis": {"values": _ticks(frame.x_low, frame.x_high), "format": "~g"},
            },
        },
        "layer": [
            *_anchor_layers([anchor for anchor in anchors if anchor in frame], frame),
            _line_layer(looks, frame),
            _label_layer(_labels(points, frame), looks, frame),
            *_point_layers(looks, frame),
        ],
    }


def _y(frame: _Frame, field: str = "y") -> dict[str, Any]:
    domain = [_rounded(frame.y_low), _rounded(frame.y_high)]
    return {"field": field, "type": "quantitative", "scale": {"domain": domain, "nice": False, "zero": False}}


def _line_layer(looks: _Looks, frame: _Frame) -> dict[str, Any]:
    """Return the settings of each codec, joined."""
    mark = {"type": "line", "strokeWidth": 1.5, "opacity": 0.4, "aria": False}
    return {"mark": mark, "encoding": {"y": _y(frame), "color": looks.colour}}


def _point_layers(looks: _Looks, frame: _Frame) -> list[dict[str, Any]]:
    """Return the intervals and the points, above everything else."""
    colour = looks.colour
    point = {"type": "point", "filled": True, "size": 64, "opacity": 1, "stroke": "var(--paper)"}
    return [
        {
            "mark": {"type": "rule", "strokeWidth": 1.5, "aria": False},
            "encoding": {"y": _y(frame, "low"), "y2": {"field": "high"}, "color": colour},
        },
        {
            "mark": point,
            "encoding": {"y": _y(frame), "color": colour, "shape": looks.shape, "description": _DESCRIPTION},
        },
    ]


def _anchor_layers(anchors: Sequence[_Point], frame: _Frame) -> list[dict[str, Any]]:
    """Return dashed lines across the picture: a ceiling or a floor holds at every bitrate."""
    values = [anchor.datum() for anchor in anchors]
    text = {"type": "text", "align": "left", "dx": 2, "dy": -6, "fontSize": 11, "fontStyle": "italic"}
    return [
        {
            "data": {"values": values},
            "mark": {"type": "rule", "strokeDash": [2, 3], "color": "var(--muted)"},
            "encoding": {"x": {"value": 0}, "x2": {"value": _WIDTH}, "y": _y(frame), "description": _DESCRIPTION},
        },
        {
            "data": {"values": values},
            "mark": {**text, "color": "var(--muted)", "aria": False},
            "encoding": {"x": {"value": 0}, "y": _y(frame), "text": {"field": "codec"}},
        },
    ]


def _label_layer(labels: Sequence[dict[str, Any]], looks: _Looks, frame: _Frame) -> dict[str, Any]:
    return {
        "data": {"values": labels},
        "mark": {"type": "text", "align": "left", "dx": _LABEL_GAP, "fontSize": 12, "aria": False},
        "encoding": {"y": _y(frame), "color": looks.colour, "text": {"field": "text"}},
    }


def _labels(points: Sequence[_Point], frame: _Frame) -> list[dict[str, Any]]:
    """Return the name of each codec beside its last point, moved up or down where it would cover something."""
    last = {point.codec: point for point in sorted(points, key=lambda point: (point.x, -point.y, point.label))}
    taken = [(frame.x_pixels(point.x), frame.y_pixels(point.y), 0.0) for point in points]
    labels = []
    for point in sorted(last.values(), key=lambda point: (-point.y, point.codec)):
        text = point.codec if len(point.codec) <= _LABEL_LENGTH else f"{point.codec[: _LABEL_LENGTH - 1]}…"
        x, y, width = frame.x_pixels(point.x) + _LABEL_GAP, frame.y_pixels(point.y), _LETTER_WIDTH * len(text)
        offset = next((offset for offset in _OFFSETS if _is_free(x, y + offset, width, taken)), 0)
        taken.append((x, y + offset, width))
        height = point.y - offset * frame.y_per_pixel
        labels.append({"codec": point.codec, "text": text, "x": _rounded(point.x), "y": _rounded(height)})
    return labels


def _is_free(x: float, y: float, width: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    """Say whether a text from ``x`` to ``x + width`` at height ``y`` keeps clear of points and other texts."""
    return not any(
        x < other_x + other_width + _LABEL_GAP and other_x < x + width and abs(y - other_y) < _LINE_HEIGHT
        for other_x, other_y, other_width in taken
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of ten from ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [_rounded(digit * 10.0**power) for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT}g}")


_DESCRIPTION = {"field": "description"}
_CONFIG = {
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "title": None,
        "domain": False,
        "ticks": False,
        "gridColor": "var(--rule)",
        "gridWidth": 0.7,
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "labelOverlap": False,
        "labelBound": False,
        "labelFlush": False,
        "labelPadding": 8,
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--rule)"},
    "axisY": {"tickCount": 5},
}
