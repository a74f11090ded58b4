"""Progress of long work: a bar with an estimate on a terminal, plain lines elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from tokbench.cli.terminal import stderr

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tokbench.run.engine import CellOutcome
    from tokbench.run.plan import Cell
    from tokbench.runners.base import Failure

__all__ = ["TerminalReporter", "file_progress", "stage_progress"]


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
        record = outcome.record
        note = "already done (--force runs it again)" if outcome.was_done else outcome.status
        reason = f": {record.reason}" if record.reason else ""
        line = f"[{self._num_finished}/{self._num_cells}] {outcome.cell.label}: {note}{reason}"
        self._console.print(line, style=None if outcome.status == "ok" else "yellow", markup=False)


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
