"""Teaching a classifier of sounds on recordings, or on what a codec makes of them, once for each of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus, Utterance
from tokbench.errors import TrainingError
from tokbench.models.classifier import (
    SAMPLE_RATE_HZ,
    Classifier,
    ClassifierFacts,
    frames_of,
    write_classifier,
)
from tokbench.specs.classifier import ClassLesson
from tokbench.training.probe import ProbeItems, fit_probes

__all__ = ["class_of", "teach_classifier"]

_FEWEST_CLASSES = 2


def class_of(utterance: Utterance, label: str) -> str:
    """Return the class of ``utterance``; empty where it has none."""
    known = {"text": utterance.text, "speaker": utterance.speaker, "language": utterance.language}
    return known[label] if label in known else utterance.labels.get(label, "")


def teach_classifier(
    corpus: Corpus, lesson: ClassLesson, path: Path, *, heard_through: Callable[[Audio], Audio] | None = None
) -> None:
    """Teach ``lesson`` on ``corpus``, which goes through a codec first if one is given, and write it to ``path``.

    Utterances without the label are passed over. Raises :class:`TrainingError` where there are no two classes.
    """
    frames, labels = [], []
    for utterance in corpus:
        if label := class_of(utterance, lesson.label):
            audio = utterance.read() if heard_through is None else heard_through(utterance.read())
            samples = audio.to_channels(1).resample(SAMPLE_RATE_HZ).mono()
            frames.append(frames_of(samples, lesson))
            labels.append(label)
    classes = sorted(set(labels))
    if len(classes) < _FEWEST_CLASSES:
        raise TrainingError(
            f"{corpus.reference} has {len(classes)} classes by {lesson.label}: a classifier needs at least two"
        )
    numbers = np.array([classes.index(label) for label in labels], np.int64)
    fitted = fit_probes(ProbeItems(frames, numbers), None, lesson.recipe, len(classes))
    facts = ClassifierFacts(
        lesson=lesson, classes=tuple(classes), corpus=corpus.reference, corpus_sha256=corpus.sha256
    )
    mean, deviation = (torch.from_numpy(np.asarray(part)) for part in (fitted.mean, fitted.deviation))
    write_classifier(path, Classifier(facts, list(fitted.probes), mean, deviation))
