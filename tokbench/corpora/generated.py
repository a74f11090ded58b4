"""Corpora that are made here: once, into a folder that appears complete or not at all.

A folder holds 16-bit WAV files, a manifest with their hashes, and the times of what is known to happen when. A
recipe is a pure function: the same bytes come out in any order, in any process.

Axes: ``C`` channels, ``T`` samples.
"""

import csv
import hashlib
import random
import tempfile
import wave
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tokbench.corpora.alignments import FILE_NAME, write_alignments
from tokbench.corpora.intervals import Interval, Tier
from tokbench.corpora.manifest import ManifestCorpus
from tokbench.corpora.reference import LARGE_SPLITS, CorpusReference, Filters, corpus_name
from tokbench.errors import CorpusError
from tokbench.paths import corpora_dir
from tokbench.specs.base import file_sha256

__all__ = ["Clip", "Recipe", "Row", "Sound", "as_int16", "in_a_quiet_room", "text_hash"]

LICENCE = "Apache-2.0"
"""Of everything that is made here."""

_WITHOUT_VALUE = ""


@dataclass(frozen=True, eq=False)
class Sound:
    """What a recording holds."""

    samples: np.ndarray
    """int16 [T] or [C, T]."""
    sample_rate_hz: int
    intervals: Sequence[tuple[Tier, Interval]] = ()
    """What happens when."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples.T) / self.sample_rate_hz


@dataclass(frozen=True)
class Clip:
    """A recording that is to be made; any number of rows may name it."""

    name: str
    """Path in the corpus, without the suffix."""
    make: Callable[[], Sound]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One utterance."""

    id: str
    clip: Clip
    companions: Mapping[str, Clip] = field(default_factory=dict)
    """Further recordings of the same item, by the names of :data:`tokbench.corpora.base.COMPANIONS`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Cells of the manifest beside those that are found here."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A corpus before it is made."""

    name: str
    """Name with a version, which changes with anything that changes a sample or a label."""
    labels: tuple[str, ...]
    """What is known of each recording: columns of the manifest between those that every corpus has."""
    rows: Callable[[], Sequence[Row]]
    """Training and test."""
    large: Mapping[str, Callable[[], Sequence[Row]]] = field(default_factory=dict, hash=False)
    """Further splits by name, ``train-large`` and perhaps ``test-large``, in a folder of their own.

    A language model cannot learn so many recordings by heart; training and test stay as they are for whatever else
    learns from them. Speakers are those of the usual splits.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the manifest, in order."""
        return ("id", "path", "split", *self.labels, "duration_s", "licence", "sha256")

    @property
    def kind(self) -> str:
        """The name without the version, by which it is asked for."""
        return self.name.rpartition(".")[0]

    def open(self, reference: CorpusReference, filters: Filters | None = None) -> ManifestCorpus:
        """Open what ``reference`` asks for, the test split where it names none; make the corpus if it is not there.

        ``filters`` stand for those of the reference where they mean something else than they say.
        """
        if reference.location:
            raise CorpusError(
                f"{self.kind}: takes no path; ask for {self.kind}, or for manifest:{reference.location}"
            )
        is_large = self._is_large(reference)
        folder = corpora_dir() / (f"{self.name}-large" if is_large else self.name)
        if not folder.is_dir():
            self.build(folder, self.large_rows() if is_large else None)
        asked = {k: v for k, v in reference.filters.items() if (k, v) != ("split", ("test",))}
        return ManifestCorpus(
            folder / "manifest.csv",
            filters={"split": ("test",), **reference.filters} if filters is None else filters,
            name=corpus_name(self.name, asked),
            reference=reference.without_folders(),
        )

    def large_rows(self) -> list[Row]:
        """Return everything that there is in the large splits."""
        return [row for rows in self.large.values() for row in rows()]

    def _is_large(self, reference: CorpusReference) -> bool:
        """Say whether a large split is asked for; raises :class:`CorpusError` where it is none, or not alone."""
        splits = reference.filters.get("split", ())
        asked = next((split for split in splits if split in LARGE_SPLITS), None)
        if asked is None:
            return False
        if asked not in self.large:
            told = " or ".join(["split=train", "split=test", *(f"split={split}" for split in self.large)])
            raise CorpusError(f"{self.kind}: there is no split={asked} of it; ask for {told}")
        if len(splits) > 1:
            raise CorpusError(
                f"{self.kind}: split={'|'.join(splits)} is made of several folders; ask for split={asked} alone"
            )
        return True

    def build(self, folder: Path, rows: Sequence[Row] | None = None) -> None:
        """Make the corpus in ``folder``, also when two processes make it; of ``rows`` alone where they are given.

        Raises :class:`CorpusError` if the folder cannot be written.
        """
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
                complete = Path(temporary, "complete")
                complete.mkdir()
                _Writer(complete, self.columns).write(self.rows() if rows is None else rows)
                _publish(complete, folder)
        except OSError as error:
            reason = error.strerror or error
            raise CorpusError(
                f"cannot make the corpus {self.kind} in {folder}: {reason}. Free some space or set TOKBENCH_HOME"
            ) from error


