"""ESC-50 (Piczak 2015): ``meta/esc50.csv`` and ``audio/``, 2000 sounds of 50 kinds in five folds.

Clips of one recording are in one fold. The first fold is the test here, the second one validation; where all of
them are to be the test once, a task splits by the label ``fold``.
"""

from collections.abc import Collection, Iterator

from tokbench.corpora.base import Utterance
from tokbench.corpora.laid_out import LaidOutCorpus

__all__ = ["Esc50Corpus"]

_SPLITS = {"1": "test", "2": "validation"}
_LABELS = ("category", "fold", "esc10")


class Esc50Corpus(LaidOutCorpus):
    """Sounds with the labels ``category``, ``fold`` and ``esc10``."""

    kind = "esc50"
    folder = "ESC-50-master"
    origin = "https://github.com/karolpiczak/ESC-50"
    splits = ("test", "train", "validation")
    licence = "CC-BY-NC-3.0"
    landmarks: Collection[str] = ("meta/esc50.csv", "audio")

    def _all(self) -> Iterator[Utterance]:
        for row in self._rows("meta/esc50.csv", ("filename", *_LABELS)):
            yield Utterance(
                id=row["filename"].removesuffix(".wav"),
                path=self.root / "audio" / row["filename"],
                labels={"split": _SPLITS.get(row["fold"], "train"), **{name: row[name] for name in _LABELS}},
            )
