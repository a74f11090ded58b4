"""What a terminal shows of training: a bar with an estimate, the losses, their curves; elsewhere, plain lines."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tokbench.cli.terminal import stderr
from tokbench.training.watcher import Watcher

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress, TaskID
    from rich.table import Table

__all__ = ["sparkline", "training_watcher"]

_SECONDS_PER_LINE = 30.0
_NUM_POINTS = 40
_HIDDEN = ("step", "audio_s", "elapsed_s", "learning_rate.", "gradient_norm.", "health.")
_BARS = "▁▂▃▄▅▆▇█"


@contextlib.contextmanager
def training_watcher(name: str) -> Iterator[Watcher]:
    """Yield a watcher of the training of ``name``."""
    console = stderr()
    if not sys.stderr.isatty():
        yield _Lines(name, console)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield _Screen(name, live)


class _Lines(Watcher):
    """A line every so often."""

    def __init__(self, name: str, console: "Console") -> None:
        self._name, self._console = name, console
        self._told_s = -math.inf

    def of(self, model: str) -> "_Lines":
        """Return who prints lines of ``model``, too."""
        return _Lines(f"{self._name}, first {model}", self._console)

    def row(self, row: Mapping[str, float], num_steps: int) -> None:
        """Tell where training stands, unless that was told just now."""
        is_last = row["step"] == num_steps
        if not is_last and time.monotonic() - self._told_s < _SECONDS_PER_LINE:
            return
        self._told_s = time.monotonic()
        losses = ", ".join(f"{name} {value:.3g}" for name, value in _losses(row).items())
        rest = "" if is_last else f", {_readable_s(_remaining_s(row, num_steps))} left"
        self.say(f"step {int(row['step'])} of {num_steps}: {losses}{rest}")

    def say(self, sentence: str) -> None:
        """Print ``sentence``."""
        self._console.print(f"{self._name}: {sentence}", markup=False)

    def warn(self, sentence: str) -> None:
        """Print ``sentence``, so that it is seen."""
        self._console.print(f"{self._name}: {sentence}", style="yellow", markup=False)


class _Screen(Watcher):
    """A bar, and a line with a curve for every loss."""

    def __init__(self, name: str, live: "Live", progress: "Progress | None" = None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._name, self._live = name, live
        self._curves: dict[str, list[float]] = {}
        self._progress = progress or Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        )
        self._tasks: dict[str, TaskID] = {}
        live.update(self._progress)

    def of(self, model: str) -> "_Screen":
        """Return who draws curves of ``model``, below the same bars."""
        return _Screen(f"{self._name}, first {model}", self._live, self._progress)

    def stage(self, name: str, share: float) -> None:
        """Move the bar of ``name``."""
        self._move(name, round(100 * share), 100)

    def step(self, step: int, num_steps: int) -> None:
        """Move the bar of the steps."""
        self._move(self._name, step, num_steps)

    def row(self, row: Mapping[str, float], num_steps: int) -> None:
        """Draw the curves a point further."""
        from rich.console import Group

        del num_steps
        for name, value in _losses(row).items():
            self._curves.setdefault(name, []).append(value)
        self._live.update(Group(self._progress, self._table()))

    def say(self, sentence: str) -> None:
        """Print ``sentence`` above the bar."""
        self._live.console.print(f"{self._name}: {sentence}", markup=False)

    def warn(self, sentence: str) -> None:
        """Print ``sentence`` above the bar, so that it is seen."""
        self._live.console.print(f"{self._name}: {sentence}", style="yellow", markup=False)

    def _move(self, name: str, done: int, total: int) -> None:
        from rich.markup import escape

        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(escape(name), total=total, start=True)
        self._progress.update(self._tasks[name], completed=done, total=total)

    def _table(self) -> "Table":
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, values in self._curves.items():
            table.add_row(name, f"{values[-1]:.4g}", sparkline(values[-_NUM_POINTS:]))
        return table


def sparkline(values: Sequence[float]) -> str:
    """Draw ``values`` as bars from the smallest to the largest of them; what is no number is a blank.

    >>> sparkline([4.0, 3.0, 2.0, 1.0, 1.0])
    '█▆▃▁▁'
    """
    finite = [value for value in values if math.isfinite(value)]
    low, width = min(finite, default=0.0), max(finite, default=0.0) - min(finite, default=0.0)
    steps = len(_BARS) - 1
    return "".join(
        _BARS[round(steps * (value - low) / width) if width else 0] if math.isfinite(value) else " "
        for value in values
    )


def _losses(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not name.startswith(_HIDDEN)}


def _remaining_s(row: Mapping[str, float], num_steps: int) -> float:
    return row["elapsed_s"] / row["step"] * (num_steps - row["step"])


def _readable_s(seconds: float) -> str:
    """Return a duration for people.

    >>> [_readable_s(each) for each in (5.2, 754, 11000)]
    ['5 s', '13 min', '3 h 3 min']
    """
    minutes = round(seconds / 60)
    if not minutes:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004  (an hour)
