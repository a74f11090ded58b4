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

__all__ = ["MissingUtterancesError", "Standing", "has_components", "read_utterances", "standings"]


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
    tables: dict[str, pd.DataFrame] = {}
    found = {}
    for key, column in board.columns.items():
        ranked = [row for row in section.rows if not row.is_anchor and _takes_part(row.cells[key])]
        if not ranked:
            continue
        best = _best(ranked, key)
        sources = [row.sources[board.task_of[key]] for row in ranked]
        tied = None
        if column.group == ALL_UTTERANCES:
            for source in sources:
                tables.setdefault(source.path, read_utterances(source))
            tied = _tied(column.metric, sources, [tables[source.path] for source in sources], best.label)
        if tied is None:
            tied = frozenset(row.label for row in ranked if _is_near(row.cells[key], best.cells[key]))
        found[key] = Standing(best.label, tied)
    return found


def _takes_part(cell: Cell) -> bool:
    return (
        cell.value is not None and cell.summary is not None and cell.summary.better is not None and not cell.is_cost
    )


def _best(ranked: Sequence[Row], key: str) -> Row:
    summary = ranked[0].cells[key].summary
    sign = -1.0 if summary and summary.better == "higher" else 1.0
    return min(ranked, key=lambda row: (sign * (row.cells[key].value or 0.0), row.label))


def _tied(
    metric: str, sources: Sequence[SourceRecord], tables: Sequence[pd.DataFrame], best_label: str
) -> frozenset[str] | None:
    """Return the labels of the rows that cannot be told from the best, itself included; None without components."""
    if not all(has_components(table, metric) for table in tables):
        return None
    summary = sources[0].record.metric(metric)
    is_rms = [summary is not None and summary.pooling == "rms"] * len(tables)
    groups = tables[0]["speaker"].tolist() if sources[0].record.interval.by == "speaker" else None
    total, weight = (
        stats.group_sums(np.column_stack([table[f"{metric}.{part}"].fillna(0.0) for table in tables]), groups)
        for part in ("total", "weight")
    )
    labels = [source.label for source in sources]
    if len(total) < stats.MIN_UNITS:
        return frozenset(labels)
    values = stats.resample(total, weight, rms=is_rms)
    best = values[:, labels.index(best_label)]
    intervals = [stats.percentile_interval(values[:, index] - best) for index in range(len(labels))]
    return frozenset(label for label, (low, high) in zip(labels, intervals, strict=True) if low <= 0.0 <= high)


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
