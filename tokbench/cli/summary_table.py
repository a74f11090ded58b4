"""What `tokbench run` says at its end: one table per task and corpus, and where the records are."""

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokbench.cli.terminal import print_table, stderr

if TYPE_CHECKING:
    from tokbench.records import MetricSummary, Record
    from tokbench.run.engine import CellOutcome

__all__ = ["format_value", "print_outcomes"]


def print_outcomes(outcomes: "Sequence[CellOutcome]", results: Path) -> None:
    """Print the metrics of each task, a row per codec setting, and that their records lie in ``results``.

    On a terminal there are as many as it has room for, and the others are named. In a pipe there are all of them,
    each row begins with task and corpus, and an empty line stands between tables.
    """
    tables: dict[tuple[str, str], list[Record]] = {}
    for outcome in outcomes:
        record = outcome.record
        tables.setdefault((record.task.id, record.corpus.name), []).append(record)
    for place, (about, records) in enumerate(tables.items()):
        if place and not sys.stdout.isatty():
            sys.stdout.write("\n")
        _print_table(about, records)
    if outcomes:
        _tell_where(outcomes[0].cell.files.record, results)


def _print_table(about: tuple[str, str], records: "Sequence[Record]") -> None:
    names = [*dict.fromkeys(metric.name for one in records for metric in one.metrics if metric.group == "all")]
    headings = [_heading(next(filter(None, (record.metric(name) for record in records)))) for name in names]
    columns = ("codec", "kbit/s", *headings, "scored")
    rows = [_row(record, names) for record in records]
    if sys.stdout.isatty():
        optional = headings[:0:-1]
        print_table(rows, columns=columns, title=" on ".join(about), numeric=columns[1:], optional=optional)
    else:
        print_table([(*about, *row) for row in rows], columns=("task", "corpus", *columns))


def _tell_where(first: Path, results: Path) -> None:
    build = "tokbench leaderboard build"
    if results != Path("results"):
        build += f" --results {shlex.quote(str(results))}"
    stderr().print(
        f"The records are in {results}: `tokbench show {shlex.quote(str(first))}` shows one in full, "
        f"and `{build}` makes tables of all.",
        markup=False,
    )


def _heading(metric: "MetricSummary") -> str:
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[metric.better]
    return f"{metric.title}{arrow}"


def _row(record: "Record", names: Sequence[str]) -> tuple[str, ...]:
    codec = record.codec
    rate = "?" if codec.bitrate_bps is None else f"{codec.bitrate_bps / 1000:.4g}"
    metrics = [record.metric(name) for name in names]
    counted = next(iter(metrics), None)
    scored = f"{counted.num_ok}/{counted.num_total}" if counted else ""
    return (f"{codec.name}:{codec.setting}", rate, *(format_value(metric) for metric in metrics), scored)


def format_value(metric: "MetricSummary | None") -> str:
    """Return value and half width of the interval, with digits that the interval supports."""
    if metric is None or metric.value is None:
        return "—"
    half = 0.0 if metric.low is None or metric.high is None else (metric.high - metric.low) / 2
    if half <= 1e-9 * abs(metric.value):
        return f"{metric.value:.6g}"
    digits = min(max(1 - math.floor(math.log10(half)), 0), 3)
    return f"{metric.value:.{digits}f} ±{half:.{digits}f}"
