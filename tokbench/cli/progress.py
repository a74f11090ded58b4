"""Progress of long work: a bar with an estimate on a terminal, plain lines elsewhere."""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from tokbench.cli.terminal import stderr

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tokbench.records import Record
    from tokbench.run.engine import CellOutcome
    from tokbench.run.plan import Cell
    from tokbench.runners.base import Failure

__all__ = ["TerminalReporter", "file_progress", "stage_progress"]

_LONGEST_REASON = 300
"""Characters: a sentence that says what to do fits, the dump of a tensor does not."""


class TerminalReporter:
    """Shows the cell in hand and the whole plan, and one line for every finished cell."""

    def __init__(self, cells: "Sequence[Cell]") -> None:
        self._console = stderr()
        self._num_cells = len(cells)
        self._num_finished = 0
        self._num_failed = 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._progress = _progress(self._console)
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def start(self, cell: "Cell", *, num_done: int) -> None:
        """Begin the bar of ``cell``."""
        self._num_failed = 0
        if num_done:
            self._console.print(f"{cell.label}: going on after {num_done} utterances", markup=False)
        if self._progress is not None:
            title = f"{self._num_finished + 1}/{self._num_cells} {cell.label}"
            self._task = self._progress.add_task(_escape(title), total=cell.num_utterances, completed=num_done)

    def advance(self, cell: "Cell", failure: "Failure | None") -> None:
        """Count one utterance; the first failure of a cell is shown at once."""
        if failure is not None:
            self._num_failed += 1
            if self._num_failed == 1:
                self._console.print(f"{cell.label}: {failure.reason}", style="yellow", markup=False)
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task)

    def finish(self, outcome: "CellOutcome") -> None:
        """Say what became of a cell."""
        self._num_finished += 1
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        line = f"[{self._num_finished}/{self._num_cells}] {outcome.cell.label}: {_fate(outcome)}"
        self._console.print(line, style=None if outcome.status == "ok" else "yellow", markup=False)


def _fate(outcome: "CellOutcome") -> str:
    """Return what became of a cell and, unless all is well, the commonest reason."""
    is_ok = outcome.status == "ok"
    said: str = outcome.status
    if outcome.was_done:
        said = "already done" + ("" if is_ok else f", {said}") + " (--force runs it again)"
    reason = "" if is_ok else _commonest_reason(outcome.record)
    return f"{said}: {_shortened(reason)}" if reason else said


def _commonest_reason(record: "Record") -> str:
    """Return why most utterances, or else most metrics, have no value; nothing where none is missing."""
    reasons: Counter[str] = Counter()
    for metric in record.metrics:
        reasons.update(metric.reasons)
    return record.reason or (reasons.most_common(1)[0][0] if reasons else "")


def _shortened(reason: str) -> str:
    r"""Return ``reason`` in one line that can be taken in at a glance.

    >>> _shortened("RuntimeError: sizes differ\n  at the first layer")
    'RuntimeError: sizes differ at the first layer'
    """
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"


def _progress(console: "object") -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,  # type: ignore[arg-type]
        transient=True,
    )


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextlib.contextmanager
def file_progress(num_files: int) -> Iterator[Callable[[], None]]:
    """Yield a function that counts a file on a bar, for several files on a terminal."""
    if num_files == 1 or not sys.stderr.isatty():
        yield lambda: None
        return
    with _progress(stderr()) as progress:
        task = progress.add_task("files", total=num_files)
        yield lambda: progress.advance(task)


@contextlib.contextmanager
def stage_progress() -> Iterator[Callable[[str, float], None] | None]:
    """Yield a function that moves the bar of a stage to a share, 0 .. 1, on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr(), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def move(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(_escape(stage), total=1.0)
            progress.update(tasks[stage], completed=share)

        yield move
