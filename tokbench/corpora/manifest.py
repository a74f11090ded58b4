"""A corpus listed in a CSV file, read line by line.

Columns: ``path`` (relative to the manifest, or absolute) is required; ``id``, ``speaker``, ``language``, ``text``,
``start_s``, ``duration_s``, ``sha256`` and ``licence`` are known, and so are ``target_path``, ``target_sha256`` and
their like for the other companions of an utterance; any other column is a label. ``duration_s`` is the length of a
segment where there is a ``start_s`` column, and otherwise the length of the whole file.
"""

import csv
import hashlib
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tokbench.corpora import alignments
from tokbench.corpora.base import COMPANIONS, Corpus, Utterance, joined_licences
from tokbench.corpora.intervals import Tier
from tokbench.corpora.inventory import Inventory, Problems
from tokbench.corpora.reference import CorpusReference, Filters, corpus_name
from tokbench.errors import CorpusError
from tokbench.specs.base import file_sha256

__all__ = ["ManifestCorpus", "open_manifest"]

_FIELDS = frozenset(
    {"path", "id", "speaker", "language", "text", "start_s", "duration_s", "sha256"}
    | {f"{name}_{fact}" for name in COMPANIONS for fact in ("path", "sha256")}
)
_LICENCE_COLUMNS = ("licence", "license")
_NUM_VALUES_TOLD = 12


def open_manifest(reference: CorpusReference) -> "ManifestCorpus":
    """Open ``manifest:FILE`` with its filters; named after the folder, which names the data set."""
    path = reference.path()
    folder = path.resolve().parent.name or "root"
    stem = folder if path.stem == "manifest" else f"{folder}-{path.stem}"
    return ManifestCorpus(
        path,
        filters=reference.filters,
        name=corpus_name(stem, reference.filters),
        reference=reference.without_folders(f"{folder}/{path.name}"),
    )


