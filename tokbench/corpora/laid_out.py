"""Data sets as they are published: a folder whose layout tells what is in it."""

import csv
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tokbench.corpora.base import Corpus, Utterance
from tokbench.corpora.inventory import Inventory, Problems
from tokbench.corpora.reference import CorpusReference, corpus_name
from tokbench.corpora.text_files import opened
from tokbench.errors import CorpusError, UnknownNameError
from tokbench.paths import corpora_dir

__all__ = ["LaidOutCorpus"]


class LaidOutCorpus(Corpus):
    """Some splits of a data set below ``root``, which is read anew each time.

    Raises :class:`CorpusError` where ``root`` is not the data set, with the way to get it, and for files that are
    not there.
    """

    kind: str
    """By which it is asked for."""
    folder: str
    """That of the archive."""
    origin: str
    """Where the archive is."""
    splits: Sequence[str]
    """Those that there are; the first is opened where none is named."""

    def __init__(self, reference: CorpusReference) -> None:
        reference.require_only(("split",))
        self.chosen = reference.filters.get("split", tuple(self.splits[:1]))
        for split in self.chosen:
            if split not in self.splits:
                raise UnknownNameError(f"split of {self.kind}", split, self.splits, command="tokbench list corpora")
        self.root = self._find(reference.path() if reference.location else corpora_dir())
        self.name = corpus_name(self.kind, {"split": self.chosen})
        self.reference = f"{self.kind}?split={'|'.join(self.chosen)}"
        self._inventory = Inventory()
        self._take_stock()

    def _find(self, folder: Path) -> Path:
        """Return the folder of the data set, which ``folder`` is or holds."""
        for place in (folder, folder / self.folder):
            if all((place / name).exists() for name in self.landmarks):
                return place
        lost = " and ".join(self.landmarks)
        raise CorpusError(f"{folder}: no {self.folder} with {lost}. Get it from {self.origin} and unpack it there")

    def _take_stock(self) -> None:
        problems = Problems()
        for utterance in self:
            if utterance.path.is_file():
                self._inventory.add(utterance, utterance.path.stat().st_size)
            else:
                problems.add(f"no such file: {utterance.path.relative_to(self.root)}")
        problems.raise_any(self.root)
        if len(self) == 0:
            raise CorpusError(f"{self.root}: no recordings in {', '.join(self.chosen)}")

    def __iter__(self) -> Iterator[Utterance]:
        for utterance in self._all():
            if utterance.labels["split"] in self.chosen:
                yield utterance

    def __len__(self) -> int:
        return self._inventory.num_utterances

    @property
    def sha256(self) -> str:
        """Hash over the ids, labels and files' sizes."""
        return self._inventory.sha256

    def _rows(self, path: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield the rows of a CSV file; raises :class:`CorpusError` where one of ``columns`` is missing.

        And as :func:`opened`.
        """
        with opened(self.root / path) as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise CorpusError(f"{self.root / path}: missing columns: {', '.join(missing)}")
            yield from reader

    @property
    @abstractmethod
    def landmarks(self) -> Collection[str]:
        """Files and folders by which the data set is known."""

    @abstractmethod
    def _all(self) -> Iterator[Utterance]:
        """Yield the utterances of all splits, which a label ``split`` tells."""
