"""The journal of a cell: every measured utterance is committed at once, so a killed run loses what was in hand.

An SQLite file beside the record, and a lock that keeps other runs out. It vanishes when the record is complete; it
is ignored when it belongs to another state of codec, task or corpus, or to another version of this program.
"""

import dataclasses
import errno
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from tokbench.errors import RecordError
from tokbench.metrics.base import Score
from tokbench.runners.base import Failure, Measurement

__all__ = ["Entry", "Journal"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cell (key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entry (position INTEGER PRIMARY KEY, row TEXT NOT NULL, payload BLOB);
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What the journal keeps of one utterance."""

    position: int
    """Index in the corpus."""
    utterance: str
    speaker: str
    language: str
    error: str | None
    """Why the whole utterance failed."""
    measurement: Measurement


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""What SQLite says of a file that is no journal; anything else, such as a full disk, is no reason to delete one."""


class Journal:
    """The finished utterances of one cell.

    Raises :class:`RecordError` where another run is measuring the cell, or the disk refuses.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._lock = _locked(path.with_name(f"{path.name}.lock"))
        try:
            self._connection = self._guarded(lambda: self._opened(key))
        except RecordError:
            self._lock.close()
            raise

    def _opened(self, key: str) -> sqlite3.Connection:
        try:
            return self._open(key)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in _DAMAGED:
                raise
            self._unlink()
            return self._open(key)

    def _open(self, key: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        # A write-ahead log survives kill -9 without waiting for the disk on every utterance.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
        found = connection.execute("SELECT key FROM cell").fetchone()
        if found is None or found[0] != key:
            connection.execute("DELETE FROM entry")
            connection.execute("DELETE FROM cell")
            connection.execute("INSERT INTO cell VALUES (?)", (key,))
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._lock.close()

    def _guarded(self, action: Any) -> Any:
        try:
            return action()
        except sqlite3.Error as error:
            raise RecordError.not_writable(self.path, OSError(str(error))) from error

    def clear(self) -> None:
        """Forget every utterance."""
        self._guarded(lambda: self._connection.execute("DELETE FROM entry"))

    def __len__(self) -> int:
        """Return the number of utterances that are done."""
        return int(self._connection.execute("SELECT count(*) FROM entry").fetchone()[0])

    def positions(self) -> set[int]:
        """Return the indices of the utterances that are done."""
        return {row[0] for row in self._connection.execute("SELECT position FROM entry")}

    def add(self, entry: Entry) -> None:
        """Commit one utterance; raises :class:`RecordError` where the disk refuses it."""
        measurement = entry.measurement
        row = {
            "utterance": entry.utterance,
            "speaker": entry.speaker,
            "language": entry.language,
            "error": entry.error,
            "scores": {name: [score.total, score.weight] for name, score in measurement.scores.items()},
            "costs": {name: [score.total, score.weight] for name, score in measurement.costs.items()},
            "failures": {
                name: [item.reason, item.is_not_applicable] for name, item in measurement.failures.items()
            },
            "facts": measurement.facts,
            "audio_sha256": measurement.audio_sha256,
            "duration_s": measurement.duration_s,
        }
        values = (entry.position, json.dumps(row), measurement.payload)
        self._guarded(lambda: self._connection.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", values))

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in corpus order, payloads apart."""
        for position, text in self._connection.execute("SELECT position, row FROM entry ORDER BY position"):
            yield _entry(position, json.loads(text))

    def payloads(self) -> Iterator[bytes | None]:
        """Yield the payload of every entry in corpus order."""
        for (payload,) in self._connection.execute("SELECT payload FROM entry ORDER BY position"):
            yield payload

    def remove(self) -> None:
        """Delete the files of the journal."""
        self._unlink()
        self.path.with_name(f"{self.path.name}.lock").unlink(missing_ok=True)

    def _unlink(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)


def _locked(path: Path) -> IO[str]:
    """Return a file that no other process holds; closing it, or dying, lets go of it.

    Raises :class:`RecordError` where another one does.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = path.open("w", encoding="utf-8")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    return file
            except OSError as error:
                file.close()
                if error.errno not in {errno.EACCES, errno.EAGAIN}:
                    raise
                raise RecordError.in_use(path) from error
            file.close()  # who held it was done, and removed it
    except OSError as error:
        raise RecordError.not_writable(path, error) from error


def _entry(position: int, row: dict[str, Any]) -> Entry:
    measurement = Measurement(
        scores={name: Score(*parts) for name, parts in row["scores"].items()},
        costs={name: Score(*parts) for name, parts in row["costs"].items()},
        failures={name: Failure(*parts) for name, parts in row["failures"].items()},
        facts=row["facts"],
        audio_sha256=row["audio_sha256"],
        duration_s=row["duration_s"],
    )
    return Entry(
        position=position,
        utterance=row["utterance"],
        speaker=row["speaker"],
        language=row["language"],
        error=row["error"],
        measurement=measurement,
    )
