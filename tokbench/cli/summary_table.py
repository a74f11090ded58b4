"""What `tokbench run` says at its end: one table per task and corpus that fits a terminal."""

import math
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokbench.cli.terminal import print_table

if TYPE_CHECKING:
    from tokbench.records import MetricSummary, Record
    from tokbench.run.engine import CellOutcome

__all__ = ["format_value", "print_outcomes"]

_CHARACTERS_PER_METRIC = 14
_CHARACTERS_OF_THE_REST = 44
"""Codec, bitrate and count."""
_WIDTH_OF_A_PIPE = 120


def print_outcomes(outcomes: "Sequence[CellOutcome]") -> None:
    """Print the first metrics of each task, a row per codec setting."""
    tables: dict[tuple[str, str], list[Record]] = {}
    for outcome in outcomes:
        record = outcome.record
        tables.setdefault((record.task.id, record.corpus.name), []).append(record)
    for (task, corpus), records in tables.items():
        names = _columns(records[0])
        rows = [_row(record, names) for record in records]
        first = [_heading(records[0].metric(name)) for name in names]
        columns = ("codec", "kbit/s", *first, "scored")
        print_table(rows, columns=columns, title=f"{task} on {corpus}", numeric=columns[1:], optional=first[:0:-1])


def _columns(record: "Record") -> list[str]:
    """Return the first metrics, as many as fit the terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    count = max((width - _CHARACTERS_OF_THE_REST) // _CHARACTERS_PER_METRIC, 1)
    return [metric.name for metric in record.metrics if metric.group == "all"][:count]


def _heading(metric: "MetricSummary | None") -> str:
    if metric is None:
        return ""
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[metric.better]
    return f"{metric.title}{arrow}"


def _row(record: "Record", names: Sequence[str]) -> tuple[str, ...]:
    codec = record.codec
    rate = "?" if codec.bitrate_bps is None else f"{codec.bitrate_bps / 1000:.4g}"
    metrics = [record.metric(name) for name in names]
    counted = metrics[0]
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
