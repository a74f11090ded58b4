"""What a metric is: a pure function with a unit, a direction, bounds and a source.

A metric function of a :class:`SignalPair` returns a :class:`Score`: a total and a weight that add up over
utterances, so that a corpus value is one division at the very end and never a mean of ratios.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from tokbench.errors import NotApplicableError
from tokbench.records import MetricSummary

__all__ = ["MAX_DELAY_S", "Metric", "Pooling", "Score", "SignalPair"]

Pooling = Literal["mean", "rms", "max"]
"""How totals and weights become a value: ``total / weight``, the square root of it, or the largest total."""

MAX_DELAY_S = 0.1
"""Longest delay, in either direction, that is looked for before signals are compared."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's components on one utterance; those of several utterances are added.

    The mean of a per-utterance value is ``Score(value)``; an error rate is ``Score(errors, items)``; a root mean
    square is ``Score(sum_of_squares, items)`` with ``pooling="rms"``.
    """

    total: float
    weight: float = 1.0

    def value(self, pooling: Pooling = "mean") -> float | None:
        """Return the value, None where nothing was counted."""
        if self.weight <= 0:
            return None
        ratio = self.total / self.weight
        return math.sqrt(max(ratio, 0.0)) if pooling == "rms" else ratio


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The declaration of a metric; records copy it, so that tables need no metric code."""

    name: str
    """Column name, with its unit where it has one: ``si_sdr_db``."""
    title: str
    """Heading in a table for people."""
    unit: str
    """``dB``, ``ratio``, ``cents``, …; empty for a pure score."""
    better: Literal["higher", "lower"] | None
    """Direction; None for a description that is neither good nor bad."""
    bounds: tuple[float | None, float | None]
    """Smallest and largest possible value; a value outside of them is never written."""
    source: str
    """Paper, standard or implementation that defines it."""
    description: str
    """One sentence: what it measures, and what it does not."""
    function: str = ""
    """``module:function`` of a :class:`SignalPair`; empty for what a runner computes over a whole corpus."""
    pooling: Pooling = "mean"
    requires: tuple[str, ...] = ()
    """Packages that must be installed, by import name."""
    judge: str | None = None
    """The model that listens, where one does."""

    def resolve(self) -> Callable[["SignalPair"], Score]:
        """Import and return the function."""
        module, _, name = self.function.partition(":")
        function: Callable[[SignalPair], Score] = getattr(importlib.import_module(module), name)
        return function

    def accepts(self, value: float) -> bool:
        """Say whether ``value`` is finite and within the bounds."""
        low, high = self.bounds
        tolerance = 1e-9
        return (
            math.isfinite(value)
            and (low is None or value >= low - tolerance)
            and (high is None or value <= high + tolerance)
        )

    def clamp(self, value: float) -> float:
        """Return ``value`` within the bounds, for the ends of an interval that assumes none."""
        low, high = self.bounds
        return min(max(value, -math.inf if low is None else low), math.inf if high is None else high)

    def summary(
        self,
        *,
        value: float | None,
        interval: tuple[float, float] | None = None,
        num_ok: int,
        num_total: int,
        num_not_applicable: int = 0,
        reasons: Mapping[str, int] | None = None,
        group: str = "all",
    ) -> MetricSummary:
        """Return a number of this metric, with the declaration that a table needs.

        What is no finite number is missing, whoever computed it.
        """
        if value is not None and not math.isfinite(value):
            reasons, num_ok = {**(reasons or {}), f"the value came out as {value}": num_total}, 0
            value = interval = None
        low, high = interval or (None, None)
        return MetricSummary(
            name=self.name,
            title=self.title,
            unit=self.unit,
            better=self.better,
            bounds=self.bounds,
            source=self.source,
            judge=self.judge,
            pooling=self.pooling,
            group=group,
            value=value,
            low=None if low is None else self.clamp(low),
            high=None if high is None else self.clamp(high),
            num_ok=num_ok,
            num_total=num_total,
            num_not_applicable=num_not_applicable,
            reasons=reasons or {},
        )


@dataclass(frozen=True, eq=False)
class SignalPair:
    """A reference and what a codec made of it: same rate, same length, aligned.

    Results that several metrics need (F0 tracks, spectra) are computed once, by :meth:`once`.
    """

    reference: np.ndarray
    """float32 [T]."""
    degraded: np.ndarray
    """float32 [T]."""
    sample_rate_hz: int
    _results: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.reference.ndim != 1 or self.reference.shape != self.degraded.shape:
            msg = f"expected two signals [T], got {self.reference.shape} and {self.degraded.shape}"
            raise ValueError(msg)

    def once(self, key: str, compute: Callable[[], Result]) -> Result:
        """Return ``compute()``, remembered under ``key`` for the life of the pair."""
        if key not in self._results:
            self._results[key] = compute()
        result: Result = self._results[key]
        return result

    def require_duration(self, shortest_s: float, what: str) -> None:
        """Raise :class:`NotApplicableError` for a reference shorter than ``what`` is defined on."""
        duration_s = len(self.reference) / self.sample_rate_hz
        if duration_s < shortest_s:
            msg = f"{what} needs {shortest_s:g} s, the reference has {duration_s:.3f} s"
            raise NotApplicableError(msg)

    def require_sound(self, what: str) -> None:
        """Raise :class:`NotApplicableError` for a digitally silent reference."""
        if not self.reference.any():
            msg = f"{what} is undefined for a silent reference"
            raise NotApplicableError(msg)
