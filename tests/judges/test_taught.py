"""The recognizer that was taught here, as a judge."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny.whistled import QUICK, whistled, write_whistled

from tokbench.audio import Audio
from tokbench.corpora.registry import open_corpus
from tokbench.errors import UsageError
from tokbench.judges.base import MissingJudgeError
from tokbench.judges.recognizers import VocabularyError
from tokbench.judges.registry import find_recognizer
from tokbench.judges.taught import CtcRecognizer
from tokbench.specs.ctc import Lesson
from tokbench.training.recognizer import teach_recognizer


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    corpus = open_corpus(f"manifest:{write_whistled(folder / 'corpus')}?split=train")
    teach_recognizer(corpus, Lesson(units="characters", recipe=QUICK), folder / "characters.safetensors")
    return folder / "characters.safetensors"


def test_what_is_heard_depends_on_nothing_else(path: Path) -> None:
    recognizer = find_recognizer(f"ctc:{path}")
    audios = [Audio.from_numpy(whistled(text, seed=7), 16000) for text in ("dab", "cab bad abc", "a")]
    together = recognizer.transcribe(audios, language="en")
    assert together[:2] == ["dab", "cab bad abc"]
    assert recognizer.transcribe(audios[::-1]) == together[::-1]
    assert [CtcRecognizer(str(path)).transcribe([audio])[0] for audio in audios] == together
    readings = recognizer.readings(audios[1])
    assert readings == ["cab bad abc"] * 2
    assert recognizer.transcribe([Audio.from_numpy(np.zeros(10), 8000)])[0] in {"", " ", *"abcd"}


def test_it_says_who_it_is(path: Path, tmp_path: Path) -> None:
    recognizer = CtcRecognizer(str(path))
    assert recognizer.label.startswith("ctc:characters ")
    assert recognizer.fingerprint[:12] in recognizer.label
    assert recognizer.units == "characters"
    assert recognizer.knows("en-gb")
    assert not recognizer.knows("de")
    shutil.copy(path, tmp_path / path.name)
    assert CtcRecognizer(str(tmp_path / path.name)).label == recognizer.label


def test_without_its_file_it_says_so(tmp_path: Path) -> None:
    recognizer = find_recognizer(f"ctc:{tmp_path / 'none.safetensors'}")
    assert f"Put none.safetensors of a task that has it taught into {tmp_path}" in str(recognizer.missing())
    with pytest.raises(MissingJudgeError, match="no weights for the judge ctc:none"):
        recognizer.knows("en")


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(UsageError, match="which recognizer"):
        find_recognizer("ctc")
    with pytest.raises(VocabularyError, match="cannot be held to a vocabulary"):
        find_recognizer("ctc:x", vocabulary=("yes",))
