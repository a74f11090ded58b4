"""What a judge is: a model that listens to audio and writes down what was said, or whose voice it is.

A judge says who it is (name, version, hash of its weights), so that its numbers are never mixed with those of
another one. It is loaded at its first use, once in a process. What it answers for a recording does not depend on
what else it is asked: recordings are heard one after the other, because padding them to one length moves the
answers of many networks.

Axes: ``T`` samples, ``N`` recordings, ``D`` features.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.errors import MissingPackageError, TokbenchError, UndefinedMetricError
from tokbench.specs.base import file_sha256

if TYPE_CHECKING:
    from tokbench.audio import Audio

__all__ = ["Judge", "MissingJudgeError", "Recognizer", "SpeakerEncoder"]

_NUM_HASH_DIGITS = 12


class MissingJudgeError(TokbenchError):
    """A judge whose weights are not there."""

    def __init__(self, judge: str, *, folder: Path, files: Sequence[str], origin: str) -> None:
        super().__init__(f"no weights for the judge {judge}. Put {', '.join(files)} of {origin} into {folder}.")


class Judge(ABC):
    """A model that listens."""

    name: str
    """As in a task file: ``resemblyzer``, ``whisper:base``."""
    sample_rate_hz: ClassVar[int] = 16000
    """Rate at which it listens."""
    packages: ClassVar[Mapping[str, str]]
    """What it is made with: names to install by, of names to import by. The first is the one with its version."""
    origin: ClassVar[str] = ""
    """Where its weights are published, for those that no package brings along."""

    @property
    @abstractmethod
    def files(self) -> Sequence[Path]:
        """Files that decide what it hears, whether or not they are there."""

    @property
    def version(self) -> str:
        """Version of its package."""
        return importlib.metadata.version(next(iter(self.packages.values())))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over :attr:`files`, whatever folder they lie in."""
        digest = hashlib.sha256()
        for path in self.files:
            status = path.stat()
            digest.update(f"{path.name} {_sha256(path, status.st_size, status.st_mtime_ns)}\n".encode())
        return digest.hexdigest()

    @property
    def label(self) -> str:
        """What a record calls it: name, version and the beginning of its fingerprint."""
        return f"{self.name} {self.version} ({self.fingerprint[:_NUM_HASH_DIGITS]})"

    def missing(self) -> str | None:
        """Return what this machine lacks, in one sentence that says how to get it; None for nothing."""
        try:
            self.require()
        except (MissingPackageError, MissingJudgeError) as error:
            return str(error)
        return None

    def require(self) -> None:
        """Raise :class:`MissingPackageError` or :class:`MissingJudgeError` for a judge that cannot listen here."""
        absent = [wheel for name, wheel in self.packages.items() if importlib.util.find_spec(name) is None]
        if absent:
            raise MissingPackageError(f"the judge {self.name}", absent)
        lost = [path for path in self.files if not path.is_file()]
        if lost:
            raise MissingJudgeError(
                self.name, folder=lost[0].parent, files=[path.name for path in lost], origin=self.origin
            )

    def _heard(self, audio: "Audio") -> np.ndarray:
        """Return float32 [T] as the judge gets it: mono, at its rate, clipped to full scale as a file would be."""
        samples = audio.to_channels(1).resample(self.sample_rate_hz).mono()
        clipped: np.ndarray = np.clip(samples, -1.0, 1.0)
        return clipped


class Recognizer(Judge):
    """A judge that writes down what was said."""

    writes_digits: ClassVar[bool] = False
    """Whether it may write 42 for what is spoken as forty-two."""

    def knows(self, language: str) -> bool:  # noqa: ARG002
        """Say whether it understands ``language``, a tag such as ``en``; empty for one that is not known."""
        return True

    def spells_like(self, text: str, language: str) -> bool:  # noqa: ARG002
        """Say whether it writes ``language`` in the script of ``text``, so that both can be compared."""
        return True

    def transcribe(self, audios: "Sequence[Audio]", *, language: str = "") -> list[str]:
        """Return what was said in each of ``audios``, as the model writes it; empty where it heard no word.

        Raises what :meth:`require` raises.
        """
        self.require()
        return [self._transcribe(self._heard(audio), language) for audio in audios]

    def readings(self, audio: "Audio", *, language: str = "") -> list[str]:
        """Return what was said in ``audio`` as each network of the model writes it, one where there are no more.

        Raises what :meth:`require` raises.
        """
        self.require()
        return self._readings(self._heard(audio), language)

    def _readings(self, samples: np.ndarray, language: str) -> list[str]:
        return [self._transcribe(samples, language)]

    @abstractmethod
    def _transcribe(self, samples: np.ndarray, language: str) -> str:
        """Float32 [T] at the judge's rate -> text."""


class SpeakerEncoder(Judge):
    """A judge that knows voices."""

    shortest_s: ClassVar[float] = 0.0
    """Seconds of audio that it needs at least."""

    def embed(self, audios: "Sequence[Audio]") -> np.ndarray:
        """Return embeddings, float32 [N, D], of unit length: their inner product is the cosine.

        Raises what :meth:`require` raises, and :class:`tokbench.errors.UndefinedMetricError` for a recording
        without a voice, or too short to have one.
        """
        self.require()
        vectors = np.stack([self._embed(self._long_enough(audio)) for audio in audios]).astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise UndefinedMetricError(f"{self.name} has no embedding of the recording")
        unit: np.ndarray = (vectors / lengths).astype(np.float32)
        return unit

    def _long_enough(self, audio: "Audio") -> np.ndarray:
        samples = self._heard(audio)
        if len(samples) < self.shortest_s * self.sample_rate_hz:
            raise UndefinedMetricError(f"{self.name} needs {self.shortest_s} s of audio")
        return samples

    @abstractmethod
    def _embed(self, samples: np.ndarray) -> np.ndarray:
        """Float32 [T] at the judge's rate, of :attr:`shortest_s` or more -> [D], of any norm."""


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, _size: int, _modified_ns: int) -> str:
    """Return the hash of a file, once for each state of it: those of large models take a second."""
    return file_sha256(path)
