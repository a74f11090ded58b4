"""What tasks have in common that learn from the tokens of one part of a corpus, and ask about another part.

What was learnt is kept in the cache, by all that decides it: who finds it there need not learn.
"""

import hashlib
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tokbench.corpora.registry import open_corpus
from tokbench.corpora.training_part import require_apart, training_part
from tokbench.errors import MissingPackageError, UsageError
from tokbench.paths import cache_dir
from tokbench.runners.base import Bench, Runner
from tokbench.specs.base import StrictModel

if TYPE_CHECKING:
    from tokbench.corpora.base import Corpus

__all__ = ["LearningArguments", "LearningRunner"]


class LearningArguments(StrictModel):
    """What such tasks have in common."""

    corpus: str = ""
    """What is learnt from, as for ``--corpus``; empty for the training part of what is asked about."""


class LearningRunner(Runner):
    """Learns once for each tokenizer."""

    arguments: LearningArguments
    layout: ClassVar[int] = 1
    """Raised by any change that makes something else of the same arguments."""

    @cached_property
    def measured(self) -> "Corpus":
        """What is asked about."""
        return open_corpus(self.task.corpus)

    @cached_property
    def learnt(self) -> "Corpus":
        """What is learnt from; raises as :func:`open_corpus` and :func:`training_part`."""
        return open_corpus(self.arguments.corpus or training_part(self.task.corpus))

    def missing(self) -> str | None:
        """Return why there is nothing to learn from."""
        try:
            require_apart(self.learnt, self.measured)
        except (UsageError, MissingPackageError) as error:
            return str(error)
        return None

    @property
    def fingerprint(self) -> str:
        """What is learnt from."""
        return f"learnt from {self.learnt.sha256}, layout {self.layout}"

    def file(self, bench: Bench) -> Path:
        """Return where what was learnt from the tokens of ``bench`` is kept, whether or not it is there."""
        asked = self.arguments.model_dump_json(exclude={"corpus"})
        key = f"{self.fingerprint}\n{asked}\n{bench.fingerprint}\n{bench.device}"
        return cache_dir() / self.task.kind / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def learn(self, bench: Bench) -> None:
        """Learn, unless an earlier run did."""
        if not (path := self.file(bench)).is_file():
            self.teach(bench, path)

    @abstractmethod
    def teach(self, bench: Bench, path: Path) -> None:
        """Learn from the tokens of ``bench``, and write what was learnt to ``path``, whole or not at all."""
