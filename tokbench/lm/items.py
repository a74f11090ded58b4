"""What a language model is taught with and asked about: items, made of contents by name.

Contents have names that all specs and data sets share: ``audio`` is what is generated, understood or continued;
``source`` is what it is made from (noisy, in another language, by another voice); ``prompt`` is another recording
of its voice; ``text`` is what is said in it, or what is to be said about it; ``source_text``, ``description``,
``instruction``, ``notes`` and labels such as ``language`` are what they say. A spec takes what it needs.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus, Utterance
from tokbench.errors import UsageError

__all__ = [
    "Content",
    "CorpusMaterial",
    "InAnyForm",
    "Item",
    "Material",
    "checked_length",
    "contents_of",
    "group_of",
    "notes_of",
    "with_others",
]

Content = Audio | str | Tensor
"""Audio; text or a label; notes int64 [2, N], or ready-made codes int64 [K, F] or features float32 [F, D]."""


@dataclass(frozen=True)
class Item:
    """One thing to learn from."""

    id: str
    """Unique in its material, the same on every machine."""
    contents: Mapping[str, Content]
    form: str = ""
    """Form of the spec that it is an example of; every one whose contents are there if empty."""
    group: str = ""
    """What is said by whom: items of one group are learnt from together, or held out together. Its own if empty."""


class Material(ABC):
    """Items in a fixed order, of which there is one at a time."""

    name: str
    """Short and file-safe."""
    reference: str = ""
    """How it was asked for."""
    licence: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Item]:
        """Yield every item, in the same order each time."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash that changes when an item does."""

    @property
    def names(self) -> tuple[str, ...]:
        """``name``, or those of its parts where it is made of several."""
        return (self.name,)


class InAnyForm(Material):
    """The items of ``material``, each an example of every form whose contents are there.

    A model that another one begins with has forms of its own.
    """

    def __init__(self, material: Material) -> None:
        self._material = material
        self.name, self.reference, self.licence = material.name, material.reference, material.licence

    def __len__(self) -> int:
        return len(self._material)

    def __iter__(self) -> Iterator[Item]:
        return (replace(item, form="") for item in self._material)

    @property
    def sha256(self) -> str:
        """Hash of the material, and of what is made of it here."""
        return hashlib.sha256(f"in any form {self._material.sha256}".encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the material."""
        return self._material.names


def with_others(corpus: Corpus) -> Iterator[tuple[Utterance, Utterance | None]]:
    """Yield every utterance with another one of its speaker, if there is any.

    That is the one before it in the corpus, and for the first one the last.
    """
    before = {utterance.speaker: utterance for utterance in corpus if utterance.speaker}
    for utterance in corpus:
        other = before.get(utterance.speaker)
        yield utterance, other if other and other.id != utterance.id else None
        if utterance.speaker:
            before[utterance.speaker] = utterance


def group_of(utterance: Utterance, contents: Mapping[str, Content]) -> str:
    """Return who says what; empty where either is not known.

    What is said is the text of the utterance, whatever stands for it in ``contents``, unless those are about what
    it is to become: a sentence in several languages that are all translated into one is one sentence.
    """
    becomes = "target" in utterance.companions or "target_text" in utterance.labels
    text = contents.get("text") if becomes else utterance.text
    return f"{utterance.speaker}: {text}" if utterance.speaker and isinstance(text, str) and text else ""


class CorpusMaterial(Material):
    """The utterances of a corpus as items.

    Where an utterance has a companion that its audio is to become, that is the ``audio``, and its own the
    ``source``. The ``prompt`` is its enrolment, or else another utterance of its speaker: the one before it in the
    corpus, and for the first one the last.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.name, self.reference, self.licence = corpus.name, corpus.reference, corpus.licence

    def __len__(self) -> int:
        return len(self.corpus)

    def __iter__(self) -> Iterator[Item]:
        for utterance, other in with_others(self.corpus):
            contents = contents_of(utterance, other)
            yield Item(utterance.id, contents, group=group_of(utterance, contents))

    @property
    def sha256(self) -> str:
        """Hash of the corpus, and of what is made of it here."""
        return hashlib.sha256(f"items 2 {self.corpus.sha256}".encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the corpus."""
        return self.corpus.names


def contents_of(utterance: Utterance, other: Utterance | None) -> dict[str, Content]:
    """Return the contents of ``utterance``, of whose speaker ``other`` is another one, if there is one."""
    contents: dict[str, Content] = {"audio": utterance.read()}
    words = {"text": utterance.text, "language": utterance.language, "speaker": utterance.speaker}
    if "target" in utterance.companions:
        contents |= {"source": contents["audio"], "audio": utterance.read_companion("target")}
    if "enrolment" in utterance.companions:
        contents["prompt"] = utterance.read_companion("enrolment")
    elif other is not None:
        contents["prompt"] = other.read()
        words["prompt_text"] = other.text
    labels = {name: value for name, value in utterance.labels.items() if name not in contents}
    return contents | {name: value for name, value in (labels | words).items() if value}


def notes_of(score: str) -> Tensor:
    """Return int64 [2, N], the pitches and lengths of a score as text; raises ValueError for what is none.

    >>> notes_of("60:25 62:50").tolist()
    [[60, 62], [25, 50]]
    """
    notes = []
    for note in score.split():
        pitch, length = note.split(":")
        notes.append([int(pitch), int(length)])
    return torch.tensor(notes, dtype=torch.int64).reshape(-1, 2).T.contiguous()


def checked_length(seconds: float | None) -> float | None:
    """Return a length that is asked for, None for none; raises :class:`UsageError` for what is no length.

    >>> checked_length(0.5)
    0.5
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise UsageError(f"expected a length in seconds (--seconds) above 0, found {seconds:g}")
    return seconds
