"""Which judges there are, what asks for them, and what each of them lacks here; none is loaded to find out."""

from dataclasses import dataclass

from tokbench.errors import MissingPackageError, UsageError
from tokbench.judges.registry import JUDGES, find_recognizer, find_speaker_encoder
from tokbench.metrics.catalogue import METRICS, missing_packages
from tokbench.specs.task import find_task, list_tasks

__all__ = ["JudgeState", "examine", "is_judge", "list_judges"]

_ASKING = ("judge", "recognizer", "speaker")
"""Arguments of tasks that name a judge."""
_TAUGHT = ("ctc", "tone contours")
_HOW_TAUGHT = "taught by the task that asks for it, unless it came with tokbench"


@dataclass(frozen=True)
class JudgeState:
    """Whether a judge can listen here."""

    name: str
    missing: str | None
    """What it lacks, in one sentence that says how to get it."""

    @property
    def is_ready(self) -> bool:
        """Whether it lacks nothing."""
        return self.missing is None

    @property
    def remark(self) -> str:
        """What to do about what is missing, or where it comes from."""
        return self.missing or (_HOW_TAUGHT if self.name in _TAUGHT else "")

    def __str__(self) -> str:
        return "ready" if self.is_ready else "missing"


def list_judges() -> dict[str, tuple[list[str], list[str]]]:
    """Return the metrics and the shipped tasks that ask for each judge, by its name."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for name, metric in METRICS.items():
        if metric.judge:
            found.setdefault(metric.judge, ([], []))[0].append(name)
    for task_id in list_tasks():
        arguments = find_task(task_id)[0].arguments
        for judge in dict.fromkeys(str(arguments.get(key, "")) for key in _ASKING):
            if is_judge(judge):
                found.setdefault(judge, ([], []))[1].append(task_id)
    return found


def is_judge(name: str) -> bool:
    """Return whether a task may ask for ``name``, such as ``whisper:base``, as its judge."""
    return name.partition(":")[0] in JUDGES


def examine(name: str) -> JudgeState:
    """Return what the judge lacks here; raises :class:`UsageError` for one that there cannot be."""
    if name in _TAUGHT or not is_judge(name):  # it belongs to metrics, or has no weights of its own
        packages = {
            each for metric in METRICS.values() if metric.judge == name for each in missing_packages(metric)
        }
        error = MissingPackageError(f"the judge {name}", sorted(packages))
        return JudgeState(name, str(error) if packages else None)
    try:
        return JudgeState(name, find_recognizer(name).missing())
    except UsageError:  # it knows voices
        return JudgeState(name, find_speaker_encoder(name).missing())
