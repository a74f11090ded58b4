"""Intelligibility: what a recognizer still understands of decoded speech.

Conventions: the recognizer hears original and decoded audio, each mixed to mono and resampled to its rate. Texts
are normalized as :mod:`tokbench.metrics.recognition` says. Rates are those of the corpus: all errors by all words.
An utterance without text has no WER and no CER; one in a language that the recognizer does not know has nothing.

Measures: WER and CER against the text of the corpus, dWER against what the same recognizer wrote of the original.
"""

import importlib.metadata
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from tokbench.errors import NotApplicableError
from tokbench.judges.base import Recognizer
from tokbench.judges.registry import find_recognizer
from tokbench.metrics.recognition import ErrorCounts, character_errors, normalize, word_errors
from tokbench.runners.base import Bench, Failure, Measurement, attempt
from tokbench.runners.judged import JudgedRunner
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokbench.corpora.base import Utterance

__all__ = ["IntelligibilityArguments", "IntelligibilityRunner"]

WER, CER, DWER = "wer", "cer", "dwer"


class IntelligibilityArguments(StrictModel):
    """The ``[arguments]`` of an intelligibility task."""

    judge: str = "pocketsphinx"
    """Who listens: ``pocketsphinx``, or ``whisper:<size>``. Other judges are other tasks."""
    vocabulary: tuple[str, ...] = ()
    """Texts of which the recognizer may hear one: all that the corpus says, where that is little. Other utterances
    are left out."""
    pronunciations: Mapping[str, str] = {}
    """Phones by word of the vocabulary, for words that the dictionary of the recognizer lacks."""


class IntelligibilityRunner(JudgedRunner[Recognizer]):
    """Transcribes speech before and after a codec."""

    needs_decoder: ClassVar[bool] = True
    needs_codes: ClassVar[bool] = False
    facts = {  # noqa: RUF012  (a constant of the class, typed in the base)
        "substitutions": "integer",
        "deletions": "integer",
        "insertions": "integer",
        "transcript": "text",
        "transcript_of_original": "text",
    }

    def _read_arguments(self, task: Task) -> None:
        self.arguments = task.checked_arguments(IntelligibilityArguments)

    def _find_judge(self) -> Recognizer:
        arguments = self.arguments
        return find_recognizer(
            arguments.judge, vocabulary=arguments.vocabulary, pronunciations=tuple(arguments.pronunciations.items())
        )

    @property
    def fingerprint(self) -> str:
        """Name, version and weights of the judge, and the versions of what normalizes and counts."""
        versions = (f"{name} {importlib.metadata.version(name)}" for name in ("jiwer", "openai-whisper"))
        return ", ".join([super().fingerprint, *versions])

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the errors of the transcript of decoded speech, which is a fact of the row."""
        audio = utterance.read()
        measurement = Measurement(audio_sha256=audio.sha256, duration_s=audio.duration_s)
        language = utterance.language
        if (reason := self._why_not(utterance)) is not None:
            measurement.failures = {name: Failure(reason, is_not_applicable=True) for name in self.metrics}
            return measurement
        decoded, _ = bench.decode(bench.encode(audio).codes)
        heard = self._judge.transcribe([decoded], language=language)[0]
        measurement.facts["transcript"] = heard
        counts: dict[str, Callable[[], ErrorCounts]] = {
            WER: lambda: word_errors(utterance.text, heard, language),
            CER: lambda: character_errors(utterance.text, heard, language),
        }
        if DWER in self.metrics:
            original = self._judge.transcribe([audio], language=language)[0]
            measurement.facts["transcript_of_original"] = original
            counts[DWER] = lambda: _changes(original, heard, language)
        for name in self.metrics:
            found = attempt(counts[name])
            if isinstance(found, Failure):
                measurement.failures[name] = found
                continue
            measurement.scores[name] = found.score
            if name == WER:
                measurement.facts["substitutions"] = found.substitutions
                measurement.facts["deletions"] = found.deletions
                measurement.facts["insertions"] = found.insertions
        return measurement

    def _why_not(self, utterance: "Utterance") -> str | None:
        """Return why the recognizer cannot be asked for ``utterance``, None where it can."""
        language, vocabulary = utterance.language, self.arguments.vocabulary
        if not self._judge.knows(language):
            return f"{self._judge.name} does not know the language {language}"
        if vocabulary and normalize(utterance.text, language) not in {normalize(t, language) for t in vocabulary}:
            return "the text is not in the vocabulary of the task"
        return None


def _changes(original: str, heard: str, language: str) -> ErrorCounts:
    """Count the words that changed; raises :class:`NotApplicableError` where the original has none to the judge."""
    try:
        return word_errors(original, heard, language)
    except NotApplicableError as error:
        raise NotApplicableError("no word was heard in the original") from error
