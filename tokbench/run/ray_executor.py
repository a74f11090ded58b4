"""Workers on a Ray cluster: the same functions, wherever Ray has a free core.

Corpora, codecs given as files, weights and the token cache must lie on a file system that every node sees. Ray
knows no limit on the time of a task, so an utterance that takes too long is cancelled from here.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Self

import ray

from tokbench.run import worker
from tokbench.run.executor import WorkerDiedError, settings

__all__ = ["RayExecutor"]

_is_prepared = False
"""Whether this process is a worker that has been set up."""


def _call(function: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Run ``function`` in a worker of Ray, which is set up first if it is new."""
    global _is_prepared  # noqa: PLW0603  (once per process)
    if not _is_prepared:
        worker.prepare_process({})  # Ray has set the environment
        _is_prepared = True
    return function(*arguments, **options)


class RayExecutor:
    """Workers of the cluster at ``RAY_ADDRESS``, or of one that is started on this machine."""

    def __init__(self, num_workers: int, *, num_gpus: float = 0.0) -> None:
        address = os.environ.get("RAY_ADDRESS")
        environment = {**settings(), **dict.fromkeys(worker.THREAD_VARIABLES, "1")}
        ray.init(
            address=address,
            num_cpus=None if address else num_workers,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": environment},
        )
        # Nothing waits in a queue, so that the time of an utterance runs from the moment it is handed out.
        self.num_workers = self.max_pending = min(num_workers, _room(num_gpus))
        self._call = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=0)(_call)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def submit(
        self, function: Callable[..., Any], *arguments: Any, timeout_s: float, **options: Any
    ) -> Future[Any]:
        """Start ``function`` on a free core of the cluster; it is cancelled after ``timeout_s``."""
        reference = self._call.remote(function, arguments, options)
        result: Future[Any] = Future()
        timer = threading.Timer(timeout_s, _give_up, (reference, result))
        timer.daemon = True
        timer.start()
        reference.future().add_done_callback(lambda done: _settle(result, done, timer))
        return result


def _room(num_gpus: float) -> int:
    """Return how many workers the cluster has room for at once, at least one."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    num_places = [there.get("CPU", 0.0)] + ([there.get("GPU", 0.0) / num_gpus] if num_gpus else [])
    return max(int(min(num_places)), 1)


def _give_up(reference: Any, result: Future[Any]) -> None:
    with contextlib.suppress(InvalidStateError):  # the task was faster after all
        result.set_exception(FutureTimeoutError())
    ray.cancel(reference, force=True)


def _settle(result: Future[Any], done: Future[Any], timer: threading.Timer) -> None:
    timer.cancel()
    error = done.exception()
    with contextlib.suppress(InvalidStateError):  # the timer was faster
        if error is None:
            result.set_result(done.result())
        elif isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError):
            # Whatever is not an error of the function itself: out of memory, a node that is lost …
            result.set_exception(WorkerDiedError(type(error).__name__))
        else:
            result.set_exception(error)
