"""The folder of a run: whose it is, how far it came, and whether the same command may go on there."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tokbench.errors import UsageError
from tokbench.paths import write_bytes
from tokbench.training.checkpoint import CHECKPOINT_FILE

__all__ = ["FolderInUseError", "RunExistsError", "RunFolder"]

LOG, CURVES_FILE = "log", "curves.csv"
CARDS = ("card.toml", "lm.toml")
"""Of a tokenizer, and of a language model."""
_FILE = "run.json"


class RunExistsError(UsageError):
    """A folder in which another run stands."""

    def __init__(self, folder: Path, differing: list[str]) -> None:
        super().__init__(
            f"{folder} holds a run with another {' and another '.join(differing)}. Choose another folder with "
            "--out, or begin again there with --restart."
        )


class FolderInUseError(UsageError):
    """A folder in which a run is at work."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another process trains in {folder}")


@dataclass(frozen=True)
class _State:
    identity: Mapping[str, str]
    """What makes two runs the same: spec, corpus, seed, processes."""
    num_finished: int = 0
    """Learners of the run that are trained and exported: the codec, then what learns from it."""
    is_finished: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class RunFolder:
    """``path``, of the run that ``identity`` tells. Among several processes, the first one writes."""

    def __init__(self, path: Path, identity: Mapping[str, str], *, is_first: bool = True) -> None:
        self.path, self._identity, self._is_first = path, dict(identity), is_first
        self._state = _read(self._file) or _State(self._identity)

    @property
    def _file(self) -> Path:
        return self.path / LOG / _FILE

    @property
    def checkpoint(self) -> Path:
        """Where the run stands, if the file is there."""
        return self.path / CHECKPOINT_FILE

    @property
    def log(self) -> Path:
        """The folder of everything that is there to be looked at."""
        return self.path / LOG

    @property
    def is_finished(self) -> bool:
        """Whether this very run is done."""
        return self._state.is_finished and self._state.identity == self._identity

    @property
    def num_finished(self) -> int:
        """Learners of the run that are done."""
        return self._state.num_finished

    @contextlib.contextmanager
    def claimed(self, *, restart: bool, waits: bool = False) -> Iterator[None]:
        """Make the folder that of this run, from its beginning if ``restart``, and keep other processes out.

        If ``waits``, a process that trains there is waited for; it may have finished what was to be done. A run
        that left neither a checkpoint nor a model leaves its folder to the next. Raises :class:`RunExistsError` if
        it is that of another run, and :class:`FolderInUseError`.
        """
        with self._locked(waits=waits):
            self._claim(restart=restart)
            yield

    @contextlib.contextmanager
    def _locked(self, *, waits: bool) -> Iterator[None]:
        if not self._is_first:
            yield
            return
        self.log.mkdir(parents=True, exist_ok=True)
        with (self.log / "lock").open("w", encoding="utf-8") as lock:
            try:
                # Of this process alone: those that read audio for it do not hold it on, should it be killed.
                fcntl.lockf(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            except OSError as error:
                raise FolderInUseError(self.path) from error
            self._state = _read(self._file) or _State(self._identity)  # another process may have been at work
            yield

    def _claim(self, *, restart: bool) -> None:
        others = [name for name, value in self._identity.items() if self._state.identity.get(name) != value]
        # What is no tokenizer, such as an encoder of text, has no card.
        holds_model = self._state.num_finished > 0 or any((self.path / name).is_file() for name in CARDS)
        if not self._file.is_file() and holds_model:
            others = ["spec"]  # a model that was not trained here
        if others and not restart and (holds_model or self.checkpoint.is_file()):
            raise RunExistsError(self.path, others)
        if others or restart:
            # The card first: a folder without one holds no model.
            cards = [self.path / name for name in CARDS]
            for file in (*cards, self.checkpoint, self._file) if self._is_first else ():
                file.unlink(missing_ok=True)
            self._state = _State(self._identity)
        self._write()

    def finish_one(self, facts: Mapping[str, Any]) -> None:
        """Note that a learner is done, with ``facts`` about how."""
        number = self._state.num_finished + 1
        self._state = replace(
            self._state, num_finished=number, facts={**self._state.facts, f"learner {number}": dict(facts)}
        )
        self._write()

    def finish(self) -> None:
        """Note that all is done."""
        self._state = replace(self._state, is_finished=True)
        self._write()

    def note(self, sentence: str) -> None:
        """Add a line to the log of what was noticed."""
        self.log.mkdir(parents=True, exist_ok=True)
        with (self.log / "remarks.txt").open("a", encoding="utf-8") as file:
            file.write(f"{sentence}\n")

    def _write(self) -> None:
        if self._is_first:
            write_bytes(self._file, (json.dumps(asdict(self._state), indent=1, sort_keys=True) + "\n").encode())


def _read(file: Path) -> _State | None:
    try:
        return _State(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None
