"""What a leaderboard may name: a column of something that nobody knows would be a column of dashes."""

from pathlib import Path

from tokbench.errors import SpecError, UnknownNameError
from tokbench.leaderboard.cells import read_task
from tokbench.leaderboard.spec import Leaderboard
from tokbench.metrics.catalogue import METRICS
from tokbench.specs.task import list_tasks

__all__ = ["check_known"]


def check_known(board: Leaderboard, results: Path) -> None:
    """Raise :class:`SpecError` for each task and metric that neither tokbench nor a record in ``results`` knows.

    A task may be known by its records alone, as one from a file of its own is, and so may its metrics.
    """
    tasks = {*list_tasks(), *(path.name for path in results.glob("*") if path.is_dir())}
    problems = [
        str(UnknownNameError("task", task, tasks, command="tokbench list tasks"))
        for task in board.tasks
        if task not in tasks
    ]
    unknown = {(board.task_of[key], column.metric) for key, column in board.columns.items()}
    for task, metric in sorted(pair for pair in unknown if pair[1] not in METRICS):
        if metric not in _measured(results, task):
            problems.append(str(UnknownNameError("metric", metric, METRICS, command="tokbench list metrics")))
    if problems:
        raise SpecError(f"{board.name}.toml", list(dict.fromkeys(problems)))


def _measured(results: Path, task: str) -> set[str]:
    """Return the names of the metrics in the records of ``task``, costs among them."""
    sources = list(read_task(results, task))
    costs = [source.cost.metrics for source in sources if source.cost]
    return {summary.name for found in (*(source.record.metrics for source in sources), *costs) for summary in found}
