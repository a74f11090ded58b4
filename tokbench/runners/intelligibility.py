"""Intelligibility: what a recognizer still understands of decoded speech.

Conventions: the recognizer hears original and decoded audio, each mixed to mono and resampled to its rate. Texts
are normalized as :mod:`tokbench.metrics.recognition` says; phones are taken as they are. Rates are those of the
corpus: all errors by all words. An utterance of which it is not known what is said has dWER (or dPER) alone, and so
has one whose text is in another script than the recognizer writes, as romanized Chinese is for Whisper; one in a
language that the recognizer does not know has nothing.

A recognizer may be taught on the originals of the training part of the corpus. Its networks, of several seeds, have
a reading each, and the errors of all are counted together.

Measures: WER and CER against the text of the corpus, PER against its phones, dWER and dPER against what the same
recognizer wrote of the original.
"""

import contextlib
import functools
import importlib.metadata
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from tokbench.corpora.intervals import Tier
from tokbench.corpora.registry import open_corpus
from tokbench.corpora.training_part import require_apart, training_part
from tokbench.errors import MissingPackageError, NotApplicableError, SpecError, UsageError
from tokbench.judges.base import Recognizer
from tokbench.judges.registry import find_recognizer
from tokbench.metrics.recognition import (
    ErrorCounts,
    character_errors,
    label_errors,
    normalize,
    spelled,
    spelling_rules,
    word_errors,
)
from tokbench.runners.base import Bench, Failure, Measurement, attempt
from tokbench.runners.judged import JudgedArguments, JudgedRunner
from tokbench.specs.ctc import Lesson
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.corpora.base import Corpus, Utterance

__all__ = ["IntelligibilityArguments", "IntelligibilityRunner"]

WER, CER, DWER, PER, DPER = "wer", "cer", "dwer", "per", "dper"
_MAIN = (WER, PER)
"""Of whose errors the row of an utterance tells the kinds."""
_METRICS = {"phones": {PER, DPER}, "characters": {WER, CER, DWER}}
"""Those that make sense of what a recognizer writes."""
_TAUGHT = "ctc"


class IntelligibilityArguments(JudgedArguments):
    """The ``[arguments]`` of an intelligibility task."""

    judge: str = "pocketsphinx"
    """Who listens: ``pocketsphinx``, ``whisper:<size>``, or ``ctc``, which is taught here. Other judges are other
    tasks."""
    vocabulary: tuple[str, ...] = ()
    """Texts of which the recognizer may hear one: all that the corpus says, where that is little. Other utterances
    are left out."""
    pronunciations: Mapping[str, str] = {}
    """Phones by word of the vocabulary, for words that the dictionary of the recognizer lacks."""
    lesson: Lesson | None = None
    """What ``ctc`` is taught."""

    @model_validator(mode="after")
    def _only_ctc_is_taught(self) -> Self:
        if (self.judge == _TAUGHT) != (self.lesson is not None):
            msg = f"judge and lesson: expected a lesson for the judge {_TAUGHT}, and for no other"
            raise ValueError(msg)
        return self

    @property
    def units(self) -> str:
        """What the recognizer writes."""
        return "characters" if self.lesson is None else self.lesson.units


