"""Teaching a recognizer of speech, on recordings or on what a codec makes of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus, Utterance
from tokbench.corpora.pronunciation import pronounce
from tokbench.errors import NotApplicableError, TrainingError
from tokbench.metrics.recognition import spelled
from tokbench.models.recognizer import (
    FRAME_RATE_HZ,
    SAMPLE_RATE_HZ,
    RecognizerFacts,
    frames_of,
    write_recognizer,
)
from tokbench.specs.ctc import Lesson
from tokbench.training.ctc import CtcItems, teach

__all__ = ["labels_of", "teach_recognizer"]


def labels_of(utterance: Utterance, units: str) -> tuple[str, ...]:
    """Return the phones or characters of what is said.

    Phones are those of the intervals, or of the text where there are none. Raises :class:`NotApplicableError` where
    neither is known.
    """
    if units == "characters":
        return tuple(spelled(utterance.text))
    if utterance.intervals:
        return tuple(interval.label for interval in utterance.intervals)
    return pronounce(utterance.text, utterance.language)


def teach_recognizer(
    corpus: Corpus, lesson: Lesson, path: Path, *, heard_through: Callable[[Audio], Audio] | None = None
) -> None:
    """Teach ``lesson`` on ``corpus``, which goes through a codec first if one is given, and write it to ``path``.

    Utterances of which it is not known what is said are passed over. Raises :class:`TrainingError` where none is
    left, or where no text fits into its recording.
    """
    frames, texts, languages = [], [], set()
    for utterance in _utterances(corpus, lesson):
        try:
            texts.append(labels_of(utterance, lesson.units))
        except NotApplicableError:
            continue
        audio = utterance.read() if heard_through is None else heard_through(utterance.read())
        frames.append(frames_of(audio.to_channels(1).resample(SAMPLE_RATE_HZ).mono()))
        languages.add(utterance.language)
    labels = sorted({label for text in texts for label in text})
    classes = {label: place for place, label in enumerate(labels)}
    coded = [np.array([classes[label] for label in text], np.int64) for text in texts]
    try:
        networks = teach(CtcItems(frames, coded, FRAME_RATE_HZ), None, lesson.recipe, len(labels))
    except ValueError as error:
        raise TrainingError(f"nothing to teach a recognizer with in {corpus.reference}: {error}") from error
    facts = RecognizerFacts(
        units=lesson.units,
        labels=tuple(labels),
        languages=tuple(sorted(languages)),
        corpus=corpus.reference,
        corpus_sha256=corpus.sha256,
        recipe=lesson.recipe,
    )
    write_recognizer(path, facts, networks)


def _utterances(corpus: Corpus, lesson: Lesson) -> Iterator[Utterance]:
    is_aligned = lesson.units == "phones" and corpus.has_intervals
    return corpus.with_intervals("phone") if is_aligned else iter(corpus)
