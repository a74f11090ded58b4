"""Every kind of task measures metrics of its own; a task that names others is refused before anything runs."""

from typing import Any

import pytest

from tokbench.errors import SpecError
from tokbench.metrics.catalogue import METRICS
from tokbench.runners.registry import RUNNERS, make_runner, runner_type
from tokbench.specs.task import Task, find_task, list_tasks


def task_of(kind: str, **changes: Any) -> Task:
    """Return the first shipped task of ``kind``, changed."""
    shipped = (find_task(task_id)[0] for task_id in list_tasks())
    first = next(task for task in shipped if task.kind == kind)
    return Task.model_validate({**first.model_dump(), **changes})


@pytest.mark.parametrize("task_id", list_tasks())
def test_every_shipped_task_names_metrics_of_its_kind(task_id: str) -> None:
    task, _ = find_task(task_id)
    assert list(make_runner(task).metrics) == list(task.metrics)


@pytest.mark.parametrize("kind", RUNNERS)
def test_a_metric_of_another_kind_is_refused(kind: str) -> None:
    known = runner_type(kind).known_metrics()
    foreign = next(name for name in METRICS if name not in known)
    own = task_of(kind).metrics[0]
    with pytest.raises(SpecError) as caught:
        make_runner(task_of(kind, metrics=(own, foreign)))
    sentence = str(caught.value)
    assert sentence.startswith(f"{task_of(kind).id}: metrics: a task of the kind {kind} has no {foreign}; expected")
    listed = sentence.partition("expected some of ")[2]
    assert {name.strip(",") for name in listed.split() if "_" in name} <= known


@pytest.mark.parametrize("kind", RUNNERS)
def test_every_metric_of_a_kind_is_declared(kind: str) -> None:
    known = runner_type(kind).known_metrics()
    assert known
    assert known <= METRICS.keys()


@pytest.mark.parametrize(
    ("kind", "name", "listed"),
    [
        ("reconstruction", "stio", "stoi, estoi, "),
        ("robustness", "stoi", "token_agreement, unit_edit_distance"),
        ("probe", "tone_accuracy_drop", "tone_accuracy, "),
    ],
)
def test_what_is_like_the_name_comes_first(kind: str, name: str, listed: str) -> None:
    with pytest.raises(SpecError, match=f"has no {name}; expected some of {listed}"):
        make_runner(task_of(kind, metrics=(name,)))


def test_costs_are_not_named() -> None:
    with pytest.raises(SpecError, match="has no encode_rtf; costs such as encode_rtf are recorded without being"):
        make_runner(task_of("tokens", metrics=("encode_rtf",)))


def test_a_task_measures_something() -> None:
    with pytest.raises(ValueError, match=r"metrics\n.* at least 1 item"):
        task_of("tokens", metrics=())
