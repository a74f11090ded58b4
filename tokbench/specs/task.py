"""Tasks: versioned TOML files that say what is asked, on which corpus, with which metrics."""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from tokbench.errors import SpecError, UnknownNameError
from tokbench.paths import declarations_dir
from tokbench.specs.base import StrictModel, checked, file_sha256, problems, read_table
from tokbench.specs.scales import overlaid, read_bases

__all__ = ["Task", "find_task", "is_task_file", "list_tasks"]

Model = TypeVar("Model", bound=StrictModel)
_FILE_NAME = re.compile(r"(?P<name>[a-z0-9-]+)\.v(?P<version>\d+)\.toml")


class Task(StrictModel):
    """What a runner is asked to do.

    A file with a key ``base``, such as ``base = "lm-tts.v1"``, says only in what it differs from that task.
    """

    name: str
    """Name without the version; the file is ``<name>.v<version>.toml``."""
    version: int = Field(ge=1)
    """Raised, in a new file, by any change that can move a score."""
    kind: str
    """The runner that carries the task out."""
    question: str
    """What the task asks, in one sentence."""
    corpus: str = "synth"
    """Corpus used where the command names none."""
    metrics: tuple[str, ...] = Field(min_length=1)
    """Names from the catalogue of metrics, in the order of columns."""
    interval_by: Literal["utterance", "speaker", "text"] = "utterance"
    """What is resampled for the 95 % intervals: where several say the same, and there are few texts, all
    utterances of a text together (language models alone)."""
    arguments: Mapping[str, Any] = {}
    """Arguments of the runner."""
    supersedes: str | None = None
    """The task that this one replaces, such as ``reconstruction.v1``."""
    reason: str | None = None
    """Why it was replaced."""

    @model_validator(mode="after")
    def _reason_is_given(self) -> Self:
        if (self.supersedes is None) != (self.reason is None):
            msg = "supersedes and reason must be given together"
            raise ValueError(msg)
        return self

    def checked_arguments(self, model: type[Model]) -> Model:
        """Return the arguments as ``model``, that of its runner; raises :class:`SpecError` with all problems."""
        try:
            return model.model_validate(dict(self.arguments))
        except ValidationError as error:
            raise SpecError(self.id, [f"arguments.{line}" for line in problems(error)]) from error

    @cached_property
    def id(self) -> str:
        """Name with version, such as ``reconstruction.v1``: the first folder of its records."""
        return f"{self.name}.v{self.version}"


def list_tasks() -> dict[str, Path]:
    """Return the path of every shipped task by id, sorted by name and version."""
    found = [path for path in declarations_dir("tasks").glob("*/*.toml") if _FILE_NAME.fullmatch(path.name)]
    return {path.stem: path for path in sorted(found, key=_name_and_version)}


def _name_and_version(path: Path) -> tuple[str, int]:
    match = _FILE_NAME.fullmatch(path.name)
    return (match["name"], int(match["version"])) if match else (path.name, 0)


def is_task_file(path: Path) -> bool:
    """Say whether ``path`` is meant for a task, by what stands in it or else by its name.

    Raises :class:`SpecError` where it is missing or no TOML.
    """
    content = read_table(path)
    by_name = any(_FILE_NAME.fullmatch(name) for name in (path.name, f"{content.get('base')}.toml"))
    return by_name or "metrics" in content


def find_task(name: str) -> tuple[Task, str]:
    """Return the task called ``name`` and the SHA-256 of its file, or that of the hashes of all it is based on.

    ``name`` is an id (``reconstruction.v1``), a name (``reconstruction``, its newest version; ``lm/tts`` is
    ``lm-tts``), or a path to a TOML file. Raises :class:`UnknownNameError` or :class:`SpecError`.
    """
    if name.endswith(".toml"):
        path = Path(name)
    else:
        tasks = list_tasks()
        name = name.replace("/", "-", 1)
        versions = [task_id for task_id in tasks if name in (task_id, task_id.rpartition(".v")[0])]
        if not versions:
            raise UnknownNameError("task", name, tasks, command="tokbench list tasks")
        path = tasks[versions[-1]]
    files = read_bases(path, sorted(declarations_dir("tasks").iterdir()), noun="task")
    task = checked(path, reduce(overlaid, [content for _, content in files]), Task)
    match = _FILE_NAME.fullmatch(path.name)
    if match is None or path.name != f"{task.id}.toml":
        raise SpecError(path, [f"name and version: expected the file to be called {task.id}.toml"])
    hashes = [file_sha256(file) for file, _ in files]
    return task, hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()
