"""Commands of tokbench that run one after the other, or some side by side, each in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType

__all__ = ["Job", "work_through"]


@dataclass(frozen=True)
class Job:
    """A command, and what its lines begin with where several are shown together."""

    name: str
    arguments: Sequence[str]


def work_through(queue: Sequence[Job], num_jobs: int) -> list[int]:
    """Run every job of ``queue``, ``num_jobs`` at once, and return their exit codes in order.

    A job that fails does not keep the others from running. Ctrl-C and SIGTERM are handed to the jobs that run,
    which save their work; the others do not begin, and :class:`KeyboardInterrupt` is raised.
    """
    workers = _Workers(num_jobs)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ThreadPoolExecutor(num_jobs) as pool:
            futures = [pool.submit(workers.run, job) for job in queue]
            try:
                return [future.result() for future in futures]
            except KeyboardInterrupt:
                workers.stop()
                raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Workers:
    """The processes of the jobs that run."""

    def __init__(self, num_jobs: int) -> None:
        self._is_alone = num_jobs == 1
        self._is_stopped = False
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        num_threads = max(len(os.sched_getaffinity(0)) // num_jobs, 1)
        self._environment = {"OMP_NUM_THREADS": str(num_threads), **os.environ}

    def run(self, job: Job) -> int:
        """Run ``job``, unless all are stopped, and return its exit code."""
        with self._lock:
            if self._is_stopped:
                return signal.SIGTERM
            process = subprocess.Popen(  # noqa: S603  (tokbench itself)
                [sys.executable, "-m", "tokbench", *job.arguments],
                env=self._environment,
                stdout=None if self._is_alone else subprocess.DEVNULL,
                stderr=None if self._is_alone else subprocess.PIPE,
                text=True,
                # Ctrl-C reaches this process alone, which tells the others once.
                start_new_session=True,
            )
            self._running.add(process)
        for line in process.stderr or ():
            sys.stderr.write(line if line.startswith(job.name) else f"{job.name}: {line}")
        code = process.wait()
        self._running.discard(process)
        return code

    def stop(self) -> None:
        """Ask those that run to save their work and leave, and begin no other."""
        with self._lock:
            self._is_stopped = True
            for process in self._running:
                process.terminate()
