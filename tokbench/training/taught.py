"""Where a judge lies that is taught: with tokbench, for a task that comes with it, or else in the cache.

The same lesson ends with other weights on another processor or with another version of torch, and the numbers of
two judges stand in no table together. So the judges of the tasks that come with tokbench do too, and whoever runs
such a task is compared with everybody else.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tokbench.audio import Audio
from tokbench.corpora.base import Corpus
from tokbench.paths import cache_dir
from tokbench.specs.classifier import ClassLesson
from tokbench.specs.ctc import Lesson

__all__ = ["SHIPPED", "Resynthesis", "judge_file", "shipped_file", "teach_judge"]

SHIPPED = Path(__file__).parents[1] / "judges" / "weights_data"
_LAYOUT = 1
"""Raised by any change of frames or networks that makes other weights of the same lesson."""


@dataclass(frozen=True)
class Resynthesis:
    """A codec that recordings go through before a judge hears them."""

    fingerprint: str
    """Of the codec."""
    of: Callable[[Audio], Audio]
    """What the codec makes of a recording."""


def judge_file(corpus: Corpus, lesson: Lesson | ClassLesson, through: Resynthesis | None = None) -> Path:
    """Return where the judge of ``lesson`` on ``corpus`` is kept, whether or not it is there.

    Its name tells all that decides its weights: the lesson, the corpus with its labels and times, the codec that it
    goes ``through``, if any, the layout of the file, and, of one that does not come with tokbench, the version of
    torch.
    """
    if through is not None:
        return _file(cache_dir(), lesson, [*_facts(corpus, lesson), through.fingerprint, torch.__version__])
    shipped = shipped_file(corpus, lesson)
    if shipped.is_file():
        return shipped
    return _file(cache_dir(), lesson, [*_facts(corpus, lesson), torch.__version__])


def shipped_file(corpus: Corpus, lesson: Lesson | ClassLesson) -> Path:
    """Return where the judge would lie that comes with tokbench."""
    return _file(SHIPPED, lesson, _facts(corpus, lesson))


def teach_judge(corpus: Corpus, lesson: Lesson | ClassLesson, through: Resynthesis | None = None) -> None:
    """Teach the judge of ``lesson`` on ``corpus``, or on what a codec makes of it, unless it is there.

    Raises :class:`tokbench.errors.TrainingError` where there is nothing to learn.
    """
    from tokbench.training.classifier import teach_classifier  # noqa: PLC0415  (each brings its networks)
    from tokbench.training.recognizer import teach_recognizer  # noqa: PLC0415

    path = judge_file(corpus, lesson, through)
    if path.is_file():
        return
    heard_through = None if through is None else through.of
    if isinstance(lesson, ClassLesson):
        teach_classifier(corpus, lesson, path, heard_through=heard_through)
    else:
        teach_recognizer(corpus, lesson, path, heard_through=heard_through)


def _file(home: Path, lesson: Lesson | ClassLesson, facts: Sequence[str]) -> Path:
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    if isinstance(lesson, Lesson):
        return home / "recognizers" / key / f"{lesson.units}.safetensors"
    return home / "classifiers" / key / f"{lesson.label}.safetensors"


def _facts(corpus: Corpus, lesson: Lesson | ClassLesson) -> list[str]:
    times = [corpus.intervals_sha256] if isinstance(lesson, Lesson) else []
    return [str(_LAYOUT), lesson.model_dump_json(exclude={"corpus"}), corpus.sha256, *times]
