"""Numbers as people read them: three significant digits, in the unit of the field."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["NumberFormat", "number_format", "with_digits"]

NUM_DIGITS = 3
_SPREAD = 20.0
"""Ratio of the largest to the median magnitude above which each small number gets its own number of decimals."""
_SCALES = {"bit/s": (1e-3, "kbit/s"), "bps": (1e-3, "kbit/s"), "bytes": (2.0**-20, "MiB"), "B": (2.0**-20, "MiB")}
"""Factor and name of the unit in which a person reads each of these."""


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of one column are written."""

    unit: str
    scale: float
    decimals: int | None
    """None where each number gets the decimals that its own size asks for."""

    def text(self, value: float | None) -> str:
        """Return ``value`` in the unit of the column; empty for None."""
        if value is None:
            return ""
        scaled = value * self.scale
        if self.decimals is None:
            return with_digits(scaled)
        return _plain(f"{scaled:,.{self.decimals}f}")


def number_format(unit: str, values: Iterable[float | None]) -> NumberFormat:
    """Return the format of a column with ``unit`` that holds ``values``.

    Numbers of similar size get equal decimals, three significant digits for the largest, so that they line up.
    """
    scale, name = _SCALES.get(unit, (1.0, unit))
    sizes = [abs(value) * scale for value in values if value]
    if not sizes:
        return NumberFormat(name, scale, 0)
    largest, is_share = max(sizes), unit in ("", "ratio")
    if is_share and 0.999 < largest <= 1.0:  # noqa: PLR2004
        largest = 0.999  # a share that reaches 1 keeps the three decimals of its neighbours: 1.000 above 0.994
    is_spread = name != unit or (largest < 1 and largest > _SPREAD * statistics.median(sizes))
    return NumberFormat(name, scale, None if is_spread else _decimals(largest))


def with_digits(value: float) -> str:
    """Return ``value`` with three significant digits and without an exponent.

    >>> with_digits(0.012345), with_digits(5.9999), with_digits(256_000.0)
    ('0.0123', '6.00', '256,000')
    """
    return _plain(f"{value:,.{_decimals(abs(value))}f}") if value else "0"


def _decimals(size: float) -> int:
    rounded = float(f"{size:.{NUM_DIGITS - 1}e}")
    return min(max(NUM_DIGITS - 1 - math.floor(math.log10(rounded)), 0), 6)


def _plain(text: str) -> str:
    """Write a minus sign as one, and none before zero."""
    if text.startswith("-") and not text.strip("-0.,"):
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")
