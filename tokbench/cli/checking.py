"""The conformance suite in a process of its own, which a codec may take down without taking the report along."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from tokbench.cli.terminal import harmless, print_table, stdout
from tokbench.errors import TokbenchError

if TYPE_CHECKING:
    from tokbench.testing import CheckResult

__all__ = ["checked", "print_checks"]

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def print_checks(codec: str, *, weights: Path | None, timeout_s: float) -> bool:
    """Print the result of each check as it is found, and return whether none failed; raises as :func:`checked`."""
    is_fine = True

    def told(announce: Callable[[str, str], None]) -> "Iterator[CheckResult]":
        nonlocal is_fine
        for result in checked(codec, weights=weights, timeout_s=timeout_s, announce=announce):
            is_fine = is_fine and result.status != "failed"
            yield result

    if sys.stdout.isatty():
        _print_to_terminal(told)
    else:
        print_table(
            ((one.codec, one.name, _MARKS[one.status], one.message) for one in told(lambda _codec, _name: None)),
            columns=("codec", "check", "outcome", "what to do"),
        )
    return is_fine


def _print_to_terminal(told: "Callable[[Callable[[str, str], None]], Iterator[CheckResult]]") -> None:
    """Print the results of each codec below its name, and at the end what is being checked."""
    from rich.markup import escape
    from rich.padding import Padding

    console, codec = stdout(), ""
    with console.status("") as status:
        for result in told(lambda label, name: status.update(escape(f"{label}: {name}"))):
            if result.codec != codec:
                codec = result.codec
                console.print(f"[bold]{escape(codec)}[/]")
            console.print(f"  {_MARKS[result.status]:9}{result.name}")
            if result.message:
                console.print(Padding(escape(harmless(result.message)), (0, 0, 0, 11)), style="dim")


def checked(
    codec: str, *, weights: Path | None, timeout_s: float, announce: Callable[[str, str], None]
) -> "Iterator[CheckResult]":
    """Yield what :func:`tokbench.testing.iterate_checks` does, which also says what ``announce`` is for.

    Where the codec ends the process, or a check takes longer than ``timeout_s``, that is the failure of the check
    that it was in, and the last result.
    """
    from tokbench.testing import LOADING, CheckResult

    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_results, args=(sending, codec, weights), daemon=True)
    process.start()
    sending.close()  # the other end is then the only one, and its end is heard
    running = (codec, LOADING)
    try:
        while receiving.poll(timeout_s):
            found = receiving.recv()
            if found is None:
                return
            if isinstance(found, TokbenchError):
                raise found
            if isinstance(found, CheckResult):
                yield found
            else:
                running = found
                announce(*running)
        said = (
            f"Not done after {timeout_s:g} s, and the checks that follow were not begun. If the codec is slow and "
            "does not hang, allow more by --timeout SECONDS."
        )
        yield CheckResult(*running, "failed", said)
    except EOFError:
        process.join()
        said = (
            f"The codec ended the process in this check (exit code {process.exitcode}); raise an exception instead."
        )
        yield CheckResult(*running, "failed", said)
    finally:
        process.kill()
        process.join()


def _send_results(connection: Connection, codec: str, weights: Path | None) -> None:
    """Send what begins, each result, and None at the end; or the error of ours that keeps checks from running."""
    from tokbench.testing import iterate_checks

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this process
    try:
        for result in iterate_checks(codec, weights=weights, announce=lambda *running: connection.send(running)):
            connection.send(result)
    except TokbenchError as error:
        connection.send(error)
    else:
        connection.send(None)