def _publish(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        if not (folder / "manifest.csv").is_file():
            raise
        # Another process was faster, with the same bytes.


@dataclass(frozen=True)
class _Written:
    path: str
    sha256: str
    duration_s: float
    intervals: Sequence[tuple[Tier, Interval]]


class _Writer:
    """Writes each clip once, and then the tables."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder, self._columns = folder, columns
        self._clips: dict[str, _Written] = {}

    def write(self, rows: Iterable[Row]) -> None:
        """Write everything, rows in the order of the hash of their ids: the first few are then of every kind."""
        ordered = sorted(rows, key=lambda row: text_hash(row.id))
        with (self._folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval=_WITHOUT_VALUE, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._cells(row) for row in ordered)
        times = [(row.id, tier, span) for row in ordered for tier, span in self._clip(row.clip).intervals]
        if times:
            write_alignments(self._folder / FILE_NAME, times)

    def _cells(self, row: Row) -> dict[str, str]:
        clip = self._clip(row.clip)
        found = {
            "id": row.id,
            "path": clip.path,
            "duration_s": f"{clip.duration_s:.6f}",
            "licence": LICENCE,
            "sha256": clip.sha256,
        }
        for name, companion in row.companions.items():
            found[f"{name}_path"] = self._clip(companion).path
            found[f"{name}_sha256"] = self._clip(companion).sha256
        return {**row.columns, **found}

    def _clip(self, clip: Clip) -> _Written:
        if clip.name not in self._clips:
            self._clips[clip.name] = self._make(clip)
        return self._clips[clip.name]

    def _make(self, clip: Clip) -> _Written:
        sound = clip.make()
        path = self._folder / f"{clip.name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = np.atleast_2d(sound.samples)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(len(channels))
            file.setsampwidth(channels.itemsize)
            file.setframerate(sound.sample_rate_hz)
            file.writeframes(channels.T.astype("<i2").tobytes())
        relative = path.relative_to(self._folder).as_posix()
        return _Written(relative, file_sha256(path), sound.duration_s, sound.intervals)


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Return float ``samples``, full scale -1 .. 1, as int16 of the same shape, clipped.

    Rounding hides the last bits in which processors differ: what was computed in double precision is the same on
    all of them, but for one sample in some millions of millions.
    """
    limits = np.iinfo(np.int16)
    rounded: np.ndarray = np.clip(np.round(samples * -float(limits.min)), limits.min, limits.max)
    return rounded.astype(np.int16)


def in_a_quiet_room(samples: np.ndarray, *, num_padded: int, seed: str) -> np.ndarray:
    """Return int16 [T + 2 · ``num_padded``]: ``samples`` int16 [T], padded, and noise of about -74 dB under it all.

    Digital silence would make the logarithm of a spectrum a matter of taste.
    """
    padded = np.pad(samples, num_padded).astype(np.int32)
    # The sum of a random byte's two halves is triangular in -15 .. 15. These bytes are the same in every Python.
    noise = np.frombuffer(random.Random(seed).randbytes(len(padded)), dtype=np.uint8).astype(np.int32)
    limits = np.iinfo(np.int16)
    room: np.ndarray = np.clip(padded + (noise >> 4) + (noise & 15) - 15, limits.min, limits.max)
    return room.astype(np.int16)


def text_hash(text: str) -> str:
    """Return a hash by which to order or to deal out things that have names."""
    return hashlib.sha256(text.encode()).hexdigest()
