"""Fluent Speech Commands (Lugosch et al. 2019, arXiv:1904.03670): ``data/<split>_data.csv`` and ``wavs/``.

The intent of a command is its action, object and location together.
"""

from collections.abc import Collection, Iterator

from tokbench.corpora.base import Utterance
from tokbench.corpora.laid_out import LaidOutCorpus

__all__ = ["FluentSpeechCommandsCorpus"]

_FILES = {"train": "train_data.csv", "validation": "valid_data.csv", "test": "test_data.csv"}
_SLOTS = ("action", "object", "location")


class FluentSpeechCommandsCorpus(LaidOutCorpus):
    """Commands with the labels ``intent``, ``action``, ``object`` and ``location``."""

    kind = "fluent-speech-commands"
    folder = "fluent_speech_commands_dataset"
    origin = "https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/"
    splits = ("test", "train", "validation")
    licence = "LicenseRef-Fluent-Speech-Commands"
    landmarks: Collection[str] = tuple(f"data/{name}" for name in _FILES.values())

    def _all(self) -> Iterator[Utterance]:
        for split in self.chosen:
            for row in self._rows(f"data/{_FILES[split]}", ("path", "speakerId", "transcription", *_SLOTS)):
                slots = {name: row[name] for name in _SLOTS}
                yield Utterance(
                    id=row["path"].rpartition("/")[2].removesuffix(".wav"),
                    path=self.root / row["path"],
                    speaker=row["speakerId"],
                    language="en",
                    text=row["transcription"],
                    labels={"split": split, "intent": " ".join(slots.values()), **slots},
                )
