"""Who listens to what language models generate: judges that are there, and judges that a task has taught."""

import functools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tokbench.corpora.registry import open_corpus
from tokbench.corpora.training_part import training_part
from tokbench.judges.recognizers import words_of
from tokbench.judges.registry import find_recognizer, find_speaker_encoder
from tokbench.runners.lm_scores import Listeners, captions_of
from tokbench.specs.classifier import ClassLesson
from tokbench.specs.lm_task import LmArguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokbench.corpora.base import Corpus
    from tokbench.judges.base import Judge, Recognizer
    from tokbench.metrics.captions import Cider
    from tokbench.runners.base import Bench
    from tokbench.specs.ctc import Lesson
    from tokbench.training.taught import Resynthesis

__all__ = ["LmJudges"]

_TAUGHT = "ctc"
_OF_CODECS = "; of codecs one taught on their sound"
"""Said of those who are taught."""


@dataclass(frozen=True)
class LmJudges:
    """Those that ``arguments`` ask for, of what is asked about ``corpus``."""

    arguments: LmArguments
    corpus: str
    """Reference of what the model is asked about."""
    has_captions: bool
    """Whether captions are compared."""

    def ready(self) -> "Iterator[Judge]":
        """Yield those that need not be taught."""
        if self.arguments.recognizer not in {"", _TAUGHT}:
            yield self._named_recognizer
        if self.arguments.speaker:
            yield find_speaker_encoder(self.arguments.speaker)

    @cached_property
    def _named_recognizer(self) -> "Recognizer":
        asked = self.arguments
        words = tuple(asked.pronunciations.items())
        return find_recognizer(asked.recognizer, vocabulary=asked.vocabulary, pronunciations=words)

    @property
    def lessons(self) -> "Sequence[tuple[Corpus, Lesson | ClassLesson]]":
        """What judges are taught, and on what; empty where none is to be."""
        asked = (self.arguments.lesson, self.arguments.classifier)
        return [(self.taught_on(lesson.corpus), lesson) for lesson in asked if lesson is not None]

    def taught_on(self, asked: str) -> "Corpus":
        """Return what a judge is taught on, whose lesson names the corpus ``asked``, or none."""
        if asked or self.arguments.corpus:
            return open_corpus(asked or self.arguments.corpus)
        # The usual part is enough for a judge, and the same as that of judges in other tasks.
        return open_corpus(training_part(self.corpus))

    def labels(self) -> dict[str, str]:
        """Return what records call those who listen."""
        taught = {"recognizer": self.arguments.lesson, "classifier": self.arguments.classifier}
        return {
            kind: judge.label + (_OF_CODECS if taught.get(kind) else "") for kind, judge in self._known().items()
        }

    def _known(self) -> "dict[str, Judge]":
        """Return who listens, as the task says."""
        found = {
            "recognizer": self.to_recordings.recognizer,
            "classifier": self.to_recordings.classifier,
            "speaker": self.to_recordings.speakers,
        }
        return {kind: judge for kind, judge in found.items() if judge is not None}

    @cached_property
    def to_recordings(self) -> Listeners:
        """Who listens to recordings, those that are taught included, once they are."""
        asked = self.arguments
        found = Listeners(
            recognizer=self._named_recognizer if asked.recognizer not in {"", _TAUGHT} else None,
            words=words_of(asked.vocabulary),
            label=asked.classifier.label if asked.classifier else "",
            speakers=find_speaker_encoder(asked.speaker) if asked.speaker else None,
            cider=self._cider() if self.has_captions else None,
            names=asked.names,
        )
        for corpus, lesson in self.lessons:
            found = _with_taught(found, corpus, lesson)
        return found

    def _cider(self) -> "Cider":
        from tokbench.metrics.captions import Cider  # noqa: PLC0415  (the planner has no use for it)

        return Cider([captions_of(utterance) for utterance in open_corpus(self.corpus)])

    def through(self, bench: "Bench") -> "list[tuple[Corpus, Lesson | ClassLesson, Resynthesis]]":
        """Return what those learn who listen to the codec of ``bench``; empty where there is no codec."""
        from tokbench.codecs.base import Codec  # noqa: PLC0415  (imports torch)
        from tokbench.runners.lm_outputs import resynthesized  # noqa: PLC0415  (as above)
        from tokbench.training.taught import Resynthesis  # noqa: PLC0415  (as above)

        if not isinstance(bench.tokenizer, Codec):
            return []
        through = Resynthesis(bench.fingerprint, functools.partial(resynthesized, bench))
        return [(corpus, lesson, through) for corpus, lesson in self.lessons]

    def to_codec(self, bench: "Bench") -> Listeners:
        """Return who listens to what comes out of the codec of ``bench``, once they are taught."""
        known = self.to_recordings
        found = known
        for lesson in self.through(bench):
            found = _with_taught(found, *lesson)
        return found if found is known else replace(found, of_originals=known)


def _with_taught(
    listeners: Listeners, corpus: "Corpus", lesson: "Lesson | ClassLesson", through: "Resynthesis | None" = None
) -> Listeners:
    """Return ``listeners`` with who was taught ``lesson`` on ``corpus``."""
    from tokbench.judges.classifier import TaughtClassifier  # noqa: PLC0415  (imports torch)
    from tokbench.training.taught import judge_file  # noqa: PLC0415  (as above)

    file = judge_file(corpus, lesson, through)
    if isinstance(lesson, ClassLesson):
        return replace(listeners, classifier=TaughtClassifier(file))
    return replace(listeners, recognizer=find_recognizer(f"{_TAUGHT}:{file}"))
