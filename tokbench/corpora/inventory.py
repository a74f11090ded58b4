"""What one pass over a corpus finds out: its length, its hash, and what is wrong with it."""

import hashlib
import json
from collections.abc import Mapping

from tokbench.corpora.base import Utterance
from tokbench.errors import CorpusError

__all__ = ["Inventory", "Problems"]


class Inventory:
    """Counts and hashes utterances as they pass."""

    def __init__(self) -> None:
        self.num_utterances = 0
        self._digest = hashlib.sha256()

    def add(
        self, utterance: Utterance, content: str | int, companions: Mapping[str, str | int] | None = None
    ) -> None:
        """Take note of ``utterance``; ``content`` is its file's hash, or its size in bytes where none is known.

        ``companions`` holds the same of its further recordings.
        """
        self.num_utterances += 1
        facts = [
            utterance.id,
            utterance.start_s,
            utterance.duration_s,
            utterance.speaker,
            utterance.language,
            utterance.text,
            sorted(utterance.labels.items()),
            content,
            *([sorted(companions.items())] if companions else []),
        ]
        self._digest.update(json.dumps(facts).encode() + b"\n")

    @property
    def sha256(self) -> str:
        """Hash over everything noted, in order."""
        return self._digest.hexdigest()


class Problems:
    """Everything wrong with a corpus, told at once; the first few in words."""

    num_shown = 5

    def __init__(self) -> None:
        self._count = 0
        self._sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Take note of one problem."""
        self._count += 1
        if self._count <= self.num_shown:
            self._sentences.append(sentence)

    def raise_any(self, where: object) -> None:
        """Raise one :class:`CorpusError` about ``where`` if there were problems."""
        if self._count == 0:
            return
        more = self._count - len(self._sentences)
        rest = f"; and {more} more" if more else ""
        msg = f"{where}: {'; '.join(self._sentences)}{rest}"
        raise CorpusError(msg)
