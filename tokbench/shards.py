"""Sequences of any number on disk, in shards that are mapped into memory: what is read is what is touched.

A folder holds, for each column, flat files of numbers; ``ends.npy`` beside them tells where each sequence ends, and
``shards.json``, which is written last, what there is. Nothing in them is executed when they are read, and a corpus
larger than memory can be read in any order. While it is written, memory holds where each sequence is.

Axes: ``N`` sequences, ``F`` frames, ``W`` numbers of a frame.
"""

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from tokbench.errors import TokbenchError
from tokbench.paths import write_bytes

__all__ = ["Column", "ShardError", "ShardWriter", "Shards"]

INDEX_FILE, _NOTES_FILE = "shards.json", "notes.jsonl"
_NO_SEQUENCE = -1
DEFAULT_SHARD_BYTES = 2**28


class ShardError(TokbenchError):
    """A folder of sequences that is not as it was written."""

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(f"{folder}: {problem}. Delete the folder, and the sequences are made again.")


@dataclass(frozen=True)
class Column:
    """What the sequences of a column are made of."""

    dtype: str
    """As numpy calls it: ``int16``, ``float16``."""
    width: int
    """Numbers of a frame."""
    num_shards: int = 0
    sizes: tuple[int, ...] = ()
    """Bytes of each shard."""


@dataclass
class _Open:
    """A column that is being written."""

    column: Column
    file: BinaryIO
    sizes: list[int] = field(default_factory=lambda: [0])
    starts: "array[int]" = field(default_factory=partial(array, "q"))
    """Of each sequence, its shard, its first frame there, and its number of frames; -1 where there is none."""


class ShardWriter:
    """Writes ``columns`` into ``folder``; use it as a context, and nothing is there unless all went well."""

    def __init__(
        self, folder: Path, columns: Mapping[str, Column], *, shard_bytes: int = DEFAULT_SHARD_BYTES
    ) -> None:
        self.folder, self._shard_bytes = folder, shard_bytes
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX_FILE).unlink(missing_ok=True)
        self._open = {name: _Open(column, _shard(folder, name, 0).open("wb")) for name, column in columns.items()}
        self._notes, self._num_sequences = (folder / _NOTES_FILE).open("w", encoding="utf-8"), 0

    def append(self, sequences: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> None:
        """Add one sequence [F, W] for each column of which there is one, and what is to be known about them."""
        for name, each in self._open.items():
            if name in sequences:
                self._append(name, each, sequences[name])
            else:
                each.starts.extend((0, 0, _NO_SEQUENCE))
        self._notes.write(json.dumps(note, sort_keys=True) + "\n")
        self._num_sequences += 1

    def _append(self, name: str, each: _Open, values: np.ndarray) -> None:
        data = np.ascontiguousarray(values, dtype=each.column.dtype).tobytes()
        if each.sizes[-1] and each.sizes[-1] + len(data) > self._shard_bytes:
            each.file.close()
            each.file = _shard(self.folder, name, len(each.sizes)).open("wb")
            each.sizes.append(0)
        frame_bytes = each.column.width * np.dtype(each.column.dtype).itemsize
        each.starts.extend((len(each.sizes) - 1, each.sizes[-1] // frame_bytes, len(values)))
        each.file.write(data)
        each.sizes[-1] += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, _value: object, _trace: object) -> None:
        for each in self._open.values():
            each.file.close()
        self._notes.close()
        if kind is not None:
            return
        for name, each in self._open.items():
            np.save(self.folder / f"{name}.npy", np.array(each.starts, np.int64).reshape(-1, 3), allow_pickle=False)
        columns = {
            name: asdict(Column(each.column.dtype, each.column.width, len(each.sizes), tuple(each.sizes)))
            for name, each in self._open.items()
        }
        index = {"num_sequences": self._num_sequences, "columns": columns}
        write_bytes(self.folder / INDEX_FILE, json.dumps(index, indent=1, sort_keys=True).encode())


class Shards:
    """What :class:`ShardWriter` wrote into ``folder``.

    Raises :class:`ShardError` for files that are missing, cut short or not of this kind.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
            self._num_sequences = int(index["num_sequences"])
            self.columns = {name: Column(**column) for name, column in index["columns"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ShardError(folder, f"{INDEX_FILE} cannot be read ({error})") from error
        self._starts = {name: self._read_starts(name) for name in self.columns}
        self._maps = {name: [*self._mapped(name, column)] for name, column in self.columns.items()}
        for name in self.columns:
            self._check_places(name)

    @staticmethod
    def is_complete(folder: Path) -> bool:
        """Say whether something was written there to its end."""
        return (folder / INDEX_FILE).is_file()

    def _read_starts(self, name: str) -> np.ndarray:
        file = self.folder / f"{name}.npy"
        try:
            starts: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ShardError(self.folder, f"{file.name} cannot be read ({error})") from error
        if starts.shape != (self._num_sequences, 3) or starts.dtype != np.int64:
            found = f"{starts.dtype} {list(starts.shape)}"
            raise ShardError(self.folder, f"{file.name}: expected int64 [{self._num_sequences}, 3], found {found}")
        return starts

    def _check_places(self, name: str) -> None:
        sizes = np.array([len(shard) for shard in self._maps[name]])
        shards, firsts, lengths = self._starts[name].T
        is_known = (shards >= 0) & (shards < len(sizes))
        is_inside = is_known & (firsts >= 0) & (lengths >= 0)
        is_inside &= firsts + lengths <= sizes[np.where(is_known, shards, 0)]
        outside = np.flatnonzero(~is_inside & (lengths != _NO_SEQUENCE))
        if len(outside):
            raise ShardError(self.folder, f"{name}.npy: sequence {outside[0]} lies outside of its shard")

    def _mapped(self, name: str, column: Column) -> Iterator[np.ndarray]:
        for number, size in enumerate(column.sizes):
            file = _shard(self.folder, name, number)
            found = file.stat().st_size if file.is_file() else 0
            if found != size:
                raise ShardError(self.folder, f"{file.name}: expected {size} bytes, found {found}")
            # An empty file cannot be mapped.
            yield (
                np.memmap(file, dtype=column.dtype, mode="r").reshape(-1, column.width)
                if size
                else np.empty((0, column.width), column.dtype)
            )

    def __len__(self) -> int:
        return self._num_sequences

    def length(self, name: str, index: int) -> int | None:
        """Return the frames of a sequence; None where there is none."""
        length = int(self._starts[name][index, 2])
        return None if length == _NO_SEQUENCE else length

    def lengths(self, name: str) -> np.ndarray:
        """Return int64 [N], the frames of each sequence of a column; -1 where there is none."""
        return self._starts[name][:, 2]

    def read(self, name: str, index: int, *, first: int = 0, end: int | None = None) -> np.ndarray:
        """Return a copy [F, W] of the frames from ``first`` to before ``end`` of a sequence."""
        shard, start, length = (int(each) for each in self._starts[name][index])
        chosen = self._maps[name][shard][start : start + length][first:end]
        return np.array(chosen)

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """Yield what is to be known about each sequence."""
        num_lines = 0
        try:
            with (self.folder / _NOTES_FILE).open(encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)
                    num_lines += 1
        except (OSError, ValueError) as error:
            raise ShardError(self.folder, f"{_NOTES_FILE} cannot be read ({error})") from error
        if num_lines != len(self):
            raise ShardError(self.folder, f"{_NOTES_FILE}: expected {len(self)} lines, found {num_lines}")


def _shard(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05d}.bin"
