"""What a corpus is: utterances in a fixed order, one at a time, with a name and a hash."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tokbench.corpora.intervals import Interval, Tier
from tokbench.errors import AudioFileError, CorpusError, NotApplicableError
from tokbench.specs.base import file_sha256

if TYPE_CHECKING:
    from tokbench.audio import Audio

__all__ = ["COMPANIONS", "Corpus", "Utterance", "joined_licences"]

COMPANIONS = ("target", "enrolment", "noise", "wrong")
"""Further recordings that an item may have: what its audio is to become, another one of the voice that is meant,
the noise in it alone, and a counterpart that is less likely than it."""

_NO_HASHES: Mapping[Path, str] = {}
"""One for all utterances, of which a corpus has many and most have no hash."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One recording, or a segment of one, with what is known about it. The audio stays on disk until it is read."""

    id: str
    """Unique in its corpus, the same on every machine."""
    path: Path
    start_s: float = 0.0
    duration_s: float | None = None
    """Length of the segment; None for all of the file."""
    speaker: str = ""
    language: str = ""
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further columns of the manifest, as they stand there."""
    intervals: tuple[Interval, ...] = ()
    """What is said when, where it was asked for (:meth:`Corpus.with_intervals`)."""
    companions: Mapping[str, Path] = field(default_factory=dict)
    """Further recordings of the same item, whole files, by the names of :data:`COMPANIONS`."""
    file_hashes: Mapping[Path, str] = field(default_factory=lambda: _NO_HASHES)
    """SHA-256 that files of the item are said to have."""

    @property
    def language_tag(self) -> str:
        """``language`` as tags are compared: in small letters, and with ``-`` for ``_``."""
        return self.language.lower().replace("_", "-")

    def read(self) -> "Audio":
        """Return the audio [C, T] at its own rate.

        Raises :class:`AudioFileError` for a file that cannot be read, or of another hash than it is said to have.
        """
        from tokbench.audio import Audio  # noqa: PLC0415  (the planner lists utterances without torch)

        self._check_file(self.path)
        return Audio.read(self.path, start_s=self.start_s, duration_s=self.duration_s)

    def read_companion(self, name: str) -> "Audio":
        """Return the companion called ``name``; raises :class:`NotApplicableError` where there is none.

        And as :meth:`read`.
        """
        from tokbench.audio import Audio  # noqa: PLC0415  (as above)

        if name not in self.companions:
            raise NotApplicableError(f"there is no {name} recording beside it")
        self._check_file(self.companions[name])
        return Audio.read(self.companions[name])

    def _check_file(self, path: Path) -> None:
        expected = self.file_hashes.get(path)
        if expected is None or not path.is_file():  # whoever reads it says so
            return
        status = path.stat()
        found = _sha256(path, status.st_size, status.st_mtime_ns)
        if found != expected.lower():
            reason = f"its manifest has the SHA-256 {expected}, and the file {found}: get it again, or mend the row"
            raise AudioFileError(path, reason)


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, _size: int, _modified_ns: int) -> str:
    """Return the hash of a file, once for each state of it: one file may hold many utterances."""
    return file_sha256(path)


class Corpus(ABC):
    """A named source of utterances that never holds more than one of them."""

    name: str
    """Short and file-safe: a folder of ``results/``."""
    reference: str
    """How the corpus was asked for, without folders of this machine."""
    licence: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Utterance]:
        """Yield every utterance, in the same order each time."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of utterances."""

    @property
    def has_intervals(self) -> bool:
        """Whether it is known what is said when."""
        return False

    @property
    def intervals_sha256(self) -> str:
        """Hash over what is said when; empty where that is not known."""
        return ""

    def with_intervals(self, tier: Tier) -> Iterator[Utterance]:  # noqa: ARG002
        """Yield every utterance with its intervals on ``tier``, which may be none.

        Raises :class:`CorpusError` where they are not known.
        """
        msg = f"{self.reference}: it is not known what is said when"
        raise CorpusError(msg)

    @property
    def names(self) -> tuple[str, ...]:
        """``name``, or those of its parts where it is made of several."""
        return (self.name,)

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash over the ids, labels and files' sizes or hashes, in order: changes when the corpus does."""


def joined_licences(*licences: str) -> str:
    """Return the SPDX expression of all ``licences``, themselves expressions, with each part once.

    >>> joined_licences("MIT", "CC-BY-4.0 AND MIT", "")
    'MIT AND CC-BY-4.0'
    """
    return " AND ".join(dict.fromkeys(part for licence in licences for part in licence.split(" AND ") if part))
