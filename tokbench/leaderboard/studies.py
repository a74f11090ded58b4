"""What a study found: its designs at a number of codebooks or a bitrate, their values and their differences."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path

import numpy as np
import pandas as pd

from tokbench import stats
from tokbench.leaderboard.cells import SourceRecord, check_comparable, read_task
from tokbench.leaderboard.components import Components, UtteranceTables, are_measured, difference, units_of
from tokbench.records import MetricSummary
from tokbench.specs.study import Study, StudyRun
from tokbench.specs.task import find_task

__all__ = ["Point", "StudyResults"]

_NUM_CODEBOOKS = re.compile(r"^(\d+)x\d+$")
_SAME_RATE = 0.1
"""Share by which bitrates differ that count as equal: what loudness and units add to the codes is within it."""


@dataclass(frozen=True)
class Point:
    """One design in one setting, by as many trained models as there are seeds with records of it."""

    run: StudyRun
    setting: str
    trials: tuple[Mapping[str, SourceRecord], ...]
    """For each seed, its records by task id."""
    tables: UtteranceTables
    """Of all records of the study."""

    @property
    def num_codebooks(self) -> int | None:
        """Of the setting, None where that is not what its name tells."""
        found = _NUM_CODEBOOKS.match(self.setting)
        return int(found.group(1)) if found else None

    @cached_property
    def _first(self) -> SourceRecord:
        return next(iter(self.trials[0].values()))

    @property
    def bitrate_bps(self) -> float:
        """Nominal; where it varies, as that of a loudness sent once does, its mean over the corpus, else 0."""
        return self._first.record.codec.bitrate_bps or self.value("bitrate_nominal_bps") or 0.0

    @property
    def num_parameters(self) -> int | None:
        """Of the trained model."""
        return self._first.record.codec.num_parameters

    def summaries(self, metric: str, group: str = "all") -> list[MetricSummary]:
        """Return what each seed has of ``metric``, costs among them; empty unless all of them have it."""
        found = [_summary(records, metric, group) for records in self.trials]
        return [item for item in found if item is not None] if None not in found else []

    def value(self, metric: str) -> float | None:
        """Return the mean over seeds; None unless all of them have a value."""
        values = [item.value for item in self.summaries(metric)]
        present = [value for value in values if value is not None]
        return float(np.mean(present)) if present and len(present) == len(values) else None

    def sources(self, metric: str) -> list[SourceRecord]:
        """Return the record of each seed that has ``metric``."""
        found = (_source(records, metric) for records in self.trials)
        return [source for source in found if source is not None]

    def difference(self, other: "Point", metric: str) -> stats.Difference | None:
        """Return this minus ``other``, over the utterances that all seeds of both have, and over their seeds.

        None where one of them has no value, or where nothing is known of how sure the difference is. Raises
        :class:`tokbench.leaderboard.cells.MixedRecordsError` for records that must not be compared.
        """
        if self.value(metric) is None or other.value(metric) is None:
            return None
        sources = [*self.sources(metric), *other.sources(metric)]
        if not sources:  # a cost: it depends on the machine and the moment
            return None
        first = sources[0]
        for source in sources[1:]:
            check_comparable(first, source)
        tables = self.tables.of(*sources)
        if not all(are_measured(table, metric) for table in tables):
            values = [[item.value or 0.0 for item in point.summaries(metric)] for point in (self, other)]
            return stats.welch(values[0], values[1])
        shared = reduce(pd.Index.intersection, (table.index for table in tables))
        parts = [Components.of(table.loc[shared], metric) for table in tables]
        return difference(
            Components.joined(parts[: len(self.trials)]),
            Components.joined(parts[len(self.trials) :]),
            is_rms=self.summaries(metric)[0].pooling == "rms",
            units=units_of(first, tables[0].loc[shared]),
        )


def _source(records: Mapping[str, SourceRecord], metric: str) -> SourceRecord | None:
    return next((source for source in records.values() if source.record.metric(metric) is not None), None)


def _summary(records: Mapping[str, SourceRecord], metric: str, group: str) -> MetricSummary | None:
    source = _source(records, metric)
    if source is not None:
        return source.record.metric(metric, group)
    costs = (cost for source in records.values() if source.cost for cost in source.cost.metrics)
    return next((cost for cost in costs if cost.name == metric), None)


class StudyResults:
    """The records of ``study`` below ``results``, as far as there are any: on ``corpus``, or on a task's own."""

    def __init__(self, study: Study, results: Path, corpus: str) -> None:
        self.study = study
        self._tables = UtteranceTables()
        names = {trial.name for trial in study.all_trials}
        self._records: dict[tuple[str, str], dict[str, SourceRecord]] = {}
        extra = [task for run in study.runs for task in run.extra_tasks]
        for name in dict.fromkeys([*(task for trial in study.all_trials for task in trial.tasks), *extra]):
            task, _ = find_task(name)
            for source in read_task(results, task.id):
                codec, found = source.record.codec, source.record.corpus
                is_meant = found.reference == task.corpus if name in extra else found.name == corpus
                if codec.name in names and is_meant:
                    self._records.setdefault((codec.name, codec.setting), {})[task.id] = source

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not self._records

    def points(self, run: StudyRun) -> list[Point]:
        """Return what was measured of ``run``, from the lowest bitrate to the highest."""
        names = [trial.name for trial in self.study.trials(run)]
        settings = dict.fromkeys(setting for name, setting in self._records if name in names)
        points = [
            Point(
                run,
                setting,
                tuple(self._records[name, setting] for name in names if (name, setting) in self._records),
                self._tables,
            )
            for setting in settings
        ]
        return sorted(points, key=lambda point: (point.bitrate_bps, point.setting))

    def with_codebooks(self, run: StudyRun, number: int) -> Point | None:
        """Return ``run`` with that many codebooks, None where that was not measured."""
        return next((point for point in self.points(run) if point.num_codebooks == number), None)

    def at_rate(self, run: StudyRun, rate_bps: float) -> Point | None:
        """Return ``run`` at about ``rate_bps``, None where no setting is within a tenth of it."""
        near = [point for point in self.points(run) if abs(point.bitrate_bps / rate_bps - 1) <= _SAME_RATE]
        return min(near, key=lambda point: abs(point.bitrate_bps - rate_bps)) if near else None

    def ladders(self) -> Iterator[Sequence[Point]]:
        """Yield, for each design with several numbers of codebooks, its points from few to many."""
        for run in self.study.runs:
            points = [point for point in self.points(run) if point.num_codebooks is not None]
            if len(points) > 1:
                yield sorted(points, key=lambda point: point.num_codebooks or 0)
