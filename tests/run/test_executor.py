"""Worker processes: bounded queues, time limits, replacements."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from worker_functions import misbehave, square

from tokbench.run.executor import LocalExecutor, completed
from tokbench.run.worker import THREAD_VARIABLES
from tokbench.runners.base import Failure


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(2) as found:
        yield found


def test_every_item_comes_back_with_its_result(executor: LocalExecutor) -> None:
    def start(number: int) -> Future[int]:
        return executor.submit(square, number, timeout_s=30)

    found = dict(completed(executor, range(1, 50), start, timeout_s=30))
    assert found == {number: number * number for number in range(1, 50)}


def test_items_are_taken_as_workers_become_free(executor: LocalExecutor) -> None:
    taken = []

    def source() -> Iterator[int]:
        for number in range(1, 1000):
            taken.append(number)
            yield number

    results = completed(executor, source(), lambda n: executor.submit(square, n, timeout_s=30), timeout_s=30)
    next(results)
    assert len(taken) <= 8
    results.close()


def test_a_worker_that_hangs_or_dies_costs_its_item_only(executor: LocalExecutor) -> None:
    start_s = time.monotonic()
    found = dict(
        completed(executor, range(1, 9), lambda n: executor.submit(misbehave, n, timeout_s=2), timeout_s=2)
    )
    assert time.monotonic() - start_s < 30
    assert found[3] == Failure("no result after 2 s (see --timeout)")
    assert found[5] == Failure("the worker process died (exit code 9)")
    assert [found[number] for number in (1, 2, 4, 6, 7, 8)] == [1, 2, 4, 6, 7, 8]


def test_workers_get_the_settings_of_now_and_one_thread() -> None:
    """In a process of its own: what another test has started here has the environment of then."""
    program = (
        "import os\n"
        "from worker_functions import settings_of_worker\n"
        "from tokbench.run.executor import LocalExecutor\n"
        "with LocalExecutor(1) as executor:\n"
        "    os.environ['TOKBENCH_TEST'] = 'then'\n"
        "with LocalExecutor(1) as executor:\n"
        "    os.environ['TOKBENCH_TEST'] = 'later'\n"
        "    print(*executor.submit(settings_of_worker, 0, timeout_s=30).result())\n"
    )
    without = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**without, "PYTHONPATH": path, "TOKBENCH_TEST": "yes"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["then", "1"]
