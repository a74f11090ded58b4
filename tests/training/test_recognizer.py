"""Teaching a recognizer: it hears what it was taught, and is found again by all that decides its weights."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from tiny.whistled import QUICK, whistled, write_whistled

from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.corpora.registry import open_corpus
from tokbench.errors import NotApplicableError, TrainingError, WeightsError
from tokbench.models.ctc import best_path
from tokbench.models.recognizer import frames_of, read_recognizer
from tokbench.specs.ctc import CtcRecipe, Lesson
from tokbench.training.recognizer import labels_of, teach_recognizer
from tokbench.training.taught import judge_file

LESSON = Lesson(units="characters", recipe=QUICK)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whistled(tmp_path_factory.mktemp("whistled"), aligned=True)


@pytest.fixture(scope="module")
def taught(manifest: Path) -> Path:
    path = manifest.parent / "taught" / "characters.safetensors"
    teach_recognizer(open_corpus(f"manifest:{manifest}?split=train"), LESSON, path)
    return path


def test_it_writes_what_it_was_taught(taught: Path) -> None:
    facts, networks = read_recognizer(taught)
    assert facts.labels == (" ", "a", "b", "c", "d")
    assert facts.languages == ("en",)
    assert len(networks) == 2
    frames = torch.from_numpy(frames_of(whistled("cab dab", seed=99)))[None]
    for network in networks:
        heard = best_path(*network(frames, torch.tensor([frames.shape[1]])))[0]
        assert "".join(facts.labels[label] for label in heard) == "cab dab"


def test_the_same_lesson_gives_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    short = LESSON.model_copy(update={"recipe": QUICK.model_copy(update={"max_epochs": 1})})
    corpus = open_corpus(f"manifest:{manifest}?split=train")
    for name in ("a", "b"):
        torch.rand(3)
        teach_recognizer(corpus, short, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_phones_are_those_of_the_alignments(manifest: Path, tmp_path: Path) -> None:
    lesson = Lesson(units="phones", recipe=QUICK.model_copy(update={"max_epochs": 1, "num_seeds": 1}))
    teach_recognizer(open_corpus(f"manifest:{manifest}?split=train"), lesson, tmp_path / "phones.safetensors")
    assert read_recognizer(tmp_path / "phones.safetensors")[0].labels == ("A", "B", "C", "D")


def test_the_name_of_a_file_tells_all_that_decides_it(manifest: Path, tokbench_home: Path) -> None:
    corpus, others = (open_corpus(f"manifest:{manifest}?split={split}") for split in ("train", "test"))
    path = judge_file(corpus, LESSON)
    assert path.is_relative_to(tokbench_home / "cache")
    assert path == judge_file(corpus, LESSON.model_copy(update={"corpus": "asked for otherwise"}))
    changed = [
        judge_file(others, LESSON),
        judge_file(corpus, LESSON.model_copy(update={"units": "phones"})),
        judge_file(corpus, Lesson(units="characters", recipe=CtcRecipe(learning_rates=(1e-3,)))),
    ]
    assert len({path, *changed}) == 4


def test_how_loud_a_recording_is_changes_nothing(rng: np.random.Generator) -> None:
    samples = whistled("dab") + (0.1 * rng.standard_normal(len(whistled("dab")))).astype(np.float32)
    np.testing.assert_allclose(frames_of(samples), frames_of(0.1 * samples), atol=0.01)
    assert frames_of(np.zeros(10, np.float32)).shape == (1, 40)


def test_phones_of_a_text_are_those_that_it_would_be_spoken_with() -> None:
    utterance = Utterance(id="a", path=Path("a.wav"), text="Seven!", language="en")
    assert labels_of(utterance, "phones") == ("s", "ɛ", "v", "ə", "n")
    assert labels_of(utterance, "characters") == tuple("seven")
    aligned = Utterance(id="a", path=Path("a.wav"), text="Seven!", intervals=(Interval(0, 1, "x"),))
    assert labels_of(aligned, "phones") == ("x",)
    with pytest.raises(NotApplicableError, match="no text"):
        labels_of(Utterance(id="a", path=Path("a.wav")), "characters")


def test_nothing_said_is_nothing_learnt(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", whistled("abc"), 16000)
    (tmp_path / "manifest.csv").write_text("path,text\na.wav,\n")
    corpus = open_corpus(f"manifest:{tmp_path / 'manifest.csv'}")
    with pytest.raises(TrainingError, match="nothing to teach a recognizer with"):
        teach_recognizer(corpus, LESSON, tmp_path / "x.safetensors")


def test_a_file_of_something_else_is_told(taught: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, other)
    with pytest.raises(WeightsError, match="expected a recognizer that tokbench taught"):
        read_recognizer(other)
    other.write_bytes(taught.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="expected a recognizer that tokbench taught"):
        read_recognizer(other)


def test_nothing_is_chosen_in_a_lesson() -> None:
    with pytest.raises(ValueError, match="expected one rate, found several"):
        Lesson(recipe=CtcRecipe())