class ManifestCorpus(Corpus):
    """The rows of a manifest whose columns have the values of ``filters``.

    Opening reads the file once and raises one :class:`CorpusError` with everything that is wrong with it.
    """

    def __init__(self, path: Path, *, filters: Filters | None = None, name: str, reference: str) -> None:
        self.path = path
        self.filters = dict(filters or {})
        self.name = name
        self.reference = reference
        self.columns = _read_header(path, self.filters)
        self.total_duration_s: float | None = 0.0
        """Sum over the utterances in seconds; None where a row does not tell its length."""
        self._inventory = Inventory()
        self._take_stock()

    def __iter__(self) -> Iterator[Utterance]:
        problems = Problems()
        for _, row in self._selected(problems):
            yield self._utterance(row)
        problems.raise_any(self.path)  # the file was changed after it was opened

    def __len__(self) -> int:
        return self._inventory.num_utterances

    @property
    def sha256(self) -> str:
        """Hash over the ids, labels and files' hashes (or sizes, where the manifest has no ``sha256``)."""
        return self._inventory.sha256

    def read_alignments(self, tier: Tier = "phone") -> Iterator[alignments.AlignedUtterance]:
        """Yield the utterances with their intervals on ``tier``, from ``alignments.csv`` beside the manifest."""
        return alignments.read_alignments(self.path.parent / alignments.FILE_NAME, self, tier)

    @property
    def has_intervals(self) -> bool:
        """Whether there is an ``alignments.csv`` beside the manifest."""
        return (self.path.parent / alignments.FILE_NAME).is_file()

    @cached_property
    def intervals_sha256(self) -> str:
        """Hash of ``alignments.csv``."""
        return file_sha256(self.path.parent / alignments.FILE_NAME) if self.has_intervals else ""

    def with_intervals(self, tier: Tier) -> Iterator[Utterance]:
        """Yield every utterance with its intervals on ``tier``, from ``alignments.csv`` beside the manifest."""
        aligned = self.read_alignments(tier)
        waiting = next(aligned, None)
        for utterance in self:
            if waiting is not None and waiting.utterance.id == utterance.id:
                yield replace(utterance, intervals=waiting.intervals)
                waiting = next(aligned, None)
            else:
                yield utterance

    def _take_stock(self) -> None:
        problems, ids, licences, seen = Problems(), array("Q"), set[str](), _SeenValues(self.filters)
        for line, row in self._selected(problems, seen):
            try:
                utterance = self._utterance(row)
                companions = {
                    name: _content(path, row[f"{name}_path"], row.get(f"{name}_sha256"))
                    for name, path in utterance.companions.items()
                }
                content = _content(utterance.path, row["path"], row.get("sha256"))
                self._inventory.add(utterance, content, companions)
            except (OSError, ValueError) as error:
                problems.add(f"line {line}: {error}")
                continue
            self._add_duration(row)
            ids.append(_short_hash(utterance.id))
            licences.update(row[column] for column in _LICENCE_COLUMNS if row.get(column))
        self._find_duplicates(ids, problems)
        problems.raise_any(self.path)
        if len(self) == 0:
            raise CorpusError(seen.sentence(self.path))
        self.licence = joined_licences(*sorted(licences))

    def _add_duration(self, row: Mapping[str, str]) -> None:
        if self.total_duration_s is not None:
            told = row.get("duration_s")
            self.total_duration_s = self.total_duration_s + float(told) if told else None

    def _find_duplicates(self, ids: "array[int]", problems: Problems) -> None:
        """Report ids that occur twice. Eight bytes per row are held; the ids themselves only where hashes meet."""
        hashes, counts = np.unique(np.frombuffer(ids, dtype=np.uint64), return_counts=True)
        suspects = set(hashes[counts > 1].tolist())
        first_lines: dict[str, int] = {}
        for line, row in self._selected(Problems()) if suspects else ():
            if _short_hash(found := _identifier(self.path.parent, row)) not in suspects:
                continue
            if found in first_lines:
                problems.add(f"line {line}: the id {found!r} stands on line {first_lines[found]} already")
            first_lines.setdefault(found, line)

    def _selected(
        self, problems: Problems, seen: "_SeenValues | None" = None
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the line number and the cells by column of every row that passes the filters."""
        rows = _rows(self.path, problems)
        next(rows, None)
        for line, cells in rows:
            if len(cells) != len(self.columns):
                problems.add(f"line {line}: {len(cells)} cells under {len(self.columns)} columns")
                continue
            row = dict(zip(self.columns, cells, strict=True))
            if seen is not None:
                seen.add(row)
            if all(row[column] in values for column, values in self.filters.items()):
                yield line, row

    def _utterance(self, row: Mapping[str, str]) -> Utterance:
        if not row["path"]:
            msg = "the path is empty"
            raise ValueError(msg)
        duration_s = _seconds(row, "duration_s", positive=True)
        is_segment = bool(row.get("start_s"))
        path = self.path.parent / row["path"]
        companions = {
            name: self.path.parent / row[f"{name}_path"] for name in COMPANIONS if row.get(f"{name}_path")
        }
        hashes = [
            (path, row.get("sha256")),
            *((companions[name], row.get(f"{name}_sha256")) for name in companions),
        ]
        return Utterance(
            id=_identifier(self.path.parent, row),
            path=path,
            start_s=_seconds(row, "start_s") or 0.0,
            duration_s=duration_s if is_segment else None,
            speaker=row.get("speaker", ""),
            language=row.get("language", ""),
            text=row.get("text", ""),
            labels={column: value for column, value in row.items() if column not in _FIELDS},
            companions=companions,
            file_hashes={file: sha256 for file, sha256 in hashes if sha256},
        )


class _SeenValues:
    """A few of the values that the filtered columns have, to tell when a filter leaves nothing."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._values: dict[str, set[str]] = {column: set() for column in filters}

    def add(self, row: Mapping[str, str]) -> None:
        for column, values in self._values.items():
            if len(values) <= _NUM_VALUES_TOLD:
                values.add(row[column])

    def sentence(self, path: Path) -> str:
        if not self._filters:
            return f"{path}: no rows below the header"
        wanted = " and ".join(f"{column}={'|'.join(values)}" for column, values in self._filters.items())
        told = "; ".join(f"{column} is {self._list(values)}" for column, values in self._values.items())
        return f"{path}: no row has {wanted} ({told})"

    @staticmethod
    def _list(values: set[str]) -> str:
        shown = sorted(values)[:_NUM_VALUES_TOLD]
        return ", ".join(map(repr, shown)) + (", …" if len(values) > len(shown) else "")


def _read_header(path: Path, filters: Filters) -> tuple[str, ...]:
    if not path.is_file():
        msg = f"{path}: {'not a file' if path.exists() else 'no such file'}; expected a CSV manifest"
        raise CorpusError(msg)
    problems = Problems()
    _, header = next(_rows(path, problems), (1, []))
    problems.raise_any(path)
    if len(set(header)) < len(header):
        problems.add(f"a column name occurs twice in {', '.join(header)}")
    if "path" not in header:
        problems.add(f"no column named 'path'; the columns are {', '.join(header) or 'none'}")
    for column in filters:
        if column not in header:
            problems.add(f"no column named {column!r} to filter by; the columns are {', '.join(header)}")
    problems.raise_any(path)
    return tuple(header)


def _rows(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every row that is not blank, the header first."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except UnicodeDecodeError:
            problems.add(f"line {reader.line_num + 1} or after: not UTF-8; save the file with that encoding")
        except csv.Error as error:
            problems.add(f"line {reader.line_num}: not CSV: {error}")


def _identifier(folder: Path, row: Mapping[str, str]) -> str:
    if row.get("id"):
        return row["id"]
    path = Path(row["path"])
    if path.is_absolute():
        # Without an id, an absolute path is told by its tail: this machine's folders are no part of an id.
        inside = path.is_relative_to(folder.resolve())
        path = path.relative_to(folder.resolve()) if inside else Path(*path.parts[-2:])
    return (path.parent / path.stem).as_posix()


def _seconds(row: Mapping[str, str], column: str, *, positive: bool = False) -> float | None:
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and (value > 0 if positive else value >= 0)):
        expected = "seconds above 0" if positive else "seconds from 0 on"
        msg = f"{column}: expected {expected}, found {text!r}"
        raise ValueError(msg)
    return value


def _content(path: Path, written: str, sha256: str | None) -> str | int:
    """Return what tells the file's content from another: its hash if the row has one, else its size in bytes.

    Raises :class:`ValueError` where there is no such file, which is told as it is ``written`` in the row.
    """
    if not path.is_file():
        msg = f"{'not a file' if path.exists() else 'no such file'}: {written}"
        raise ValueError(msg)
    return sha256 or path.stat().st_size


def _short_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
