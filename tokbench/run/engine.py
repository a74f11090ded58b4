"""The engine: carries out a plan, cell by cell, and leaves one record per cell."""

import datetime as dt
import functools
import json
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from tokbench.corpora.base import Utterance
from tokbench.errors import RecordError
from tokbench.paths import write_bytes
from tokbench.provenance import machine, package_versions, program
from tokbench.records import Cost, Record, file_safe, read_record, write_json
from tokbench.run import worker
from tokbench.run.executor import Executor, completed, outcome
from tokbench.run.journal import Entry, Journal
from tokbench.run.plan import Cell
from tokbench.run.same_audio import check_audio
from tokbench.run.summary import summarise, summarise_costs, unmeasured, write_utterances
from tokbench.runners.base import Failure, Measurement, Runner, attempt
from tokbench.runners.registry import make_runner

__all__ = ["CellOutcome", "Reporter", "execute"]

_LONGEST_LEARNING_S = 7 * 86400.0

_Job = tuple[int, Utterance]
"""An utterance and its position in the corpus."""


@dataclass(frozen=True)
class CellOutcome:
    """What became of a cell."""

    cell: Cell
    status: Literal["ok", "partial", "failed", "skipped"]
    record: Record
    was_done: bool
    """True if an earlier run had finished it."""


class Reporter(Protocol):
    """Who is told how far the work is."""

    def start(self, cell: Cell, *, num_done: int) -> None:
        """Hear that work on ``cell`` begins, of which ``num_done`` utterances are in the journal."""

    def advance(self, cell: Cell, failure: Failure | None) -> None:
        """Hear that one more utterance is done."""

    def finish(self, outcome: CellOutcome) -> None:
        """Hear that the record of a cell is written."""


def execute(
    plan: Sequence[Cell], executor: Executor, reporter: Reporter, *, timeout_s: float, force: bool = False
) -> Iterator[CellOutcome]:
    """Run every cell of ``plan`` and yield what became of it.

    A cell whose record is complete is not run again unless ``force`` is given; one that was interrupted goes on
    where its journal ends. Raises :class:`RecordError` where results cannot be written; finished utterances are
    safe then. Unless ``force`` is given, raises it for a record that cannot be read, and
    :class:`tokbench.run.same_audio.OtherAudioError` where records are of other recordings, before anything is run.
    """
    if not force:
        check_audio(plan, executor, timeout_s=timeout_s)
    for cell in plan:
        done = _run_cell(cell, executor, reporter, timeout_s=timeout_s, force=force)
        reporter.finish(done)
        yield done


def _run_cell(cell: Cell, executor: Executor, reporter: Reporter, *, timeout_s: float, force: bool) -> CellOutcome:
    if cell.skip_reason is not None:
        return _without_measurements(cell, "skipped", cell.skip_reason)
    loading = executor.submit(worker.describe, cell.spec, timeout_s=timeout_s)
    loaded = outcome(loading, timeout_s)
    if isinstance(loaded, Failure):
        return _without_measurements(cell, "failed", loaded.reason)
    runner = make_runner(cell.spec.task)
    runner.device = cell.spec.device
    if (reason := _why_not(runner, loaded)) is not None:
        return _without_measurements(cell, "skipped", reason)
    prepared = attempt(runner.prepare, is_last=True)
    if isinstance(prepared, Failure):
        return _without_measurements(cell, "failed", prepared.reason)
    key = cell.key(runner, loaded.fingerprint, json.dumps(dict(package_versions()), sort_keys=True))
    if not force and (record := _finished(cell, key)) is not None:
        return CellOutcome(cell, record.status, record, was_done=True)
    return _measure(cell, runner, loaded, key, executor, reporter, timeout_s=timeout_s, force=force)


def _measure(  # noqa: PLR0913  (all that a cell is)
    cell: Cell,
    runner: Runner,
    loaded: worker.Loaded,
    key: str,
    executor: Executor,
    reporter: Reporter,
    *,
    timeout_s: float,
    force: bool,
) -> CellOutcome:
    """Learn what has to be learnt, measure what is not measured yet, and write the record."""
    started = dt.datetime.now(dt.UTC)
    clock = time.perf_counter()
    if (reason := _learn(cell, runner, executor)) is not None:
        return _without_measurements(cell, "failed", reason)
    learning_s = time.perf_counter() - clock
    # What another program left may be packed in another way, or measured otherwise.
    with Journal(cell.files.journal, f"{key} {program()}") as journal:
        if force:
            journal.clear()
        _measure_missing(cell, runner, journal, executor, reporter, timeout_s=timeout_s)
        pooled = runner.pool(journal.payloads())
        record = summarise(cell, journal, runner, pooled, loaded=loaded, key=key)
        is_kept = force or record.status != "failed" or not _has_numbers(cell)
        if is_kept:
            _guarded_write(
                cell.files.utterances, lambda path: write_utterances(path, journal, runner, pooled.components)
            )
            _drop_examples(cell, journal)
        cost = Cost(
            metrics=tuple(summarise_costs(journal, runner)),
            machine=machine(),
            started_utc=started.isoformat(timespec="seconds"),
            wall_s=time.perf_counter() - clock,
            learning_s=learning_s,
            num_jobs=executor.num_workers,
        )
    if is_kept:
        write_json(cell.files.cost, cost)
        write_json(cell.files.record, record)  # last: its presence says that the cell is complete
    journal.remove()
    return CellOutcome(cell, record.status, record, was_done=False)


