"""Several corpora as one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tokbench.corpora.joined import join
from tokbench.corpora.registry import open_corpus
from tokbench.errors import CorpusError, UsageError


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    for name in ("first", "second"):
        for index in range(2):
            path = tmp_path / name / f"{index}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.full(800 * (index + 1), 0.1), 16000)
    return [f"folder:{tmp_path / name}" for name in ("first", "second")]


def test_utterances_follow_one_another_under_ids_of_their_own(folders: list[str]) -> None:
    parts = [open_corpus(folder) for folder in folders]
    joined = join(parts)
    assert [utterance.id for utterance in joined] == ["first/0.wav", "first/1.wav", "second/0.wav", "second/1.wav"]
    assert [utterance.read().num_samples for utterance in joined] == [800, 1600, 800, 1600]
    assert len(joined) == 4
    assert joined.name == "first+second"
    assert joined.names == ("first", "second")
    assert joined.reference == "folder:first + folder:second"


def test_the_hash_is_that_of_all_parts_in_order(folders: list[str]) -> None:
    first, second = (open_corpus(folder) for folder in folders)
    assert join([first, second]).sha256 == join([first, second]).sha256 != join([second, first]).sha256


def test_one_corpus_is_itself(folders: list[str]) -> None:
    corpus = open_corpus(folders[0])
    assert join([corpus]) is corpus


def test_none_and_one_twice_are_refused(folders: list[str]) -> None:
    with pytest.raises(UsageError, match="no corpus is named"):
        join([])
    corpus = open_corpus(folders[0])
    with pytest.raises(UsageError, match="the corpus first is named twice"):
        join([corpus, corpus])


def test_what_is_said_when_is_not_known_of_plain_folders(folders: list[str]) -> None:
    corpus = open_corpus(folders[0])
    assert not corpus.has_intervals
    assert not join([corpus, open_corpus(folders[1])]).has_intervals
    with pytest.raises(CorpusError, match="folder:first: it is not known what is said when"):
        next(corpus.with_intervals("phone"))
