"""The plane of a picture, and where names stand on it: beside the points of their codec, and never on each other.

Letters are counted and not measured: their true widths are the business of the fonts of the reader's machine.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

__all__ = [
    "HEIGHT",
    "LABEL_GAP",
    "LINE_HEIGHT",
    "PADDING",
    "WIDTH",
    "Frame",
    "Label",
    "Point",
    "place_labels",
    "rounded",
]

# Pixels of the picture: the frame, what surrounds it, and the room of a name beside a point. On a page at its
# widest they are about those of the screen.
WIDTH, HEIGHT = 850, 440
PADDING = {"left": 48, "right": 190, "top": 14, "bottom": 28}
LINE_HEIGHT = 13
_LETTER_WIDTH = 7
LABEL_GAP = 9
_POINT_RADIUS = 4
_LABEL_LENGTH = 26
_OFFSETS = (0, -13, 13, -26, 26, -39, 39, -52, 52, -65, 65)
_SIGNIFICANT = 6
"""Digits of the data in the picture, so that the last bit of a sum moves no byte."""


@dataclass(frozen=True)
class Point:
    """One setting of a codec in the units of the axes, with the ends of its interval."""

    codec: str
    label: str
    x: float
    y: float
    low: float
    high: float
    description: str

    def datum(self) -> dict[str, Any]:
        """Return the point as the picture is told of it."""
        numbers = {name: rounded(getattr(self, name)) for name in ("x", "y", "low", "high")}
        return {"codec": self.codec, "description": self.description, **numbers}


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is drawn."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    @classmethod
    def around(cls, x: Sequence[float], points: Sequence[Point], anchors: Sequence[Point]) -> Self:
        """Return the frame of all ``x``, of the points, and of the anchors that lie within one height of them."""
        low, high = min(point.low for point in points), max(point.high for point in points)
        span = (high - low) or abs(high) or 1.0
        near = [anchor.y for anchor in anchors if low - span <= anchor.y <= high + span]
        low, high = min(low, *near, high), max(high, *near, low)
        margin = 0.06 * ((high - low) or span)
        return cls(min(x) / 1.3, max(x) * 1.3, low - margin, high + margin)

    def __contains__(self, point: Point) -> bool:
        return self.y_low <= point.y <= self.y_high

    def x_pixels(self, x: float) -> float:
        """Return the distance of ``x`` from the left edge."""
        return WIDTH * math.log(x / self.x_low) / math.log(self.x_high / self.x_low)

    def x_ratio(self, pixels: float) -> float:
        """Return how many times as large ``x`` is that far to the right."""
        return math.pow(self.x_high / self.x_low, pixels / WIDTH)

    def y_pixels(self, y: float) -> float:
        """Return the distance of ``y`` from the top."""
        return (self.y_high - y) / self.y_per_pixel

    @property
    def y_per_pixel(self) -> float:
        """Return the height of a pixel."""
        return (self.y_high - self.y_low) / HEIGHT


@dataclass(frozen=True)
class Label:
    """The name of a codec beside one of its points."""

    codec: str
    point: Point
    offset: int
    """Pixels down from the point."""
    is_left: bool

    @property
    def text(self) -> str:
        """The name, cut off where it is long."""
        return self.codec if len(self.codec) <= _LABEL_LENGTH else f"{self.codec[: _LABEL_LENGTH - 1]}…"

    def box(self, frame: Frame) -> "_Box":
        """Return where the text stands."""
        x, width = frame.x_pixels(self.point.x), _LETTER_WIDTH * len(self.text)
        left = x - LABEL_GAP - width if self.is_left else x + LABEL_GAP
        return _Box(left, left + width, frame.y_pixels(self.point.y) + self.offset)

    def datum(self, frame: Frame) -> dict[str, Any]:
        """Return the label as the picture is told of it, with the end of a line that leads to it."""
        side = -1 if self.is_left else 1
        places = {
            "x": self.point.x,
            "y": self.point.y - self.offset * frame.y_per_pixel,
            "from": self.point.y,
            "to": self.point.x * frame.x_ratio(side * (LABEL_GAP - 2)),
        }
        return {"codec": self.codec, "text": self.text, **{name: rounded(at) for name, at in places.items()}}


@dataclass(frozen=True)
class _Box:
    """One line of text, or a point, in pixels from the left and from the top."""

    left: float
    right: float
    y: float

    @classmethod
    def around(cls, point: Point, frame: Frame) -> Self:
        """Return the room that the mark of a point takes."""
        x = frame.x_pixels(point.x)
        return cls(x - _POINT_RADIUS, x + _POINT_RADIUS, frame.y_pixels(point.y))

    @property
    def is_inside(self) -> bool:
        """Whether it is in the picture, and clear of the numbers on its axes."""
        right = WIDTH + PADDING["right"]
        return self.left >= 0 and self.right <= right and 0 <= self.y <= HEIGHT - LINE_HEIGHT / 2

    def meets(self, other: "_Box") -> bool:
        """Say whether the two cover each other."""
        apart = abs(self.y - other.y) >= LINE_HEIGHT
        return not apart and self.left < other.right and other.left < self.right


def place_labels(points: Sequence[Point], anchors: Sequence[Point], frame: Frame) -> list[Label]:
    """Return the name of each codec that has room beside its last point or before its first, the best first."""
    taken = [_Box.around(point, frame) for point in points]
    taken += [_Box(0, _LETTER_WIDTH * len(anchor.codec), frame.y_pixels(anchor.y) - 6) for anchor in anchors]
    by_codec: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.x, -point.y, point.label)):
        by_codec.setdefault(point.codec, []).append(point)
    labels = []
    for codec, own in sorted(by_codec.items(), key=lambda item: (-item[1][-1].y, item[0])):
        label = next((label for label in _places(codec, own) if _has_room(label.box(frame), taken)), None)
        if label is not None:
            taken.append(label.box(frame))
            labels.append(label)
    return labels


def _places(codec: str, points: Sequence[Point]) -> Iterator[Label]:
    """Yield where the name of a codec may stand, the nearest place first."""
    for offset in _OFFSETS:
        yield Label(codec, points[-1], offset, is_left=False)
        yield Label(codec, points[0], offset, is_left=True)


def _has_room(box: _Box, taken: Sequence[_Box]) -> bool:
    return box.is_inside and not any(box.meets(other) for other in taken)


def rounded(value: float) -> float:
    """Return ``value`` with the digits that a picture has."""
    return float(f"{value:.{_SIGNIFICANT}g}")
