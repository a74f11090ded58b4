"""The boundary at which an exception becomes a reason."""

import functools
import json
import sys
from collections.abc import Callable

import pytest
import torch

from tokbench.errors import EmptyAudioError, NotApplicableError
from tokbench.runners.base import Failure, Leaving, attempt


def wrong_key() -> None:
    raise KeyError("boom")


def wrong_size() -> None:
    torch.nn.functional.pad(torch.zeros(1, 3), (80, 80), mode="reflect")


def wrong_text() -> None:
    json.loads("{")


def exits() -> None:
    sys.exit("no licence")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (wrong_key, "KeyError: 'boom'"),
        (wrong_size, "RuntimeError: "),
        (wrong_text, "JSONDecodeError: Expecting property name"),
        (exits, "SystemExit: no licence"),
    ],
)
def test_a_reason_says_where_it_was_raised_outside_of_libraries(function: Callable[[], None], said: str) -> None:
    found = attempt(function)
    assert isinstance(found, Failure)
    assert found.reason.startswith(said)
    line = function.__code__.co_firstlineno + 1
    assert found.reason.endswith(f" (test_attempt.py:{line}, in {function.__name__})")


def test_what_only_libraries_had_a_part_in_has_its_place_there() -> None:
    found = attempt(functools.partial(json.loads, "{"))
    assert isinstance(found, Failure)
    assert "(decoder.py:" in found.reason


@pytest.mark.parametrize("error", [EmptyAudioError(), NotApplicableError("silence")])
def test_a_sentence_of_ours_stands_alone(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert attempt(fail) == Failure(str(error), is_not_applicable=isinstance(error, NotApplicableError))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Leaving])
def test_who_is_told_to_stop_stops(kind: type[BaseException]) -> None:
    def stop() -> None:
        raise kind

    with pytest.raises(kind):
        attempt(stop)


def loses_the_gpu() -> None:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_gpu_that_is_lost_is_told_to_whoever_can_begin_anew_and_else_is_a_failure() -> None:
    with pytest.raises(torch.AcceleratorError):
        attempt(loses_the_gpu)
    found = attempt(loses_the_gpu, is_last=True)
    assert isinstance(found, Failure)
    assert found.reason.startswith("AcceleratorError: CUDA error: an illegal memory access")
