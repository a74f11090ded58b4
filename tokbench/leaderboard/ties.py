"""Ties: which rows of a column cannot be told from its best, by a paired bootstrap over the same utterances.

Two codecs are heard on the same utterances, some of which are hard for both. The intervals of their values may
overlap widely while the difference is clear on nearly every utterance, so overlap is no test: the difference is
resampled instead. Where a task trains a model from several seeds, they have a share in the difference. Each
comparison stands by itself; nothing is corrected for their number.

A statistic of the whole corpus (the entropy of the codes, say) comes with an interval and without utterances. Its
values are tied if they differ by no more than independent errors explain, by Welch's interval. What two codecs
share makes the true error of the difference smaller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tokbench import stats
from tokbench.leaderboard.cells import Cell, Row, Section, SourceRecord
from tokbench.leaderboard.components import Components, UtteranceTables, are_measured, num_units, units_of
from tokbench.leaderboard.spec import ALL_UTTERANCES, Leaderboard

__all__ = [
    "Compared",
    "Draws",
    "Standing",
    "goodness",
    "standings",
    "takes_part",
]


@dataclass(frozen=True)
class Standing:
    """The best of a column, and who else may be it."""

    best: str
    """Label of the row with the best value."""
    tied: frozenset[str]
    """Labels of the rows whose difference from the best has a 95 % interval that contains 0; the best is one."""


def standings(board: Leaderboard, section: Section) -> Mapping[str, Standing]:
    """Return who is best in each column of ``section`` that has a direction; by column key.

    Anchors, missing values and costs take no part. Raises :class:`tokbench.leaderboard.cells.MixedRecordsError`
    for utterances that are other recordings in one record than in another.
    """
    draws = Draws(board)
    found = {}
    for key in board.columns:
        ranked = [row for row in section.rows if not row.is_anchor and takes_part(row.cells[key])]
        if ranked:
            best = _best(ranked, key)
            tied = draws.compared(key, ranked).tied_with(ranked.index(best))
            found[key] = Standing(best.label, frozenset(ranked[place].label for place in np.flatnonzero(tied)))
    return found


def takes_part(cell: Cell) -> bool:
    """Say whether a number may be better or worse than others of its column."""
    return (
        cell.value is not None and cell.summary is not None and cell.summary.better is not None and not cell.is_cost
    )


def _best(ranked: Sequence[Row], key: str) -> Row:
    return min(ranked, key=lambda row: (-goodness(row.cells[key]), row.label))


def goodness(cell: Cell) -> float:
    """Return the value, turned round where lower is better."""
    sign = 1.0 if cell.summary and cell.summary.better == "higher" else -1.0
    return sign * (cell.value or 0.0)


class Draws:
    """The utterances of a section, of which all rows are compared on the same draws; each table is read once."""

    def __init__(self, board: Leaderboard) -> None:
        self._board = board
        self._tables = UtteranceTables()

    def compared(self, key: str, rows: Sequence[Row]) -> "Compared":
        """Return ``rows`` in the column ``key``, on the same draws where there are utterances to draw."""
        column = self._board.columns[key]
        sources = [row.sources[self._board.task_of[key]] for row in rows]
        tables = self._tables.of(*sources)
        drawn = _resampled(column.metric, sources, tables) if column.group == ALL_UTTERANCES else None
        return Compared([row.cells[key] for row in rows], drawn, num_units(sources[0], tables[0]))


@dataclass(frozen=True)
class _Drawn:
    """Values of the seeds of some rows, on the same draws of utterances or speakers."""

    draws: np.ndarray
    """[R, S], of all seeds of all rows; [0, S] for too few utterances."""
    observed: np.ndarray
    """[S], on all utterances."""
    rows: np.ndarray
    """int64 [S], the row of each."""
    num_units: int

    def has(self, row: int) -> bool:
        """Say whether utterances tell of a row."""
        return bool((self.rows == row).any())

    def is_tied(self, one: int, other: int) -> bool:
        """Say whether the difference of two rows has an interval that contains 0."""
        if one == other or not len(self.draws):
            return True
        mine, theirs = self.rows == one, self.rows == other
        drawn = self.draws[:, mine].mean(axis=1) - self.draws[:, theirs].mean(axis=1)
        return stats.over_seeds(drawn, self.observed[mine], self.observed[theirs], self.num_units).is_tied


def _resampled(metric: str, sources: Sequence[SourceRecord], tables: Sequence[pd.DataFrame]) -> _Drawn | None:
    """Return the values, on the same draws, of the rows whose utterances have one; None where none has."""
    places = [place for place, table in enumerate(tables) if are_measured(table, metric)]
    if not places:
        return None
    summary = sources[places[0]].record.metric(metric)
    groups = units_of(sources[places[0]], tables[places[0]])
    parts = [Components.of(tables[place], metric) for place in places]
    total = stats.group_sums(np.column_stack([part.total for part in parts]), groups)
    weight = stats.group_sums(np.column_stack([part.weight for part in parts]), groups)
    is_rms = np.full(total.shape[1], summary is not None and summary.pooling == "rms")
    rows = np.repeat(places, [part.total.shape[1] for part in parts])
    if stats.num_counted(weight) < stats.MIN_UNITS:
        return _Drawn(np.empty((0, total.shape[1])), np.empty(total.shape[1]), rows, 0)
    observed = stats.ratio(total.sum(axis=0), weight.sum(axis=0), rms=is_rms)
    draws = stats.resample(total, weight, rms=is_rms.tolist())
    return _Drawn(draws, observed, rows, stats.num_counted(weight))


@dataclass(frozen=True)
class Compared:
    """Some rows in one column."""

    cells: Sequence[Cell]
    drawn: _Drawn | None
    """Values on the same draws, of the rows whose utterances have one; None where no row has any."""
    num_units: int
    """Utterances, speakers or texts of the corpus."""

    def tied_with(self, place: int) -> np.ndarray:
        """Return bool [N], true for the rows that cannot be told from the one at ``place``, itself included."""
        return np.array([self._is_tied(row, place) for row in range(len(self.cells))])

    def _is_tied(self, one: int, other: int) -> bool:
        if self.drawn is not None and self.drawn.has(one) and self.drawn.has(other):
            return self.drawn.is_tied(one, other)
        return _is_near(self.cells[one], self.cells[other], self.num_units)


def _is_near(cell: Cell, best: Cell, num_units: int) -> bool:
    """Say whether two values differ by no more than their independent errors explain."""
    if cell.summary is None or best.summary is None or cell.value is None or best.value is None:
        return False
    mine, theirs = ((each.value or 0.0, each.half_width or 0.0) for each in (cell.summary, best.summary))
    _, low, high = stats.independent(mine, theirs, num_units)
    return low <= 0.0 <= high