class IntelligibilityRunner(JudgedRunner[Recognizer]):
    """Transcribes speech before and after a codec."""

    needs_decoder: ClassVar[bool] = True
    needs_codes: bool = False
    utterance_metrics = tuple(name for names in _METRICS.values() for name in sorted(names))
    facts = {  # noqa: RUF012  (a constant of the class, typed in the base)
        "substitutions": "integer",
        "deletions": "integer",
        "insertions": "integer",
        "transcript": "text",
        "transcript_of_original": "text",
    }

    arguments: IntelligibilityArguments

    def _read_arguments(self, task: Task) -> None:
        self.arguments = task.checked_arguments(IntelligibilityArguments)
        if others := sorted(set(task.metrics) - _METRICS[self.arguments.units]):
            problem = f"metrics: a recognizer of {self.arguments.units} has no {', '.join(others)}"
            raise SpecError(task.id, [problem])

    @property
    def _is_taught(self) -> bool:
        return self.arguments.lesson is not None

    def _find_judge(self) -> Recognizer:
        arguments = self.arguments
        if self._is_taught:
            from tokbench.training.taught import judge_file  # noqa: PLC0415  (imports torch)

            (lesson,) = self.lessons
            return find_recognizer(f"{_TAUGHT}:{judge_file(*lesson)}")
        return find_recognizer(
            arguments.judge, vocabulary=arguments.vocabulary, pronunciations=tuple(arguments.pronunciations.items())
        )

    @cached_property
    def _measured(self) -> "Corpus":
        return open_corpus(self.task.corpus)

    @cached_property
    def _learnt(self) -> "Corpus":
        """What the recognizer is taught on; raises as :func:`open_corpus` and :func:`training_part`."""
        asked = self.arguments.lesson.corpus if self.arguments.lesson else ""
        return open_corpus(asked or training_part(self.task.corpus))

    @property
    def lessons(self) -> "Sequence[tuple[Corpus, Lesson]]":
        """What the judge is taught, and on what; empty for one that need not be."""
        return [(self._learnt, self.arguments.lesson)] if self.arguments.lesson else []

    @property
    def tier(self) -> Tier | None:
        """Phones, where they are what is written and the corpus knows when they are spoken."""
        return "phone" if self.arguments.units == "phones" and self._measured.has_intervals else None

    def missing(self) -> str | None:
        """Return what the judge lacks, or what it lacks to be taught."""
        if not self._is_taught:
            return super().missing()
        try:
            learnt = self._learnt
        except (UsageError, MissingPackageError) as error:
            return str(error)
        if self.arguments.units == "phones" and learnt.has_intervals:
            return None
        if not any(utterance.text for utterance in learnt):
            return f"{learnt.reference} tells of no utterance what is said: there is nothing to teach a recognizer"
        return None

    def prepare(self) -> None:
        """Teach the recognizer, unless an earlier run did; raises :class:`tokbench.errors.TrainingError`."""
        if not self._is_taught:
            return
        from tokbench.training.taught import teach_judge  # noqa: PLC0415  (imports torch)

        require_apart(self._learnt, self._measured)
        for lesson in self.lessons:
            teach_judge(*lesson)
        self._name_judge()

    @property
    def fingerprint(self) -> str:
        """Name, version and weights of the judge, and the versions of what normalizes and counts."""
        versions = (f"{name} {importlib.metadata.version(name)}" for name in ("jiwer", "openai-whisper"))
        return ", ".join([super().fingerprint, *versions])

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the errors of the transcript of decoded speech, which is a fact of the row."""
        audio = utterance.read()
        measurement = Measurement(audio_sha256=audio.sha256, duration_s=audio.duration_s)
        language = utterance.language_tag
        if (reason := self._why_not(utterance)) is not None:
            measurement.failures = {name: Failure(reason, is_not_applicable=True) for name in self.metrics}
            return measurement
        heard = self._judge.readings(self._decoded(bench, audio), language=language)
        measurement.facts["transcript"] = heard[0]
        rules = spelling_rules(language) if self._is_taught else language
        counts: dict[str, Callable[[], ErrorCounts]] = {
            WER: lambda: _sum(word_errors(self._text(utterance), reading, rules) for reading in heard),
            CER: lambda: _sum(character_errors(self._text(utterance), reading, rules) for reading in heard),
            PER: lambda: _phone_errors(utterance, heard),
        }
        if not {DWER, DPER}.isdisjoint(self.metrics):
            originals = self._judge.readings(audio, language=language)
            measurement.facts["transcript_of_original"] = originals[0]
            counts[DWER] = lambda: _changes(originals, heard, functools.partial(word_errors, language=rules))
            counts[DPER] = lambda: _changes(originals, heard, _changed_phones)
        for name in self.metrics:
            found = attempt(counts[name])
            if isinstance(found, Failure):
                measurement.failures[name] = found
                continue
            measurement.scores[name] = found.score
            if name in _MAIN:
                measurement.facts["substitutions"] = found.substitutions
                measurement.facts["deletions"] = found.deletions
                measurement.facts["insertions"] = found.insertions
        return measurement

    def _text(self, utterance: "Utterance") -> str:
        """Return what is said; raises :class:`NotApplicableError` where the recognizer writes another script."""
        if not self._judge.spells_like(utterance.text, utterance.language_tag):
            msg = f"the text is not in the script in which {self._judge.name} writes {utterance.language_tag}"
            raise NotApplicableError(msg)
        # What is taught writes no apostrophes, of which a normalization makes words.
        return spelled(utterance.text) if self._is_taught else utterance.text

    def _why_not(self, utterance: "Utterance") -> str | None:
        """Return why the recognizer cannot be asked for ``utterance``, None where it can."""
        language, vocabulary = utterance.language_tag, self.arguments.vocabulary
        # One that was taught knows languages as they were written.
        if not (self._judge.knows(language) or self._judge.knows(utterance.language)):
            return f"{self._judge.name} does not know the language {utterance.language}"
        if vocabulary and normalize(utterance.text, language) not in {normalize(t, language) for t in vocabulary}:
            return "the text is not in the vocabulary of the task"
        return None


def _sum(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    return functools.reduce(operator.add, counts)


def _phone_errors(utterance: "Utterance", heard: Sequence[str]) -> ErrorCounts:
    from tokbench.training.recognizer import labels_of  # noqa: PLC0415  (imports torch)

    phones = labels_of(utterance, "phones")
    return _sum(label_errors(phones, reading.split()) for reading in heard)


def _changed_phones(original: str, heard: str) -> ErrorCounts:
    return label_errors(original.split(), heard.split())


def _changes(
    originals: Sequence[str], heard: Sequence[str], count: Callable[[str, str], ErrorCounts]
) -> ErrorCounts:
    """Count what changed in the readings of those networks that heard anything in the original.

    Raises :class:`NotApplicableError` where none did.
    """
    told = []
    for original, reading in zip(originals, heard, strict=True):
        with contextlib.suppress(NotApplicableError):
            told.append(count(original, reading))
    if not told:
        raise NotApplicableError("no word was heard in the original")
    return _sum(told)
