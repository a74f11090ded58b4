"""Judges that come with tokbench: those that the shipped tasks teach, and no others."""

from pathlib import Path

import pytest
from tiny.whistled import QUICK, write_whistled

from tokbench.corpora.registry import open_corpus
from tokbench.judges.classifier import TaughtClassifier
from tokbench.judges.registry import find_recognizer
from tokbench.runners.shipped_judges import shipped_lessons
from tokbench.specs.ctc import Lesson
from tokbench.training import taught


def test_every_judge_that_a_shipped_task_teaches_is_there_and_no_other() -> None:
    lessons = {taught.shipped_file(corpus, lesson): lesson for corpus, lesson in shipped_lessons()}
    assert {*taught.SHIPPED.rglob("*.safetensors")} == lessons.keys()
    for path, lesson in lessons.items():
        if isinstance(lesson, Lesson):
            assert find_recognizer(f"ctc:{path}").label.startswith(f"ctc:{lesson.units} ")
        else:
            assert len(TaughtClassifier(path).classes) > 1


def test_what_comes_with_tokbench_is_taken_and_nothing_is_taught(
    tmp_path: Path, tokbench_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_whistled(tmp_path, aligned=True)
    corpus = open_corpus(f"manifest:{manifest}?split=train")
    lesson = Lesson(units="characters", recipe=QUICK.model_copy(update={"max_epochs": 1, "num_seeds": 1}))
    monkeypatch.setattr(taught, "SHIPPED", tmp_path / "shipped")
    assert taught.judge_file(corpus, lesson).is_relative_to(tokbench_home / "cache")
    shipped = taught.shipped_file(corpus, lesson)
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(b"taught elsewhere")
    assert taught.judge_file(corpus, lesson) == shipped
    taught.teach_judge(corpus, lesson)
    assert shipped.read_bytes() == b"taught elsewhere"
    shipped.unlink()
    taught.teach_judge(corpus, lesson)
    assert taught.judge_file(corpus, lesson).is_file()
