"""A corpus of voice-like signals, written to files: what training reads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny.voices import voice

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus, Utterance


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return TinyCorpus(tmp_path, num_utterances=5)


@pytest.fixture
def unseen_voice() -> Audio:
    return voice(seed=100)


class TinyCorpus(Corpus):
    name = "tiny"
    reference = "tiny?split=train"
    licence = "CC0-1.0"
    sha256 = "0"

    def __init__(self, folder: Path, *, num_utterances: int) -> None:
        self._paths = [folder / f"{index}.wav" for index in range(num_utterances)]
        for index, path in enumerate(self._paths):
            voice(seed=index).write(path)

    def __iter__(self) -> Iterator[Utterance]:
        return (Utterance(id=path.stem, path=path) for path in self._paths)

    def __len__(self) -> int:
        return len(self._paths)
