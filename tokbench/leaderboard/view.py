"""What the page shows of one table: numbers as texts, notes on what is missing, and what was run on what."""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokbench.leaderboard.cells import Cell, Row, quoted
from tokbench.leaderboard.examples import Example, examples
from tokbench.leaderboard.numbers import NumberFormat, number_format, with_digits
from tokbench.leaderboard.plot import Picture, pictures
from tokbench.leaderboard.ranking import Band
from tokbench.leaderboard.spec import ALL_UTTERANCES
from tokbench.leaderboard.table import Table
from tokbench.records import MetricSummary, TaskSummary

__all__ = ["Entry", "Heading", "Line", "TableView"]

_ARROWS = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}", None: ""}


@dataclass(frozen=True)
class Heading:
    """The head of one column."""

    key: str
    text: str
    unit: str
    arrow: str
    better: str
    tooltip: str
    is_ranked: bool
    """Whether the column has a best, so that sorting by it numbers the rows."""
    opens_group: bool


@dataclass(frozen=True)
class Entry:
    """One number as the page shows it."""

    text: str
    interval: str
    sort_value: str
    is_best: bool
    counts: str
    """``3 of 4`` utterances, where some are missing."""
    note: int | None
    """Number of the note that says why the value is missing."""
    missing: str
    opens_group: bool


@dataclass(frozen=True)
class Line:
    """One row."""

    row: Row
    rank: int | None
    entries: tuple[Entry, ...]
    trained_on: tuple[str, ...]


class TableView:
    """One table with all that belongs to its corpus."""

    def __init__(self, table: Table) -> None:
        self.table, self.board, self.corpus = table, table.board, table.section.corpus
        measured = {task for row in table.section.rows for task in row.sources}
        self.groups = [group for group in self.board.groups if group.task in measured]
        self.tasks_not_run = [task for task in self.board.tasks if task not in measured]
        self.notes: dict[str, int] = {}
        self._formats = {key: self._format(key) for group in self.groups for key in self.board.columns_of(group)}
        self._first = {next(iter(self.board.columns_of(group))) for group in self.groups}
        ranks = table.ranks()
        self.lines = [self._line(row, ranks.get(row.label)) for row in table.section.rows]

    def _format(self, key: str) -> NumberFormat:
        summary = self.table.section.metric(key)
        return number_format(
            summary.unit if summary else "", [row.cells[key].value for row in self.table.section.rows]
        )

    def _line(self, row: Row, rank: int | None) -> Line:
        entries = tuple(self._entry(row, key, row.cells[key]) for key in self._formats)
        return Line(row, rank, entries, row.trained_on(self.corpus.name))

    def _entry(self, row: Row, key: str, cell: Cell) -> Entry:
        summary, number = cell.summary, self._formats[key]
        return Entry(
            text=number.text(cell.value),
            interval=_interval(summary, number),
            sort_value="" if cell.value is None else f"{cell.value:.9g}",
            is_best=self.table.is_tied(row, key) is True,
            counts=_counts(summary),
            note=self._note(row, key, cell) if cell.missing else None,
            missing=cell.missing,
            opens_group=key in self._first,
        )

    def _note(self, row: Row, key: str, cell: Cell) -> int:
        """Return the number of the note that says why ``cell`` is missing; equal reasons share one."""
        task = self.board.task_of[key]
        reason = cell.missing if task in row.sources else f"{task} was not run on this codec"
        return self.notes.setdefault(reason, len(self.notes) + 1)

    @cached_property
    def headings(self) -> list[Heading]:
        """The columns, from left to right; those of a task that was run on no codec are left out."""
        return [self._heading(key) for key in self._formats]

    def place_of(self, key: str) -> int:
        """Return which of the headings, and of the entries of a line, is that of the column ``key``."""
        return list(self._formats).index(key)

    def _heading(self, key: str) -> Heading:
        column, summary = self.board.columns[key], self.table.section.metric(key)
        title = summary.title if summary else column.metric
        better = summary.better if summary else None
        facts = [
            title,
            f"{better} is better" if better else "",
            f"judge: {summary.judge}" if summary and summary.judge else "",
        ]
        return Heading(
            key=key,
            text=column.heading or title,
            unit=self._formats[key].unit,
            arrow=_ARROWS[better],
            better=better or "",
            tooltip="; ".join(fact for fact in facts if fact),
            is_ranked=key in self.table.standings,
            opens_group=key in self._first,
        )

    @property
    def title(self) -> str:
        """What this table is called among those of the page."""
        return self.groups[0].heading if self.board.table_per_group else self.corpus_title

    @property
    def corpus_title(self) -> str:
        """The corpus as it is asked for, where that can be read: ``synth-words?kind=digit``; else its name."""
        reference = self.corpus.reference
        is_readable = "?" in reference and ":" not in reference
        return reference if is_readable else self.corpus.name

    @property
    def label(self) -> str:
        """What this table is, for those who do not see where it stands."""
        title = self.title if self.board.table_per_group else self.board.title
        return f"{title} on {self.corpus.name}"

    @property
    def corpus_argument(self) -> str:
        """What a command is told for the corpus."""
        return quoted(self.corpus)

    @property
    def duration(self) -> str:
        """How much audio there is, in the unit that suits it."""
        seconds = self.corpus.duration_s or 0.0
        units = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
        unit, size = next(((unit, size) for unit, size in units.items() if seconds >= 2 * size), ("seconds", 1.0))
        return f"{with_digits(seconds / size)} {unit}"

    @cached_property
    def pictures(self) -> list[Picture]:
        """Quality against bitrate."""
        return pictures(self.table)

    @cached_property
    def examples(self) -> list[Example]:
        """What to listen to."""
        return examples(self.table)

    @staticmethod
    def band(band: Band) -> str:
        """Return a band of bitrate in words."""
        return f"{with_digits(band.low_bps / 1000)} to {with_digits(band.high_bps / 1000)} kbit/s"

    @staticmethod
    def rank(value: float | None) -> str:
        """Return a rank with one decimal; a dash for none."""
        return "\N{EM DASH}" if value is None else f"{value:.1f}"

    @cached_property
    def parts(self) -> list[tuple[Row, list[str], list[tuple[str, list[str]]]]]:
        """Metrics that were also measured in parts (per codebook): row, headings, and the numbers of each part."""
        if not self.board.per_codebook:
            return []
        metrics = {column.metric for column in self.board.columns.values()}
        found = ((row, *_parts(row, metrics)) for row in self.table.section.rows)
        return [(row, headings, lines) for row, headings, lines in found if lines]

    @cached_property
    def definitions(self) -> list[tuple[str, MetricSummary]]:
        """Heading and declaration of each metric that some record has."""
        known = [(heading.text, self.table.section.metric(heading.key)) for heading in self.headings]
        return [(text, summary) for text, summary in known if summary is not None]

    @cached_property
    def runs(self) -> list[tuple[Mapping[str, str], list[str]]]:
        """What was run on what: equal circumstances once, with the codecs that they hold for."""
        groups: dict[str, tuple[Mapping[str, str], list[str]]] = {}
        for row in self.table.section.rows:
            for source in row.sources.values():
                facts = {"task": source.record.task.id, **_flat(source.record.provenance)}
                groups.setdefault(json.dumps(facts), (facts, []))[1].append(source.label)
        return list(groups.values())

    @cached_property
    def tasks(self) -> list[TaskSummary]:
        """The tasks, each as its first record describes it."""
        found: dict[str, TaskSummary] = {}
        for row in self.table.section.rows:
            for name, source in row.sources.items():
                found.setdefault(name, source.record.task)
        return [found[name] for name in self.board.tasks if name in found]

    @cached_property
    def machines(self) -> list[tuple[str, list[str]]]:
        """The machines on which costs were measured, with the codecs that ran there."""
        groups: dict[str, list[str]] = {}
        if any(cell.is_cost for row in self.table.section.rows for cell in row.cells.values()):
            for row in self.table.section.rows:
                for source in row.sources.values():
                    if source.cost:
                        machine = ", ".join(f"{k}: {v}" for k, v in _flat(source.cost.machine).items())
                        groups.setdefault(f"{machine}, jobs: {source.cost.num_jobs}", []).append(source.label)
        return [(machine, list(dict.fromkeys(labels))) for machine, labels in groups.items()]


