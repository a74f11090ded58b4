from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from tokbench.audio import Audio
from tokbench.corpora.registry import open_corpus
from tokbench.errors import TrainingError, WeightsError
from tokbench.judges.classifier import TaughtClassifier
from tokbench.models.classifier import frames_of, read_classifier
from tokbench.specs.classifier import ClassLesson
from tokbench.specs.probe import ProbeRecipe
from tokbench.training.classifier import teach_classifier
from tokbench.training.taught import judge_file

RECIPE = ProbeRecipe(head="mlp", width=16, learning_rates=(1e-2,), max_epochs=20, patience=0, num_seeds=2)
LESSON = ClassLesson(label="kind", recipe=RECIPE)
RATE_HZ = 8000


def sound(kind: str, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(2400)
    tone = np.sin(2 * np.pi * generator.uniform(500, 700) * np.arange(2400) / RATE_HZ)
    return 0.1 * (noise if kind == "noise" else tone + 0.01 * noise)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = ["path,kind,speaker"]
    for number in range(24):
        kind = ("noise", "tone")[number % 2]
        soundfile.write(tmp_path / f"{number}.wav", sound(kind, number), RATE_HZ)
        lines.append(f"{number}.wav,{kind},same")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_it_learns_what_it_is_taught_and_comes_back_from_its_file(manifest: Path, tmp_path: Path) -> None:
    corpus = open_corpus(f"manifest:{manifest}")
    path = tmp_path / "kind.safetensors"
    teach_classifier(corpus, LESSON, path)
    judge = TaughtClassifier(path)
    assert judge.classes == ("noise", "tone")
    assert judge.label.startswith("classifier:kind ")
    for kind, place in (("noise", 0), ("tone", 1)):
        audio = Audio.from_numpy(sound(kind, 100), RATE_HZ)
        posteriors = judge.posteriors(audio)
        assert posteriors.sum() == pytest.approx(1.0)
        assert posteriors.argmax() == place
        np.testing.assert_array_equal(posteriors, judge.posteriors(audio))
    facts = read_classifier(path).facts
    assert (facts.lesson, facts.corpus_sha256) == (LESSON, corpus.sha256)
    before = path.read_bytes()
    teach_classifier(corpus, LESSON, path)
    assert path.read_bytes() == before


def test_posteriors_are_the_mean_over_seeds_of_each_networks_own(manifest: Path, tmp_path: Path) -> None:
    path = tmp_path / "kind.safetensors"
    teach_classifier(open_corpus(f"manifest:{manifest}"), LESSON, path)
    classifier = read_classifier(path)
    samples = Audio.from_numpy(sound("tone", 7), RATE_HZ).resample(16000).mono()
    mean = (frames_of(samples, LESSON).mean(axis=0) - classifier.mean.numpy()) / classifier.deviation.numpy()
    expected = []
    for probe in classifier.probes:
        weights = {name: tensor.double().numpy() for name, tensor in probe.state_dict().items()}
        hidden = np.maximum(weights["head.after.0.weight"] @ mean + weights["head.after.0.bias"], 0)
        logits = weights["logits.weight"] @ hidden + weights["logits.bias"]
        expected.append(np.exp(logits) / np.exp(logits).sum())
    np.testing.assert_allclose(classifier.posteriors(samples), np.mean(expected, axis=0), rtol=1e-4)


def test_a_file_is_named_by_the_lesson_and_the_corpus(manifest: Path) -> None:
    corpus = open_corpus(f"manifest:{manifest}")
    other = LESSON.model_copy(update={"centred": True})
    half = open_corpus(f"manifest:{manifest}?kind=tone")
    files = {judge_file(*pair) for pair in ((corpus, LESSON), (corpus, other), (half, LESSON))}
    assert len(files) == 3
    assert judge_file(corpus, LESSON.model_copy(update={"corpus": "elsewhere"})) in files


def test_one_class_teaches_nothing(manifest: Path, tmp_path: Path) -> None:
    lesson = LESSON.model_copy(update={"label": "speaker"})
    with pytest.raises(TrainingError, match=r"has 1 classes by speaker: a classifier needs at least two"):
        teach_classifier(open_corpus(f"manifest:{manifest}"), lesson, tmp_path / "x.safetensors")


def test_another_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="expected a classifier that tokbench taught"):
        read_classifier(path)


def test_the_level_and_what_comes_later_count_only_where_the_lesson_says_so() -> None:
    samples = sound("noise", 3).astype(np.float32)
    centred = ClassLesson(label="kind", centred=True)
    np.testing.assert_allclose(frames_of(samples, centred), frames_of(10 * samples, centred), atol=1e-3)
    assert not np.allclose(frames_of(samples, LESSON), frames_of(10 * samples, LESSON))
    short = ClassLesson(label="kind", max_s=0.1)
    np.testing.assert_array_equal(frames_of(samples, short), frames_of(samples[:1600], LESSON))
