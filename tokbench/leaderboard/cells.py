"""Cells: the records that a leaderboard shows, as rows, after checking that they may stand in one table.

A number is compared with the numbers above and below it. That is allowed only where the same version of a task
measured the same utterances with the same judge, and where a row is one codec: everything else is an error that
names two files, and never a table.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokbench.corpora.reference import may_share
from tokbench.errors import TokbenchError
from tokbench.leaderboard.spec import RESYNTHESIS, Column, Leaderboard
from tokbench.records import (
    CodecSummary,
    CorpusSummary,
    Cost,
    MetricSummary,
    Record,
    RecordFiles,
    read_cost,
    read_records,
)
from tokbench.specs.study import list_studies

__all__ = [
    "Cell",
    "MixedRecordsError",
    "Row",
    "Section",
    "SourceRecord",
    "check_comparable",
    "quoted",
    "read_sections",
    "read_task",
    "results_option",
    "run_command",
]


class MixedRecordsError(TokbenchError):
    """Records that must not stand in one table."""

    def __init__(self, what: str, first: str, second: str, values: tuple[object, object]) -> None:
        super().__init__(
            f"{first} and {second} cannot stand in one table: {what} is {values[0]!r} in the one and {values[1]!r} "
            "in the other. Run the older one again, or move it out of the results."
        )


@dataclass(frozen=True)
class SourceRecord:
    """A record and where it lies."""

    path: str
    """Relative to the results folder, with forward slashes."""
    record: Record
    files: RecordFiles
    cost: Cost | None

    @property
    def label(self) -> str:
        """``codec:setting``."""
        return f"{self.record.codec.name}:{self.record.codec.setting}"


@dataclass(frozen=True)
class Cell:
    """One number, or the reason why there is none."""

    summary: MetricSummary | None
    missing: str = ""
    """Why there is no value; empty where there is one."""
    is_cost: bool = False
    """Whether the number depends on the machine: such numbers are shown and never ranked."""

    @property
    def value(self) -> float | None:
        """The value, None where it is missing."""
        return self.summary.value if self.summary else None


@dataclass(frozen=True)
class Row:
    """One setting of one codec on one corpus."""

    sources: Mapping[str, SourceRecord]
    """By task id; a task that was not run on this codec is absent."""
    cells: Mapping[str, Cell]
    """By column key."""
    is_anchor: bool

    @cached_property
    def codec(self) -> CodecSummary:
        """What the records say of the codec; the record that knows most."""
        summaries = [source.record.codec for source in self.sources.values()]
        return next((summary for summary in summaries if summary.fingerprint is not None), summaries[0])

    @property
    def label(self) -> str:
        """``codec:setting``."""
        return f"{self.codec.name}:{self.codec.setting}"

    def trained_on(self, corpus: str) -> tuple[str, ...]:
        """Return the training corpora of the codec that may hold what tasks on ``corpus`` are scored on."""
        return tuple(name for name in self.codec.trained_on if may_share(name, corpus))


@dataclass(frozen=True)
class Section:
    """One table: a leaderboard on one corpus."""

    board: Leaderboard
    """As it is on this corpus: with a column to sort by that was measured on it."""
    corpus: CorpusSummary
    rows: tuple[Row, ...]
    """In the order of the table."""

    def metric(self, key: str) -> MetricSummary | None:
        """Return what is known of a column (title, unit, direction), None where no record has it."""
        return next((s for row in self.rows if (s := row.cells[key].summary) is not None), None)

    @property
    def num_filled(self) -> int:
        """Number of columns in which some row has a number."""
        return sum(any(row.cells[key].value is not None for row in self.rows) for key in self.board.columns)


def read_task(results: Path, task: str) -> Iterator[SourceRecord]:
    """Yield the records of the task with the id ``task`` in the order of their paths.

    Raises :class:`MixedRecordsError` where two files claim to be the same codec, setting and corpus.
    """
    seen: dict[tuple[str, str, str], str] = {}
    for path, record in read_records(results, task=task):
        place = path.relative_to(results).as_posix()
        key = (record.corpus.name, record.codec.name, record.codec.setting)
        if record.task.id != task:
            raise MixedRecordsError("task", place, f"its folder {task}", (record.task.id, task))
        if key in seen:
            raise MixedRecordsError("codec", seen[key], place, (f"{key[1]}:{key[2]}",) * 2)
        seen[key] = place
        files = RecordFiles.of(results, record)
        yield SourceRecord(place, record, files, read_cost(files.cost))


def read_sections(board: Leaderboard, results: Path) -> list[Section]:
    """Return one table per corpus that has records, in the order of the leaderboard, or the fullest first.

    A codec has a row where something was measured that does not only stand beside the rest. A corpus of which no
    codec has one has no table, nor, where codecs are named, has one on which anchors alone were measured.

    Raises :class:`MixedRecordsError` for records that must not be compared and :class:`RecordError` for files
    that cannot be read.
    """
    by_corpus: dict[str, list[SourceRecord]] = {}
    is_shown = _choice(board)
    for task in board.tasks:
        for source in read_task(results, task):
            if is_shown(source.record.codec.name):
                by_corpus.setdefault(source.record.corpus.name, []).append(source)
    by_corpus = {name: kept for name, sources in by_corpus.items() if (kept := _asked(board, sources))}
    if board.codecs != "*":
        by_corpus = {name: sources for name, sources in by_corpus.items() if _has_more_than_anchors(board, sources)}
    if board.corpora != "*":
        return [_section(board, by_corpus[name]) for name in board.corpora if name in by_corpus]
    sections = [_section(board, by_corpus[name]) for name in sorted(by_corpus)]
    return sorted(sections, key=lambda section: -section.num_filled)


def _choice(board: Leaderboard) -> Callable[[str], bool]:
    """Return what says of the name of a codec whether it stands on ``board``."""
    if board.codecs != "*":
        return frozenset({*board.codecs, *board.anchors}).__contains__
    studies = [study for study in list_studies().values() if study.num_seeds > 1]
    repeated = {trial.name for study in studies for trial in study.all_trials}
    return lambda name: name not in repeated


def _asked(board: Leaderboard, sources: Sequence[SourceRecord]) -> list[SourceRecord]:
    """Return the records of codecs of which more was measured than stands beside the rest."""
    asked = {source.label for source in sources if source.record.task.id in board.asked}
    return [source for source in sources if source.label in asked]


def _has_more_than_anchors(board: Leaderboard, sources: Iterable[SourceRecord]) -> bool:
    return any(source.record.codec.name not in board.anchors for source in sources)


def _section(board: Leaderboard, sources: Sequence[SourceRecord]) -> Section:
    for source in sources[1:]:
        _check_corpus(sources[0], source)
    by_label: dict[str, dict[str, SourceRecord]] = {}
    for source in sources:
        by_label.setdefault(source.label, {})[source.record.task.id] = source
    rows = [_row(board, by_task) for by_task in by_label.values()]
    for key in board.columns:
        _check_column(key, board.task_of[key], rows)
    board = board.sorted_where(lambda key: any(row.cells[key].summary is not None for row in rows))
    return Section(board, sources[0].record.corpus, tuple(_ordered(rows, board.sort_by)))


def quoted(corpus: CorpusSummary) -> str:
    """Return the reference of a corpus as it is typed in a shell, where ``?`` and ``&`` have a meaning."""
    return shlex.quote(corpus.reference)


def run_command(codec: str, task: str, near: Record) -> str:
    """Return the command that measures ``codec`` by ``task`` on as much of the corpus as ``near`` is of."""
    asked = ["tokbench", "run", "--codec", codec, "--task", task, "--corpus", near.corpus.reference]
    if (limit := near.provenance.get("limit")) is not None:
        asked += ["--limit", str(limit)]
    return shlex.join(asked)


def results_option(results: Path) -> str:
    """Return what has to be added to ``tokbench run`` for records below ``results``."""
    return "" if results == Path("results") else f" --results {shlex.quote(str(results))}"


def _row(board: Leaderboard, by_task: dict[str, SourceRecord]) -> Row:
    sources = list(by_task.values())
    for source in sources[1:]:
        _check_equal("codec fingerprint", sources[0], source, lambda s: s.record.codec.fingerprint)
    cells = {}
    for key, column in board.columns.items():
        task = board.task_of[key]
        found = by_task.get(task)
        command = run_command(sources[0].label, task, sources[0].record)
        cells[key] = _cell(found, column) if found else Cell(None, f"not run: {command}")
    return Row(by_task, cells, is_anchor=sources[0].record.codec.name in board.anchors)


def _cell(source: SourceRecord, column: Column) -> Cell:
    summary = source.record.metric(column.metric, column.group)
    if summary is not None:
        return Cell(summary, _why_missing(summary))
    costs = source.cost.metrics if source.cost else ()
    for cost in costs:
        if (cost.name, cost.group) == (column.metric, column.group):
            return Cell(cost, _why_missing(cost), is_cost=True)
    return Cell(None, source.record.reason or _why_not_there(source.record, column))


def _why_not_there(record: Record, column: Column) -> str:
    if column.group == RESYNTHESIS and record.codec.num_separable_codebooks is None:
        return f"{record.codec.name} only encodes: there is no resynthesis of it"
    return f"not in the record of {record.task.id}"


def _why_missing(summary: MetricSummary) -> str:
    if summary.value is not None:
        return ""
    reasons = sorted(summary.reasons.items(), key=lambda item: (-item[1], item[0]))
    listing = "; ".join(f"{reason} ({count})" for reason, count in reasons) or "no reason was recorded"
    if summary.num_total == 0:
        return f"not applicable to any utterance: {listing}"
    return f"{summary.num_total - summary.num_ok} of {summary.num_total} failed: {listing}"


def _check_equal(
    what: str, first: SourceRecord, second: SourceRecord, fact: Callable[[SourceRecord], object]
) -> None:
    values = fact(first), fact(second)
    if None not in values and values[0] != values[1]:
        raise MixedRecordsError(what, first.path, second.path, values)


def _check_corpus(first: SourceRecord, second: SourceRecord) -> None:
    _check_equal("the hash of the corpus", first, second, lambda source: source.record.corpus.sha256)
    _check_equal("--limit", first, second, lambda source: source.record.provenance.get("limit") or "everything")


def check_comparable(first: SourceRecord, second: SourceRecord, *, same_task: bool = True) -> None:
    """Raise :class:`MixedRecordsError` unless both measured the same things on the same utterances.

    Tasks that ask the same of other models are two tasks; they are compared where ``same_task`` is false.
    """
    _check_corpus(first, second)
    if same_task:
        _check_equal("the hash of the task", first, second, lambda source: source.record.task.sha256)
    for summary in first.record.metrics:
        other = second.record.metric(summary.name, summary.group)
        _check_summary(summary.name, (first, summary), (second, other))


def _check_column(key: str, task: str, rows: Iterable[Row]) -> None:
    first: tuple[SourceRecord, MetricSummary | None] | None = None
    for row in rows:
        source, summary = row.sources.get(task), row.cells[key].summary
        if source is None:
            continue
        if first is not None:
            _check_equal("the hash of the task", first[0], source, lambda s: s.record.task.sha256)
            _check_summary(key, first, (source, summary))
        if first is None or first[1] is None or (summary is not None and first[1].value is None):
            first = source, summary


def _check_summary(
    key: str, first: tuple[SourceRecord, MetricSummary | None], second: tuple[SourceRecord, MetricSummary | None]
) -> None:
    (source, one), (other, two) = first, second
    if one is None or two is None:
        return
    for field in ("judge", "source", "unit", "better", "pooling"):
        if field == "judge" and None in (one.value, two.value):
            continue  # a cell that was skipped for want of its judge does not know the judge
        values = getattr(one, field), getattr(two, field)
        if values[0] != values[1]:
            raise MixedRecordsError(f"the {field} of {key}", source.path, other.path, values)


def _ordered(rows: Iterable[Row], key: str) -> list[Row]:
    def place(row: Row) -> tuple[bool, float, str, str]:
        cell = row.cells[key]
        value = cell.value
        sign = -1.0 if cell.summary and cell.summary.better == "higher" else 1.0
        return (value is None, 0.0 if value is None else sign * value, row.codec.name, row.codec.setting)

    return sorted(rows, key=place)
