"""Several corpora, one after the other, as one."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tokbench.corpora.base import Corpus, Utterance, joined_licences
from tokbench.corpora.intervals import Tier
from tokbench.errors import UsageError

__all__ = ["JoinedCorpus", "join"]


def join(corpora: Sequence[Corpus]) -> Corpus:
    """Return ``corpora`` as one; the only one as it is. Raises :class:`UsageError` for none, or for one twice."""
    if not corpora:
        msg = "no corpus is named"
        raise UsageError(msg)
    return corpora[0] if len(corpora) == 1 else JoinedCorpus(corpora)


class JoinedCorpus(Corpus):
    """The utterances of ``parts`` in turn; an id begins with the name of its corpus."""

    def __init__(self, parts: Sequence[Corpus]) -> None:
        names = [part.name for part in parts]
        if twice := [name for name in names if names.count(name) > 1]:
            msg = f"the corpus {twice[0]} is named twice"
            raise UsageError(msg)
        self._parts = tuple(parts)
        self.name = "+".join(names)
        self.reference = " + ".join(part.reference for part in parts)
        self.licence = joined_licences(*(part.licence for part in parts))

    def __iter__(self) -> Iterator[Utterance]:
        for part in self._parts:
            for utterance in part:
                yield replace(utterance, id=f"{part.name}/{utterance.id}")

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    @property
    def has_intervals(self) -> bool:
        """Whether it is known of all parts what is said when."""
        return all(part.has_intervals for part in self._parts)

    @property
    def intervals_sha256(self) -> str:
        """Hash over those of the parts, in order."""
        return hashlib.sha256("\n".join(part.intervals_sha256 for part in self._parts).encode()).hexdigest()

    def with_intervals(self, tier: Tier) -> Iterator[Utterance]:
        """Yield every utterance with its intervals on ``tier``."""
        for part in self._parts:
            for utterance in part.with_intervals(tier):
                yield replace(utterance, id=f"{part.name}/{utterance.id}")

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the parts."""
        return tuple(name for part in self._parts for name in part.names)

    @property
    def sha256(self) -> str:
        """Hash over those of the parts, in order."""
        return hashlib.sha256("\n".join(f"{part.name} {part.sha256}" for part in self._parts).encode()).hexdigest()
