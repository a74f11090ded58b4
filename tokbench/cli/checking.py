"""The conformance suite in a process of its own, which a codec may take down without taking the report along."""

import multiprocessing
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from tokbench.errors import TokbenchError

if TYPE_CHECKING:
    from tokbench.testing import CheckResult

__all__ = ["checked"]


def checked(codec: str, *, weights: Path | None) -> "list[CheckResult]":
    """Return what :func:`tokbench.testing.run_checks` does.

    Where the codec ends the process, that is the failure of the check that it was in, and the last result.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_results, args=(sending, codec, weights), daemon=True)
    process.start()
    sending.close()  # the other end is then the only one, and its end is heard
    results: list[CheckResult] = []
    try:
        while (found := receiving.recv()) is not None:
            if isinstance(found, TokbenchError):
                raise found
            results.append(found)
    except EOFError:
        process.join()
        return [*results, _death(codec, results, process.exitcode)]
    process.join()
    return results


def _send_results(connection: Connection, codec: str, weights: Path | None) -> None:
    """Send each result as it is found, then None; the error of ours that keeps the checks from running."""
    from tokbench.testing import iterate_checks

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this process
    try:
        for result in iterate_checks(codec, weights=weights):
            connection.send(result)
    except TokbenchError as error:
        connection.send(error)
    else:
        connection.send(None)


def _death(codec: str, results: "list[CheckResult]", exit_code: int | None) -> "CheckResult":
    """Return the failure of the check that follows ``results``."""
    from tokbench.testing import CHECKS, LOADING, CheckResult

    names = [check.name for check in CHECKS]
    last = results[-1] if results else None
    follows = "" if last is None or last.name in (LOADING, names[-1]) else names[names.index(last.name) + 1]
    label = last.codec if last and follows else codec
    said = f"The codec ended the process in this check (exit code {exit_code}); raise an exception instead."
    return CheckResult(label, follows or LOADING, "failed", said)
