"""From the journal of a cell to its record: totals over utterances, intervals, and one row per utterance."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokbench.metrics.base import Metric, Score
from tokbench.metrics.catalogue import find_metric
from tokbench.paths import atomic_write
from tokbench.provenance import provenance
from tokbench.records import (
    CorpusSummary,
    IntervalMethod,
    MetricSummary,
    Record,
    TaskSummary,
    component_names,
)
from tokbench.run.journal import Entry, Journal
from tokbench.run.plan import Cell
from tokbench.run.worker import Loaded, describe_card
from tokbench.runners.base import Pooled, Runner
from tokbench.runners.registry import runner_type
from tokbench.stats import LEVEL, NUM_RESAMPLES, bootstrap_interval

__all__ = ["summarise", "summarise_costs", "unmeasured", "write_utterances"]

_ROWS_AT_ONCE = 4096
_NOT_MEASURED = "the utterance could not be measured"
_NUM_REASONS = 5
"""That a metric's summary tells; they may differ for each utterance, and the table of utterances has them all."""
_OTHER_REASONS = "other reasons, in the table of utterances"


def summarise(cell: Cell, journal: Journal, runner: Runner, pooled: Pooled, *, loaded: Loaded, key: str) -> Record:
    """Return the record of a measured cell, of which ``runner`` has ``pooled`` what needs the whole corpus."""
    table = _Table(journal, [metric for metric in runner.metrics.values() if _is_per_utterance(metric, runner)])
    found = {summary.name: [summary] for summary in table.summaries(cell)}
    for summary in pooled.summaries:
        found.setdefault(summary.name, []).append(summary)
    metrics = tuple(summary for name in runner.metrics for summary in found.get(name, []))
    values = [summary.value for summary in metrics if summary.group == "all"]
    status: Literal["ok", "partial", "failed"] = "ok"
    if None in values or table.num_errors:
        status = "partial" if any(value is not None for value in values) else "failed"
    return _record(
        cell,
        status=status,
        reason=table.commonest_error,
        codec=loaded.codec,
        duration_s=table.duration_s,
        metrics=metrics,
        resampler=loaded.resampler,
        key=key,
    )


def unmeasured(cell: Cell, status: Literal["skipped", "failed"], reason: str) -> Record:
    """Return the record of a cell whose codec never ran."""
    metrics = [find_metric(name) for name in cell.spec.task.metrics]
    total = cell.num_utterances
    reasons = {reason: total}
    return _record(
        cell,
        status=status,
        reason=reason,
        codec=describe_card(cell.spec.codec),
        duration_s=None,
        metrics=tuple(item.summary(value=None, num_ok=0, num_total=total, reasons=reasons) for item in metrics),
        resampler="",
        key="",
    )


def _record(cell: Cell, *, resampler: str, duration_s: float | None, **fields: Any) -> Record:
    task, corpus, options = cell.spec.task, cell.corpus, cell.options
    return Record(
        task=TaskSummary(id=task.id, kind=task.kind, question=task.question, sha256=cell.task_sha256),
        corpus=CorpusSummary(
            name=cell.corpus_name,
            reference=corpus.reference,
            num_utterances=cell.num_utterances,
            duration_s=duration_s,
            sha256=corpus.sha256,
            licence=corpus.licence,
        ),
        interval=IntervalMethod(
            level=LEVEL,
            method=runner_type(task.kind).interval_method_of(task.metrics),
            by=task.interval_by,
            num_resamples=NUM_RESAMPLES,
        ),
        provenance=provenance(
            device=options.device,
            seed=options.seed,
            limit=cell.limit,
            resampler=resampler,
            requires=cell.spec.codec.card.packages,
        ),
        **fields,
    )


def _is_per_utterance(metric: Metric, runner: Runner) -> bool:
    return metric.name not in runner.corpus_metrics