def _has_numbers(cell: Cell) -> bool:
    """Say whether an earlier run measured something, which is worth more than a run in which everything failed."""
    record = _earlier(cell)
    return record is not None and record.status in {"ok", "partial"}


def _learn(cell: Cell, runner: Runner, executor: Executor) -> str | None:
    """Let ``runner`` learn from the codec of ``cell``; return why that failed, None where it did not."""
    if type(runner).learn is Runner.learn:
        return None
    learning = executor.submit(worker.learn, cell.spec, timeout_s=_LONGEST_LEARNING_S)
    learnt = outcome(learning, _LONGEST_LEARNING_S)
    return learnt.reason if isinstance(learnt, Failure) else None


def _why_not(runner: Runner, loaded: worker.Loaded) -> str | None:
    """Return why the task makes no sense for the codec; None where it does."""
    if runner.needs_decoder and not loaded.can_decode:
        return f"{loaded.codec.name} only encodes"
    if runner.needs_codes and not loaded.has_codes:
        return f"{loaded.codec.name} has no codes"
    return runner.declines(loaded.codec)


def _finished(cell: Cell, key: str) -> Record | None:
    record = _earlier(cell)
    return record if record is not None and record.key == key else None


def _earlier(cell: Cell) -> Record | None:
    """Return the record of an earlier run that is whole and can be read; None where there is none."""
    if not (cell.files.record.is_file() and cell.files.utterances.is_file()):
        return None
    try:
        return read_record(cell.files.record)
    except RecordError:
        return None


def _without_measurements(cell: Cell, status: Literal["skipped", "failed"], reason: str) -> CellOutcome:
    """Record why nothing was measured, unless there are measurements of an earlier run, which are worth more."""
    record = unmeasured(cell, status, reason)
    if not cell.files.utterances.is_file():
        write_json(cell.files.record, record)
    return CellOutcome(cell, status, record, was_done=False)


def _measure_missing(
    cell: Cell, runner: Runner, journal: Journal, executor: Executor, reporter: Reporter, *, timeout_s: float
) -> None:
    done = journal.positions()
    reporter.start(cell, num_done=len(done))
    tier = runner.tier
    utterances = islice(cell.corpus if tier is None else cell.corpus.with_intervals(tier), cell.num_utterances)
    groups = _groups(enumerate(utterances), runner.num_at_once, done)
    for (position, utterance), result in _measured(cell, groups, executor, timeout_s=timeout_s):
        failure = result if isinstance(result, Failure) else None
        measurement = Measurement() if isinstance(result, Failure) else result
        _keep_examples(cell, utterance, measurement)
        journal.add(
            Entry(
                position=position,
                utterance=utterance.id,
                speaker=utterance.speaker,
                language=utterance.language,
                error=failure.reason if failure else None,
                measurement=measurement,
            )
        )
        reporter.advance(cell, failure)


@dataclass(frozen=True)
class _Group:
    """Utterances that one worker gets, with their positions: the same ones wherever an earlier run ended."""

    jobs: Sequence[_Job]
    missing: Sequence[int]
    """Those that are still to be measured, by their place here."""


def _groups(jobs: Iterable[_Job], num_at_once: int, done: Container[int]) -> Iterator[_Group]:
    source = iter(jobs)
    while some := list(islice(source, num_at_once)):
        if missing := [place for place, (position, _) in enumerate(some) if position not in done]:
            yield _Group(some, missing)


def _measured(
    cell: Cell, groups: Iterable[_Group], executor: Executor, *, timeout_s: float
) -> Iterator[tuple[_Job, Measurement | Failure]]:
    examples = _example_positions(cell)

    def start(group: _Group) -> Future[Any]:
        wanted = {place: group.jobs[place][0] in examples for place in group.missing}
        utterances = [utterance for _, utterance in group.jobs]
        limit_s = timeout_s * len(utterances)
        return executor.submit(worker.measure_together, cell.spec, utterances, wanted, timeout_s=limit_s)

    for group, found in completed(executor, groups, start, timeout_s=timeout_s):
        missing = [group.jobs[place] for place in group.missing]
        if not isinstance(found, Failure):
            yield from zip(missing, found, strict=True)
        elif len(group.jobs) == 1:
            yield missing[0], found
        else:  # which of them it was shows where each has a worker to itself
            yield from _measured(cell, _groups(missing, 1, ()), executor, timeout_s=timeout_s)


def _example_positions(cell: Cell) -> set[int]:
    """Return the positions of the utterances to keep, spread evenly over the corpus."""
    count = min(cell.options.num_examples, cell.num_utterances)
    return {int(position) for position in np.linspace(0, cell.num_utterances - 1, count).round()}


def _keep_examples(cell: Cell, utterance: Utterance, measurement: Measurement) -> None:
    for name, data in measurement.examples.items():
        kind, _, ending = name.partition(".")
        folder = cell.files.originals if kind == "original" else cell.files.examples
        _guarded_write(folder / f"{file_safe(utterance.id)}.{ending}", functools.partial(write_bytes, data=data))


def _drop_examples(cell: Cell, journal: Journal) -> None:
    """Remove the sounds of earlier runs: of utterances that are no examples now, or of which nothing came out."""
    there = list(cell.files.examples.glob("*"))
    if not there:
        return
    wanted = _example_positions(cell)
    made = {file_safe(e.utterance) for e in journal if e.position in wanted and e.error is None}
    for path in there:
        if path.stem not in made:
            path.unlink()


def _guarded_write(path: Path, write: Callable[[Path], None]) -> None:
    try:
        write(path)
    except OSError as error:
        raise RecordError.not_writable(path, error) from error
