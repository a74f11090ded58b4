"""The records that findings are made from: what each codec is, how far two of them are apart, and both in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from tokbench import stats
from tokbench.codecs.registry import list_cards
from tokbench.leaderboard.cells import SourceRecord, check_comparable, read_task
from tokbench.leaderboard.components import (
    Components,
    UtteranceTables,
    are_measured,
    difference,
    num_units,
    units_of,
)
from tokbench.leaderboard.glance import is_above_floors
from tokbench.leaderboard.numbers import with_digits
from tokbench.metrics.catalogue import METRICS
from tokbench.records import MetricSummary

__all__ = [
    "Gap",
    "Records",
    "counted",
    "number",
    "place",
    "rate",
    "signed",
    "table",
    "told",
    "told_gap",
]

SPECTRAL = ("mfcc", "log-mel")
"""Units of these are no semantic ones: nothing was learnt of speech."""
MINUS = "\N{MINUS SIGN}"
_Measured: TypeAlias = tuple[SourceRecord, str]
"""A record and one of its metrics."""
_Number: TypeAlias = tuple[MetricSummary | None, SourceRecord]
"""A number, and the record that it is of."""


@dataclass(frozen=True)
class Gap:
    """First minus second, turned so that more is better for the first."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


class Records:
    """The records below ``results``, read once for each task."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._sources: dict[str, list[SourceRecord]] = {}
        self._tables = UtteranceTables()

    def of(self, task: str, metric: str, group: str = "all") -> list[SourceRecord]:
        """Return the records of ``task`` that have a value of ``metric``, in the order of their paths."""
        if task not in self._sources:
            self._sources[task] = list(read_task(self._results, task))
        return [source for source in self._sources[task] if number(source, metric, group) is not None]

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """What each codec is, by its name: ``semantic units``, ``spectral units``, or the kind of its card."""
        kinds = {}
        for name, card in list_cards().items():
            is_spectral = name.startswith(SPECTRAL)
            units = "spectral units" if is_spectral else "semantic units"
            kinds[name] = units if card.kind == "semantic tokenizer" else card.kind
        return kinds

    def kind(self, source: SourceRecord) -> str:
        """Return what the codec of a record is; empty for one without a card here."""
        return self.kinds.get(source.record.codec.name, "")

    def nominal_bps(self, source: SourceRecord) -> float:
        """Return the nominal bitrate, as it was measured where it varies; 0 where neither is known."""
        where = source.record.corpus.name, source.label
        return source.record.codec.bitrate_bps or self._measured_bps.get(where, 0.0)

    @cached_property
    def _measured_bps(self) -> Mapping[tuple[str, str], float]:
        """The nominal bitrates that were measured, by corpus and tokenizer."""
        rates: dict[tuple[str, str], float] = {}
        for item in self.of("tokens.v1", "bitrate_nominal_bps"):
            found = number(item, "bitrate_nominal_bps")
            if found is not None and found.value is not None:
                rates[item.record.corpus.name, item.label] = found.value
        return rates

    def gap(
        self,
        first: SourceRecord,
        second: SourceRecord,
        metric: str,
        group: str = "all",
        *,
        same_task: bool = True,
    ) -> Gap:
        """Return by how much ``first`` is better than ``second``, both of which have a value.

        Tasks that ask the same of other models are compared where ``same_task`` is false. Raises
        :class:`tokbench.leaderboard.cells.MixedRecordsError` for records that must not be compared.
        """
        check_comparable(first, second, same_task=same_task)
        return self._gap((first, metric), (second, metric), group)

    def is_above_floors(self, source: SourceRecord, metric: str) -> bool:
        """Say whether a model is clearly better than each of its floors that there are."""
        return is_above_floors(source, metric, self._tables)

    def gap_within(self, source: SourceRecord, first: str, second: str) -> Gap:
        """Return by how much the metric ``first`` of a record is better than ``second``, which has its unit."""
        return self._gap((source, first), (source, second), "all")

    def _gap(self, first: _Measured, second: _Measured, group: str) -> Gap:
        sign = 1.0 if METRICS[first[1]].better == "higher" else -1.0
        found = self._paired(first, second) if group == "all" else None
        if found is None:
            return self.independent((number(*first, group), first[0]), (number(*second, group), second[0]), sign)
        low, high = sorted((sign * found.low, sign * found.high))
        return Gap(sign * found.value, low, high)

    def _paired(self, first: _Measured, second: _Measured) -> stats.Difference | None:
        tables = self._tables.of(first[0], second[0])
        metrics = first[1], second[1]
        if not all(are_measured(table, metric) for table, metric in zip(tables, metrics, strict=True)):
            return None
        shared = tables[0].index.intersection(tables[1].index)
        tables = [table.loc[shared] for table in tables]
        parts = [Components.of(table, metric) for table, metric in zip(tables, metrics, strict=True)]
        source, metric = first
        summary = number(source, metric)
        return difference(
            parts[0],
            parts[1],
            is_rms=summary is not None and summary.pooling == "rms",
            units=units_of(source, tables[0]),
        )

    def independent(self, first: _Number, second: _Number, sign: float = 1.0) -> Gap:
        """Return the difference of two values whose errors are taken to be independent."""
        pairs = []
        for summary, _ in (first, second):
            assert summary is not None
            # Of what has no interval, nothing is clear.
            half = math.inf if summary.half_width is None else summary.half_width
            pairs.append((sign * (summary.value or 0.0), half))
        num = min(num_units(source, *self._tables.of(source)) for _, source in (first, second))
        return Gap(*stats.independent(*pairs, num_units=num))


def number(source: SourceRecord, metric: str, group: str = "all") -> MetricSummary | None:
    """Return a number of a record; None where it has no value."""
    found = source.record.metric(metric, group)
    return found if found is not None and found.value is not None else None


def place(source: SourceRecord) -> list[str]:
    """Return the corpus and the codec of a record, as cells."""
    return [source.record.corpus.name, f"`{source.label}`"]


def rate(source: SourceRecord) -> str:
    """Return the nominal bitrate in kbit/s, or that it varies."""
    rate_bps = source.record.codec.bitrate_bps
    return with_digits(rate_bps / 1000) if rate_bps else "varies"


def told(summary: MetricSummary | None) -> str:
    """Return a value with its interval; a dash for none."""
    if summary is None or summary.value is None:
        return "\N{EM DASH}"
    if summary.low is None or summary.high is None:
        return signed(summary.value)
    return f"{signed(summary.value)} ({signed(summary.low)} to {signed(summary.high)})"


def told_gap(gap: Gap, *, turned: bool = False) -> str:
    """Return a difference with its interval; ``turned`` for what is told as a loss."""
    value, low, high = (-gap.value, -gap.high, -gap.low) if turned else (gap.value, gap.low, gap.high)
    if math.isinf(low):
        return signed(value)
    return f"{signed(value)} ({signed(low)} to {signed(high)})"


def signed(value: float) -> str:
    """Return a number with three digits and a minus sign that is one."""
    return with_digits(value).replace("-", MINUS)


def counted(number: int, noun: str) -> str:
    """Return ``number`` with its noun, which has a plural in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the lines of a table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return tuple(lines + [f"| {' | '.join(row)} |" for row in rows])