class _Table:
    """Totals and weights of every utterance and metric: 16 bytes each, and all that is held of a whole corpus."""

    def __init__(self, journal: Journal, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics
        parts = np.empty((len(journal), len(metrics), 2))
        self.speakers: list[str] = []
        self.reasons: list[Counter[str]] = [Counter() for _ in metrics]
        self.not_applicable: list[Counter[str]] = [Counter() for _ in metrics]
        self.errors: Counter[str] = Counter()
        self.duration_s = 0.0
        for row, entry in enumerate(journal):
            self.speakers.append(entry.speaker)
            self.duration_s += entry.measurement.duration_s or 0.0
            if entry.error is not None:
                self.errors[entry.error] += 1
            for column in range(len(metrics)):
                parts[row, column] = self._cell(entry, column)
        self.total, self.weight = parts[:, :, 0], parts[:, :, 1]

    def _cell(self, entry: Entry, column: int) -> tuple[float, float]:
        """Return (total, weight); NaN for a failure, weight 0 for what is not applicable."""
        name = self.metrics[column].name
        score = entry.measurement.scores.get(name)
        if score is not None and math.isfinite(score.total) and math.isfinite(score.weight):
            return score.total, score.weight
        if score is not None:
            self.reasons[column][f"the value came out as {score.total:g} / {score.weight:g}"] += 1
            return np.nan, np.nan
        failure = entry.measurement.failures.get(name)
        if failure is not None and failure.is_not_applicable:
            self.not_applicable[column][failure.reason] += 1
            return 0.0, 0.0
        self.reasons[column][failure.reason if failure else entry.error or _NOT_MEASURED] += 1
        return np.nan, np.nan

    @property
    def num_errors(self) -> int:
        return self.errors.total()

    @property
    def commonest_error(self) -> str | None:
        return self.errors.most_common(1)[0][0] if self.errors else None

    def summaries(self, cell: Cell) -> Iterator[MetricSummary]:
        groups = self.speakers if cell.spec.task.interval_by == "speaker" else None
        rms = [metric.pooling == "rms" for metric in self.metrics]
        intervals = bootstrap_interval(self.total, self.weight, rms=rms, groups=groups, seed=cell.spec.seed)
        for column, metric in enumerate(self.metrics):
            yield self._summary(metric, column, intervals[column])

    def _summary(self, metric: Metric, column: int, interval: np.ndarray) -> MetricSummary:
        num_failed = self.reasons[column].total()
        num_not_applicable = self.not_applicable[column].total()
        num_total = len(self.speakers) - num_not_applicable
        value = None
        if num_failed == 0:
            value = Score(self.total[:, column].sum(), self.weight[:, column].sum()).value(metric.pooling)
        has_interval = value is not None and bool(np.isfinite(interval).all())
        # Where the metric makes sense for no utterance, that is what has to be said.
        reasons = _commonest(self.reasons[column] if num_total else self.not_applicable[column])
        if value is None and not reasons and num_total:
            reasons = {"nothing to measure in any utterance": num_total}
        return metric.summary(
            value=value,
            interval=(float(interval[0]), float(interval[1])) if has_interval else None,
            num_ok=num_total - num_failed,
            num_total=num_total,
            num_not_applicable=num_not_applicable,
            reasons=dict(sorted(reasons.items())),
        )


def _commonest(reasons: Counter[str]) -> dict[str, int]:
    """Return the commonest of ``reasons`` with their counts, and the others as one."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    others = sum(count for _, count in ordered[_NUM_REASONS:])
    return dict(ordered[:_NUM_REASONS]) | ({_OTHER_REASONS: others} if others else {})


def summarise_costs(journal: Journal, runner: Runner) -> Iterator[MetricSummary]:
    """Yield what the cell cost; utterances without a measured cost leave the count."""
    metrics = [find_metric(name) for name in runner.cost_metrics]
    parts: dict[str, list[tuple[float, float]]] = {metric.name: [] for metric in metrics}
    num_total = 0
    for entry in journal:
        num_total += 1
        for name, score in entry.measurement.costs.items():
            parts[name].append((score.total, score.weight))
    for metric in metrics:
        if not parts[metric.name]:
            continue
        array = np.array(parts[metric.name])
        value, interval = _cost(metric, array)
        yield metric.summary(value=value, interval=interval, num_ok=len(array), num_total=num_total)


def _cost(metric: Metric, parts: np.ndarray) -> tuple[float, tuple[float, float] | None]:
    """Return value and interval of a cost from its (total, weight) [N, 2]."""
    if metric.pooling == "max":
        return float(parts[:, 0].max()), None
    low, high = bootstrap_interval(parts[:, :1], parts[:, 1:], rms=[False])[0]
    interval = (float(low), float(high)) if np.isfinite(low) else None
    return float(parts[:, 0].sum() / parts[:, 1].sum()), interval


def write_utterances(path: Path, journal: Journal, runner: Runner, components: Mapping[str, np.ndarray]) -> None:
    """Write one row per utterance, in corpus order, a few thousand at a time.

    ``components`` are those of :class:`tokbench.runners.base.Pooled`.
    """
    names = [name for name in runner.metrics if name not in runner.corpus_metrics]
    pooled = _as_columns(components)
    schema = pa.schema(_columns(names, pooled, runner))
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        rows = (_row(entry, names) | _parts(place, pooled) for place, entry in enumerate(journal))
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _as_columns(components: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ``components`` [N, S, 2] of metrics as columns [N]; one seed needs no name."""
    return {
        name: parts[:, seed, part]
        for metric, parts in components.items()
        for seed in range(parts.shape[1])
        for part, name in enumerate(component_names(metric, seed if parts.shape[1] > 1 else None))
    }


def _parts(place: int, pooled: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    return {name: None if np.isnan(values[place]) else float(values[place]) for name, values in pooled.items()}


def _columns(names: Sequence[str], pooled: Iterable[str], runner: Runner) -> list[tuple[str, pa.DataType]]:
    text, number = pa.string(), pa.float64()
    columns = [
        ("index", pa.int64()),
        ("utterance", text),
        ("speaker", text),
        ("language", text),
        ("audio_sha256", text),
        ("duration_s", number),
        ("error", text),
        ("reasons", text),
    ]
    columns += [(column, number) for name in names for column in component_names(name)]
    columns += [(column, number) for column in pooled]
    kinds = {"integer": pa.int64(), "number": number, "boolean": pa.bool_(), "text": text}
    return columns + [(name, kinds[kind]) for name, kind in runner.facts.items()]


def _row(entry: Entry, names: Sequence[str]) -> dict[str, Any]:
    measurement = entry.measurement
    reasons = {name: failure.reason for name, failure in measurement.failures.items()}
    row: dict[str, Any] = {
        "index": entry.position,
        "utterance": entry.utterance,
        "speaker": entry.speaker,
        "language": entry.language,
        "audio_sha256": measurement.audio_sha256,
        "duration_s": measurement.duration_s,
        "error": entry.error,
        "reasons": json.dumps(reasons, sort_keys=True, ensure_ascii=False) if reasons else None,
        **measurement.facts,
    }
    for name in names:
        score, failure = measurement.scores.get(name), measurement.failures.get(name)
        total, weight = component_names(name)
        if score is not None and math.isfinite(score.total) and math.isfinite(score.weight):
            row[total], row[weight] = score.total, score.weight
        elif failure is not None and failure.is_not_applicable:
            row[weight] = 0.0
    return row
