"""Workers of Ray do what local ones do: the same results, limits and replacements."""

import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from running import Cli, codec, stable_bytes
from worker_functions import misbehave, settings_of_worker, square

from tokbench.run.executor import completed
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
    assert found[5] == Failure("the worker process died")
    assert [found[number] for number in (1, 2, 4, 6, 7)] == [1, 2, 4, 6, 7]


def test_workers_have_the_settings_and_one_thread(executor: object) -> None:
    assert executor.submit(settings_of_worker, 0, timeout_s=60).result() == ("yes", "1")


def test_a_run_on_ray_gives_the_same_bytes_as_a_local_one(cli: Cli, corpus: Path, task: Path) -> None:
    arguments = ("run", "--codec", codec("Good"), "--task", task, "--corpus", f"folder:{corpus}", "--limit", 4)
    for engine in ("local", "ray"):
        done = cli(*arguments, "--executor", engine, "--results", engine, "--jobs", 2)
        assert done.returncode == 0, done.stderr
    assert stable_bytes(corpus.parent / "local") == stable_bytes(corpus.parent / "ray")
