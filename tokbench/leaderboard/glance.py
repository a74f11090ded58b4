"""One table of a page's tables: of each, the number that orders it, for every codec.

A number that takes no training tells nothing of its codec. It is faint here, and no best.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokbench import stats
from tokbench.leaderboard.cells import SourceRecord
from tokbench.leaderboard.components import UtteranceTables, num_units
from tokbench.leaderboard.spec import FLOORS
from tokbench.leaderboard.view import Entry, Heading, TableView

if TYPE_CHECKING:
    from tokbench.records import CodecSummary

__all__ = ["Glance", "GlanceEntry", "GlanceLine", "is_above_floors"]


@dataclass(frozen=True)
class GlanceEntry:
    """The number of one codec in one table."""

    entry: Entry
    is_idle: bool
    """Whether it is not clearly better than each floor beside it."""

    @property
    def is_best(self) -> bool:
        """Whether it is the best of its table or tied with it, and tells anything."""
        return self.entry.is_best and not self.is_idle


@dataclass(frozen=True)
class GlanceLine:
    """One table of the page."""

    view: TableView
    corpus: str
    """What tells it from others of the same title; empty where there is none."""
    heading: Heading
    entries: tuple[GlanceEntry | None, ...]
    """In the order of :attr:`Glance.codecs`; None for one that is not in the table."""


class Glance:
    """The tables of a page, beneath each other."""

    def __init__(self, views: Sequence[TableView]) -> None:
        self._tables = UtteranceTables()
        rows = [row for view in views for row in view.table.section.rows]
        counts = Counter(row.label for row in rows)
        known = {row.label: row.codec for row in rows}
        self._labels = sorted(counts, key=lambda label: (-counts[label], label))
        self.codecs: list[CodecSummary] = [known[label] for label in self._labels]
        """In the order of how many tables they are in."""
        titles = Counter(view.title for view in views)
        self.lines = [self._line(view, view.corpus_title if titles[view.title] > 1 else "") for view in views]

    def _line(self, view: TableView, corpus: str) -> GlanceLine:
        board = view.table.board
        task, metric = board.task_of[board.sort_by], board.columns[board.sort_by].metric
        place = view.place_of(board.sort_by)
        entries = {}
        for line in view.lines:
            source = line.row.sources.get(task)
            is_idle = source is not None and not is_above_floors(source, metric, self._tables)
            entries[line.row.label] = GlanceEntry(line.entries[place], is_idle)
        own = tuple(entries.get(label) for label in self._labels)
        return GlanceLine(view, corpus, view.headings[place], own)


def is_above_floors(source: SourceRecord, metric: str, tables: UtteranceTables) -> bool:
    """Say whether a record is clearly better than each floor of ``metric`` that it has.

    By intervals of both as if their errors had nothing to do with each other: true of one without a floor, false of
    one without a value. Raises what :meth:`UtteranceTables.of` raises.
    """
    found = source.record.metric(metric)
    if found is None or found.value is None:
        return False
    sign = 1.0 if found.better == "higher" else -1.0
    floors = [
        floor for group in FLOORS if (floor := source.record.metric(metric, group)) and floor.value is not None
    ]
    pairs = [
        [
            (sign * (each.value or 0.0), math.inf if each.half_width is None else each.half_width)
            for each in (found, floor)
        ]
        for floor in floors
    ]
    if not pairs:
        return True
    num = num_units(source, *tables.of(source))
    return all(stats.independent(mine, theirs, num)[1] > 0 for mine, theirs in pairs)
