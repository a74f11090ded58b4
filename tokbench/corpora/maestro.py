"""MAESTRO (Hawthorne et al. 2019, arXiv:1810.12247): ``maestro-v3.0.0.csv``, and recordings of pianos by year."""

from collections.abc import Collection, Iterator

from tokbench.corpora.base import Utterance
from tokbench.corpora.laid_out import LaidOutCorpus

__all__ = ["MaestroCorpus"]

_FILE = "maestro-v3.0.0.csv"
_LABELS = {"composer": "canonical_composer", "title": "canonical_title", "year": "year"}


class MaestroCorpus(LaidOutCorpus):
    """Performances of whole pieces, with the labels ``composer``, ``title`` and ``year``."""

    kind = "maestro"
    folder = "maestro-v3.0.0"
    origin = "https://magenta.tensorflow.org/datasets/maestro"
    splits = ("test", "train", "validation")
    licence = "CC-BY-NC-SA-4.0"
    landmarks: Collection[str] = (_FILE,)

    def _all(self) -> Iterator[Utterance]:
        for row in self._rows(_FILE, ("split", "audio_filename", *_LABELS.values())):
            yield Utterance(
                id=row["audio_filename"].rpartition(".")[0],
                path=self.root / row["audio_filename"],
                labels={"split": row["split"], **{name: row[column] for name, column in _LABELS.items()}},
            )
