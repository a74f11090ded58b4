"""Quality against bitrate: one SVG per metric, made by Vega-Lite.

The bytes must not depend on the fonts of the machine. Nothing in the picture is placed by the width of a text: the
layout is fixed, titles are left to the page, and the numbers on the axes are not thinned out by their extent. The
colours are CSS variables of the page, so that one picture serves light and dark.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from tokbench.leaderboard.cells import Row
from tokbench.leaderboard.labels import (
    HEIGHT,
    LABEL_GAP,
    LINE_HEIGHT,
    PADDING,
    WIDTH,
    Frame,
    Label,
    Point,
    place_labels,
    rounded,
)
from tokbench.leaderboard.numbers import number_format, with_digits
from tokbench.leaderboard.table import Table

__all__ = ["NUM_COLOURS", "Key", "Picture", "pictures"]

VEGA_LITE_VERSION = "6.1"
NUM_COLOURS = 8
"""Colours of the page, ``--codec-0`` to ``--codec-7``; more codecs repeat them with another shape."""

_SHAPES = {
    "circle": "\N{BLACK CIRCLE}",
    "square": "\N{BLACK SQUARE}",
    "diamond": "\N{BLACK DIAMOND}",
    "triangle-up": "\N{BLACK UP-POINTING TRIANGLE}",
}
"""Shapes of points, as Vega calls them and as text has them."""


@dataclass(frozen=True)
class Key:
    """What the points of a codec look like, for one whose name has no room beside them."""

    codec: str
    colour: int
    """From 0, below :data:`NUM_COLOURS`."""
    shape: str


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
    keys: tuple[Key, ...]
    """Codecs without a name in the picture, where all the room beside their points is taken."""
    hidden: tuple[str, ...]
    """Labels of the rows that are not drawn: no value, no bitrate, or an anchor far from everything else."""


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
        return self._encoding([self._shape(index) for index in range(len(self.codecs))])

    @staticmethod
    def _shape(index: int) -> str:
        return list(_SHAPES)[index // NUM_COLOURS % len(_SHAPES)]

    def key(self, codec: str) -> Key:
        index = self.codecs.index(codec)
        return Key(codec, index % NUM_COLOURS, _SHAPES[self._shape(index)])

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
    frame = Frame.around([(row.cells[x_key].value or 0.0) * x_scale for row in shown], points, anchors)
    looks = _Looks(sorted({row.codec.name for row in shown}))
    anchors = [anchor for anchor in anchors if anchor in frame]
    drawn = {point.label for point in (*points, *anchors)}
    labels = place_labels(points, anchors, frame)
    named = {label.codec for label in labels}
    return Picture(
        key=y_key,
        heading=y.title,
        unit=number_format(y.unit, []).unit,
        better=y.better,
        x_heading=f"{x.title} ({number_format(x.unit, []).unit})",
        svg=vl_convert.vegalite_to_svg(_spec(points, anchors, labels, frame, looks), vl_version=VEGA_LITE_VERSION),
        keys=tuple(looks.key(codec) for codec in sorted({point.codec for point in points} - named)),
        hidden=tuple(row.label for row in table.section.rows if row.label not in drawn),
    )


def _point(row: Row, x_key: str, y_key: str) -> Point | None:
    x, y = row.cells[x_key].summary, row.cells[y_key].summary
    if y is None or y.value is None:
        return None
    x_format, y_format = number_format(x.unit if x else "", []), number_format(y.unit, [y.value])
    x_value = (x.value or 0.0) * x_format.scale if x else 0.0
    low, high = (y.value if end is None else end for end in (y.low, y.high))
    interval = "" if y.low is None else f" ({y_format.text(low)} to {y_format.text(high)})"
    return Point(
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


def _spec(
    points: Sequence[Point],
    anchors: Sequence[Point],
    labels: Sequence[Label],
    frame: Frame,
    looks: _Looks,
) -> dict[str, Any]:
    ordered = sorted(points, key=lambda point: (point.codec, point.x, point.label))
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "padding": PADDING,
        "autosize": "none",
        "background": None,
        "config": _CONFIG,
        "data": {"values": [point.datum() for point in ordered]},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "scale": {"type": "log", "domain": [rounded(frame.x_low), rounded(frame.x_high)], "nice": False},
                "axis": {"values": _ticks(frame.x_low, frame.x_high), "format": "~g"},
            },
        },
        "layer": [
            *_anchor_layers(anchors, frame),
            _line_layer(looks, frame),
            *_label_layers(labels, looks, frame),
            *_point_layers(looks, frame),
        ],
    }


def _y(frame: Frame, field: str = "y") -> dict[str, Any]:
    domain = [rounded(frame.y_low), rounded(frame.y_high)]
    return {"field": field, "type": "quantitative", "scale": {"domain": domain, "nice": False, "zero": False}}


def _line_layer(looks: _Looks, frame: Frame) -> dict[str, Any]:
    """Return the settings of each codec, joined."""
    mark = {"type": "line", "strokeWidth": 1.5, "opacity": 0.4, "aria": False}
    return {"mark": mark, "encoding": {"y": _y(frame), "color": looks.colour}}


def _point_layers(looks: _Looks, frame: Frame) -> list[dict[str, Any]]:
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


def _anchor_layers(anchors: Sequence[Point], frame: Frame) -> list[dict[str, Any]]:
    """Return dashed lines across the picture: a ceiling or a floor holds at every bitrate."""
    values = [anchor.datum() for anchor in anchors]
    text = {"type": "text", "align": "left", "dx": 2, "dy": -6, "fontSize": 11, "fontStyle": "italic"}
    return [
        {
            "data": {"values": values},
            "mark": {"type": "rule", "strokeDash": [2, 3], "color": "var(--muted)"},
            "encoding": {"x": {"value": 0}, "x2": {"value": WIDTH}, "y": _y(frame), "description": _DESCRIPTION},
        },
        {
            "data": {"values": values},
            "mark": {**text, "color": "var(--muted)", "aria": False},
            "encoding": {"x": {"value": 0}, "y": _y(frame), "text": {"field": "codec"}},
        },
    ]


def _label_layers(labels: Sequence[Label], looks: _Looks, frame: Frame) -> list[dict[str, Any]]:
    """Return the names, and a thin line to each that stands more than a line of text away from its point."""
    far = [label for label in labels if abs(label.offset) > LINE_HEIGHT]
    line = {"type": "rule", "strokeWidth": 0.7, "opacity": 0.6, "aria": False}
    places = {"x2": {"field": "to"}, "y": _y(frame, "from"), "y2": {"field": "y"}}
    return [
        {"data": _data(far, frame), "mark": line, "encoding": {**places, "color": looks.colour}},
        *(_name_layer([label for label in labels if label.is_left == is_left], looks, frame) for is_left in _SIDES),
    ]


def _name_layer(labels: Sequence[Label], looks: _Looks, frame: Frame) -> dict[str, Any]:
    """Return names that all stand on the same side of their points."""
    is_left = any(label.is_left for label in labels)
    side = {"align": "right", "dx": -LABEL_GAP} if is_left else {"align": "left", "dx": LABEL_GAP}
    return {
        "data": _data(labels, frame),
        "mark": {"type": "text", **side, "fontSize": 12, "aria": False},
        "encoding": {"y": _y(frame), "color": looks.colour, "text": {"field": "text"}},
    }


def _data(labels: Sequence[Label], frame: Frame) -> dict[str, Any]:
    return {"values": [label.datum(frame) for label in labels]}


def _ticks(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of ten from ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [rounded(digit * 10.0**power) for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


_SIDES = (False, True)
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
