"""Worker processes: one utterance each, a limit on its time, and a new process for one that hangs or dies."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Protocol, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from tokbench.errors import TokbenchError
from tokbench.run import worker
from tokbench.runners.base import Failure

__all__ = [
    "Executor",
    "LocalExecutor",
    "WorkerDiedError",
    "completed",
    "default_num_workers",
    "outcome",
    "settings",
]

Item = TypeVar("Item")

_QUEUED_PER_WORKER = 3


class Executor(Protocol):
    """Where utterances are measured."""

    num_workers: int
    max_pending: int
    """Utterances handed out at once: enough that no worker waits, and no more, so that memory does not grow."""

    def submit(
        self, function: Callable[..., Any], *arguments: Any, timeout_s: float, **options: Any
    ) -> Future[Any]:
        """Start ``function(*arguments, **options)`` in some worker."""


class LocalExecutor:
    """Worker processes on this machine."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.max_pending = _QUEUED_PER_WORKER * num_workers
        for name in worker.THREAD_VARIABLES:
            os.environ[name] = "1"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tokbench.run.warm"])
        self._pool = ProcessPool(
            max_workers=num_workers,
            context=context,
            initializer=worker.prepare_process,
            initargs=(settings(),),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # After an error, Ctrl-C above all, nobody wants to wait for what is in hand.
        if any(error):
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()

    def submit(
        self, function: Callable[..., Any], *arguments: Any, timeout_s: float, **options: Any
    ) -> Future[Any]:
        """Start ``function`` in the next free worker; a worker that takes longer than ``timeout_s`` is replaced."""
        future: Future[Any] = self._pool.schedule(function, args=arguments, kwargs=options, timeout=timeout_s)
        return future


def settings() -> dict[str, str]:
    """Return the settings in the environment as they are now, not as they were for the first worker."""
    return {name: value for name, value in os.environ.items() if name.startswith(("TOKBENCH_", "HF_"))}


class WorkerDiedError(TokbenchError):
    """A worker process that ended while it worked on an utterance."""

    def __init__(self, how: str = "") -> None:
        super().__init__("the worker process died" + (f" ({how})" if how else ""))


def outcome(future: Future[Any], timeout_s: float) -> Any:
    """Return the result of a finished future, or the :class:`Failure` of its worker."""
    try:
        return future.result()
    except (FutureTimeoutError, TimeoutError):
        return Failure(f"no result after {timeout_s:g} s (see --timeout)")
    except ProcessExpired as error:
        if error.exitcode == worker.GPU_LOST:
            return Failure("the GPU reported an error that ended the worker process (see CUDA_LAUNCH_BLOCKING=1)")
        return Failure(str(WorkerDiedError(f"exit code {error.exitcode}")))
    except WorkerDiedError as error:
        return Failure(str(error))
    except SystemExit:  # somebody sent it SIGTERM, which is no reason for this process to end
        return Failure("the worker process was told to end")


def completed(
    executor: Executor, items: Iterable[Item], start: Callable[[Item], Future[Any]], *, timeout_s: float
) -> Iterator[tuple[Item, Any]]:
    """Yield (item, outcome) as the futures of ``start(item)`` finish, a bounded number of them under way."""
    pending: dict[Future[Any], Item] = {}
    source = iter(items)
    exhausted = False
    while pending or not exhausted:
        while not exhausted and len(pending) < executor.max_pending:
            item = next(source, None)
            if item is None:
                exhausted = True
            else:
                pending[start(item)] = item
        finished, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            yield pending.pop(future), outcome(future, timeout_s)


def default_num_workers(device: str) -> int:
    """Return one worker per core that this process may use; one where they would share a GPU."""
    if device.startswith("cuda"):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