def _counts(summary: MetricSummary | None) -> str:
    if summary is None or summary.num_ok == summary.num_total:
        return ""
    return f"{summary.num_ok} of {summary.num_total}"


def _interval(summary: MetricSummary | None, number: NumberFormat) -> str:
    if summary is None or summary.value is None or summary.low is None or summary.high is None:
        return ""
    low, high = number.text(summary.low), number.text(summary.high)
    return f"{low} \N{EN DASH} {high}" if low != high else ""


def _parts(row: Row, metrics: Container[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the headings, and per part of the codes its name and its numbers under those headings."""
    numbers: dict[str, dict[str, str]] = {}
    headings: list[str] = []
    for source in row.sources.values():
        for summary in source.record.metrics:
            if summary.group == ALL_UTTERANCES or summary.name not in metrics:
                continue
            number = number_format(summary.unit, [])
            heading = f"{summary.title}, {number.unit}" if number.unit else summary.title
            headings += [heading] if heading not in headings else []
            text = "\N{EM DASH}" if summary.value is None else with_digits(summary.value * number.scale)
            numbers.setdefault(summary.group, {})[heading] = text
    return headings, [(group, [values.get(h, "") for h in headings]) for group, values in numbers.items()]


def _flat(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return ``facts`` as texts; the entries of an inner mapping become ``name value`` pairs."""
    flat = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            flat[key] = ", ".join(f"{name} {item}" for name, item in value.items())
        elif value is not None:
            flat[key] = str(value)
    return flat
