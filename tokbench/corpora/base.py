"""What a corpus is: utterances in a fixed order, one at a time, with a name and a hash."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokbench.audio import Audio

__all__ = ["Corpus", "Utterance"]


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

    def read(self) -> "Audio":
        """Return the audio [C, T] at its own rate."""
        from tokbench.audio import Audio  # noqa: PLC0415  (the planner lists utterances without torch)

        return Audio.read(self.path, start_s=self.start_s, duration_s=self.duration_s)


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
    @abstractmethod
    def sha256(self) -> str:
        """Hash over the ids, labels and files' sizes or hashes, in order: changes when the corpus does."""
