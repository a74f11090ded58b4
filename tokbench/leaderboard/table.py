"""Tables: a leaderboard as CSV, wide (one row per codec setting) and long (one row per number).

Bytes are reproducible: rows and columns have a fixed order, numbers six significant digits.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from tokbench.leaderboard.cells import Cell, Row, Section, SourceRecord, read_sections
from tokbench.leaderboard.ranking import Ranks, rank
from tokbench.leaderboard.spec import ALL_UTTERANCES, Leaderboard
from tokbench.leaderboard.ties import Standing, standings, takes_part
from tokbench.records import MetricSummary

__all__ = ["Table", "csv_bytes", "read_tables"]

NUM_DIGITS = 6


@dataclass(frozen=True)
class Table:
    """One leaderboard on one corpus."""

    section: Section
    standings: Mapping[str, Standing]
    """Who is best, by column key; only columns with a direction are here, and neither floors nor ceilings."""
    joint: Ranks | None = None
    """The order over all questions, where the leaderboard asks for one."""

    @property
    def board(self) -> Leaderboard:
        """The leaderboard, as it is on this corpus."""
        return self.section.board

    def ranks(self) -> dict[str, int]:
        """Return the place of each ranked row in the order of the table, from 1; equal numbers share theirs.

        Anchors and missing values have none, and nobody has one where the sorting column knows no better or worse.
        """
        key = self.board.sort_by
        if key not in self.standings:
            return {}
        ranked = [row for row in self.section.rows if not row.is_anchor and row.cells[key].value is not None]
        first: dict[str, int] = {}
        return {
            row.label: first.setdefault(_text(row.cells[key].value), place)
            for place, row in enumerate(ranked, start=1)
        }

    @cached_property
    def _contested(self) -> frozenset[str]:
        """Columns in which two rows or more can be told from each other or not: one alone is not the best."""
        rows = [row for row in self.section.rows if not row.is_anchor]
        return frozenset(key for key in self.standings if sum(takes_part(row.cells[key]) for row in rows) > 1)

    def is_tied(self, row: Row, key: str) -> bool | None:
        """Say whether a number is the best of its column or tied with it.

        None where it takes no part, and where there is no other that does.
        """
        if key not in self._contested or row.is_anchor or row.cells[key].value is None:
            return None
        return row.label in self.standings[key].tied

    def wide(self) -> pd.DataFrame:
        """Return one row per codec setting; per column its value, 95 % interval and counts."""
        ranks = self.ranks()
        return pd.DataFrame([self._wide_row(row, ranks.get(row.label)) for row in self.section.rows])

    def _wide_row(self, row: Row, rank: int | None) -> dict[str, Any]:
        corpus, codec = self.section.corpus.name, row.codec
        facts: dict[str, Any] = {
            "corpus": corpus,
            **({"task": self.board.tasks[0]} if self.board.table_per_group else {}),
            "rank": "" if rank is None else rank,
            "codec": codec.name,
            "setting": codec.setting,
            "anchor": _yes(row.is_anchor),
            "trained_on_this_corpus": _yes(bool(row.trained_on(corpus))),
            "sample_rate_hz": codec.sample_rate_hz,
            "num_parameters": codec.num_parameters,
        }
        facts |= self._wide_ranks(row)
        for key, cell in row.cells.items():
            facts |= {f"{key}{ending}": value for ending, value in self._wide_cell(row, key, cell)}
        return facts

    def _wide_ranks(self, row: Row) -> dict[str, Any]:
        """Return the band of a row, its place there, and its ranks; empty cells for one that has none."""
        if self.board.ranking is None or self.joint is None:
            return {}
        headings = [question.heading for question in self.board.ranking.questions]
        found = next(
            ((band, item) for band in self.joint.bands for item in band.ranked if item.row.label == row.label), None
        )
        if found is None:
            return dict.fromkeys(["band_bps", "place_in_band", "joint_rank", *(f"rank: {h}" for h in headings)])
        band, item = found
        return {
            "band_bps": f"{band.low_bps:g}-{band.high_bps:g}",
            "place_in_band": item.place,
            "joint_rank": item.joint,
            **{f"rank: {heading}": item.questions.get(heading) for heading in headings},
        }

    def _wide_cell(self, row: Row, key: str, cell: Cell) -> Iterator[tuple[str, Any]]:
        summary = cell.summary
        yield "", cell.value
        yield ".low", summary.low if summary else None
        yield ".high", summary.high if summary else None
        yield ".num_ok", summary.num_ok if summary else None
        yield ".num_total", summary.num_total if summary else None
        yield ".tied_with_best", _yes(self.is_tied(row, key))
        yield ".missing", cell.missing

    def long(self) -> pd.DataFrame:
        """Return one row per codec setting, metric and group: every number of its records."""
        lines = (self._lines(row, source) for row in self.section.rows for source in row.sources.values())
        return pd.DataFrame(chain.from_iterable(lines))

    def _lines(self, row: Row, source: SourceRecord) -> Iterator[dict[str, Any]]:
        task = source.record.task.id
        shown = {(self.board.task_of[key], c.metric, c.group): key for key, c in self.board.columns.items()}
        costs = source.cost.metrics if source.cost else ()
        for summary in (*source.record.metrics, *costs):
            key = shown.get((task, summary.name, summary.group))
            if not (key or summary.group == ALL_UTTERANCES or self.board.per_codebook):
                continue
            yield {
                "corpus": source.record.corpus.name,
                "codec": source.record.codec.name,
                "setting": source.record.codec.setting,
                "anchor": _yes(row.is_anchor),
                "task": task,
                "status": source.record.status,
                **_line(summary),
                "tied_with_best": _yes(self.is_tied(row, key)) if key else "",
                "depends_on_machine": _yes(summary in costs),
                "record": source.path,
            }


def _line(summary: MetricSummary) -> dict[str, Any]:
    return {
        "metric": summary.name,
        "group": summary.group,
        "unit": summary.unit,
        "better": summary.better or "",
        "judge": summary.judge or "",
        "value": summary.value,
        "low": summary.low,
        "high": summary.high,
        "num_ok": summary.num_ok,
        "num_total": summary.num_total,
        "num_not_applicable": summary.num_not_applicable,
        "reasons": json.dumps(dict(summary.reasons), sort_keys=True, ensure_ascii=False) if summary.reasons else "",
    }


def _yes(value: bool | None) -> str:  # noqa: FBT001  (a cell, not an option)
    return {True: "yes", False: "no", None: ""}[value]


def read_tables(board: Leaderboard, results: Path) -> list[Table]:
    """Return the tables of ``board``, one per corpus, or per group and corpus; empty where no record fits.

    Raises what :func:`read_sections` and :func:`standings` raise.
    """
    return [
        Table(section, _standings(section), rank(section.board, section))
        for each in board.tables
        for section in read_sections(each, results)
    ]


def _standings(section: Section) -> Mapping[str, Standing]:
    found, columns = standings(section.board, section), section.board.columns
    return {key: standing for key, standing in found.items() if not columns[key].is_reference}


def csv_bytes(frames: Sequence[pd.DataFrame]) -> bytes:
    """Return ``frames`` below one another as UTF-8 CSV with six significant digits."""
    whole = pd.concat(frames, ignore_index=True).map(_text)
    return str(whole.to_csv(index=False, lineterminator="\n")).encode()


def _text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124  (NaN)
        return ""
    if isinstance(value, float):
        return f"{value:.{NUM_DIGITS}g}" if not value.is_integer() or abs(value) >= 1e15 else str(int(value))  # noqa: PLR2004
    return str(value)
