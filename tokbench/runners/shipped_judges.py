"""Puts the judges that the shipped tasks teach beside the code: ``python -m tokbench.runners.shipped_judges``."""

import shutil
import sys
from collections.abc import Iterator

from tokbench.corpora.base import Corpus
from tokbench.paths import atomic_write
from tokbench.runners.registry import make_runner
from tokbench.specs.classifier import ClassLesson
from tokbench.specs.ctc import Lesson
from tokbench.specs.task import find_task, list_tasks
from tokbench.training.taught import judge_file, shipped_file, teach_judge

__all__ = ["shipped_lessons"]


def shipped_lessons() -> Iterator[tuple[Corpus, Lesson | ClassLesson]]:
    """Yield what the judges of the shipped tasks are taught, and on what, as often as a task asks for it."""
    for name in list_tasks():
        task, _ = find_task(name)
        yield from getattr(make_runner(task), "lessons", ())


def _ship() -> None:
    """Teach the judges that do not lie there yet."""
    for lesson in shipped_lessons():
        target = shipped_file(*lesson)
        if not target.is_file():
            teach_judge(*lesson)
            with atomic_write(target) as file:
                shutil.copyfile(judge_file(*lesson), file)
            sys.stdout.write(f"written: {target}\n")


if __name__ == "__main__":
    _ship()
