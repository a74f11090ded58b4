"""Workers of Ray do what local ones do: the same results, limits and replacements."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from running import Cli, codec, stable_bytes
from worker_functions import misbehave, settings_of_worker, square

from tokbench.run.executor import completed, outcome
from tokbench.runners.base import Failure

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def executor() -> Iterator[object]:
    from tokbench.run.ray_executor import RayExecutor  # noqa: PLC0415  (Ray may not be installed)

    tests = str(Path(__file__).parent.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("TOKBENCH_TEST", "yes")
        patch.delenv("RAY_ADDRESS", raising=False)
        with RayExecutor(2) as found:
            yield found


def test_every_item_comes_back_with_its_result(executor: object) -> None:
    def start(number: int) -> Future[int]:
        return executor.submit(square, number, timeout_s=60)

    assert dict(completed(executor, range(1, 9), start, timeout_s=60)) == {n: n * n for n in range(1, 9)}


def test_a_worker_that_hangs_or_dies_costs_its_item_only(executor: object) -> None:
    def start(number: int) -> Future[int]:
        return executor.submit(misbehave, number, timeout_s=20)

    found = dict(completed(executor, range(1, 8), start, timeout_s=20))
    assert found[3] == Failure("no result after 20 s (see --timeout)")
    assert found[5] == Failure("the worker process died (WorkerCrashedError)")
    assert [found[number] for number in (1, 2, 4, 6, 7)] == [1, 2, 4, 6, 7]


def test_a_node_that_is_lost_costs_its_item_only() -> None:
    from ray.exceptions import NodeDiedError, OutOfMemoryError  # noqa: PLC0415  (Ray may not be installed)

    from tokbench.run.ray_executor import _settle  # noqa: PLC0415  (as above)

    for error, reason in (
        (OutOfMemoryError("no memory"), "the worker process died (OutOfMemoryError)"),
        (NodeDiedError("gone"), "the worker process died (NodeDiedError)"),
    ):
        done: Future[int] = Future()
        done.set_exception(error)
        result: Future[int] = Future()
        _settle(result, done, threading.Timer(1, lambda: None))
        assert outcome(result, 1.0) == Failure(reason)


def test_no_more_is_handed_out_than_there_is_room_for(executor: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in Ray's queue would use up its time there."""
    import ray  # noqa: PLC0415  (Ray may not be installed)

    from tokbench.run.ray_executor import _room  # noqa: PLC0415  (as above)

    assert executor.max_pending == _room(0.0) == 2
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 64.0, "GPU": 4.0})
    assert (_room(0.0), _room(1.0), _room(0.5)) == (64, 4, 8)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    assert _room(1.0) == 1


def test_workers_have_the_settings_and_one_thread(executor: object) -> None:
    assert executor.submit(settings_of_worker, 0, timeout_s=60).result() == ("yes", "1")


def test_a_run_on_ray_gives_the_same_bytes_as_a_local_one(cli: Cli, corpus: Path, task: Path) -> None:
    arguments = ("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}", "--limit", 4)
    for engine in ("local", "ray"):
        done = cli(*arguments, "--executor", engine, "--results", engine, "--jobs", 2)
        assert done.returncode == 0, done.stderr
    assert stable_bytes(corpus.parent / "local") == stable_bytes(corpus.parent / "ray")
