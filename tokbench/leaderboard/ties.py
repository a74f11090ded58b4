"""Ties: which rows of a column cannot be told from its best, by a paired bootstrap over the same utterances.

Two codecs are heard on the same utterances, some of which are hard for both. The intervals of their values may
overlap widely while the difference is clear on nearly every utterance, so overlap is no test: the difference is
resampled instead. Each comparison stands by itself; nothing is corrected for their number.

A statistic of the whole corpus (the entropy of the codes, say) comes with an interval and without utterances. Its
values are tied if they differ by less than the half-widths of their intervals added as independent errors are, by
their squares. What two codecs share makes the true error of the difference smaller, so this errs towards a tie.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tokbench import stats
from tokbench.errors import TokbenchError
from tokbench.leaderboard.cells import Cell, Row, Section, SourceRecord
from tokbench.leaderboard.spec import ALL_UTTERANCES, Leaderboard

__all__ = [
    "Compared",
    "Draws",
    "MissingUtterancesError",
    "Standing",
    "goodness",
    "has_components",
    "read_utterances",
    "standings",
    "takes_part",
]


class MissingUtterancesError(TokbenchError):
    """A record without the per-utterance table that comparisons need."""

    def __init__(self, source: SourceRecord) -> None:
        record = source.record
        super().__init__(
            f"{source.path} has no {source.files.utterances.name} beside it, so that it cannot be compared. "
            f"Make it again with: tokbench run --codec {source.label} --task {record.task.id} "
            f"--corpus {record.corpus.reference}"
        )


@dataclass(frozen=True)
class Standing:
    """The best of a column, and who else may be it."""

    best: str
    """Label of the row with the best value."""
    tied: frozenset[str]
    """Labels of the rows whose difference from the best has a 95 % interval that contains 0; the best is one."""


def read_utterances(source: SourceRecord) -> pd.DataFrame:
    """Return the per-utterance table of a record, in corpus order; raises :class:`MissingUtterancesError`."""
    if not source.files.utterances.is_file():
        raise MissingUtterancesError(source)
    return pd.read_parquet(source.files.utterances)


def has_components(utterances: pd.DataFrame, metric: str) -> bool:
    """Say whether ``metric`` was measured utterance by utterance."""
    return {f"{metric}.total", f"{metric}.weight"} <= set(utterances.columns)


def standings(board: Leaderboard, section: Section) -> Mapping[str, Standing]:
    """Return who is best in each column of ``section`` that has a direction; by column key.

    Anchors, missing values and costs take no part.
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
        self._tables: dict[str, pd.DataFrame] = {}

    def compared(self, key: str, rows: Sequence[Row]) -> "Compared":
        """Return ``rows`` in the column ``key``, on the same draws where there are utterances to draw."""
        column = self._board.columns[key]
        sources = [row.sources[self._board.task_of[key]] for row in rows]
        values = self._resampled(column.metric, sources) if column.group == ALL_UTTERANCES else None
        return Compared([row.cells[key] for row in rows], values)

    def _resampled(self, metric: str, sources: Sequence[SourceRecord]) -> np.ndarray | None:
        """Return the values [R, N] of the rows on the same draws; None where no utterance has one.

        [0, N] where there are too few utterances to be drawn.
        """
        for source in sources:
            if source.path not in self._tables:
                self._tables[source.path] = read_utterances(source)
        tables = [self._tables[source.path] for source in sources]
        if not all(has_components(table, metric) for table in tables):
            return None
        summary = sources[0].record.metric(metric)
        is_rms = [summary is not None and summary.pooling == "rms"] * len(tables)
        groups = tables[0]["speaker"].tolist() if sources[0].record.interval.by == "speaker" else None
        total, weight = (
            stats.group_sums(np.column_stack([table[f"{metric}.{part}"].fillna(0.0) for table in tables]), groups)
            for part in ("total", "weight")
        )
        if len(total) < stats.MIN_UNITS:
            return np.empty((0, len(tables)))
        return stats.resample(total, weight, rms=is_rms)


@dataclass(frozen=True)
class Compared:
    """Some rows in one column."""

    cells: Sequence[Cell]
    draws: np.ndarray | None
    """Values [R, N] on the same draws; [0, N] for too few utterances, None without any."""

    def tied_with(self, place: int) -> np.ndarray:
        """Return bool [N], true for the rows that cannot be told from the one at ``place``, itself included."""
        if self.draws is None:
            return np.array([_is_near(cell, self.cells[place]) for cell in self.cells])
        if not len(self.draws):
            return np.ones(len(self.cells), bool)
        intervals = [stats.percentile_interval(column) for column in (self.draws - self.draws[:, [place]]).T]
        return np.array([low <= 0.0 <= high for low, high in intervals])


def _is_near(cell: Cell, best: Cell) -> bool:
    """Say whether two values differ by no more than their independent errors explain."""
    if cell.value is None or best.value is None:
        return False
    return abs(cell.value - best.value) <= math.hypot(_half_width(cell), _half_width(best))


def _half_width(cell: Cell) -> float:
    summary = cell.summary
    if summary is None or summary.low is None or summary.high is None:
        return 0.0
    return (summary.high - summary.low) / 2
