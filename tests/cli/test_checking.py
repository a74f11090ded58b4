"""``tokbench check`` tells each result as it comes, and what was running when the codec died or took too long."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from running import Cli, codec, command, environment

from tokbench.cli import checking
from tokbench.testing import CheckResult

SOURCE = """
import os, time, torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

class Dies(Codec):
    info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(1, 256, 16000),), name="mine")

    def _encode(self, samples):
        os._exit(5)

    def _decode(self, streams):
        return streams[0] / 127.5 - 1

class NeverThere(Dies):
    def __init__(self):
        time.sleep(600)
"""


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def test_results_come_as_they_are_found(tmp_path: Path) -> None:
    asked = command("check", codec("Hangs"))
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, env=environment(tmp_path)) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert process.poll() is None
        process.kill()
    assert rows("".join(lines)) == [["good:default", name, "ok", ""] for name in ("code_shape", "code_range")]


def test_a_check_that_takes_too_long_is_named_and_ends_the_report(cli: Cli) -> None:
    done = cli("check", codec("Hangs"), "--timeout", 20)
    assert done.returncode == 1
    *passed, last = rows(done.stdout)
    assert {row[2] for row in passed} == {"ok"}
    assert last[:3] == ["good:default", "decoded_length", "FAILED"]
    assert last[3].startswith("Not done after 20 s, and the checks that follow were not begun.")
    assert "--timeout SECONDS" in last[3]


@pytest.mark.parametrize(
    ("name", "timeout_s", "check", "said"),
    [
        ("Dies", 300, "code_shape", "The codec ended the process in this check (exit code 5)"),
        ("NeverThere", 15, "loading", "Not done after 15 s"),
    ],
)
def test_a_death_is_told_of_what_was_running(
    cli: Cli, tmp_path: Path, name: str, timeout_s: float, check: str, said: str
) -> None:
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    done = cli("check", f"{tmp_path / 'mine.py'}:{name}", "--timeout", timeout_s)
    assert done.returncode == 1
    ((label, failed, outcome, message),) = rows(done.stdout)
    assert (label, failed, outcome) == ("mine:default", check, "FAILED")
    assert message.startswith(said)


def test_nothing_is_printed_of_a_codec_that_there_is_not(cli: Cli) -> None:
    done = cli("check", "opsu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'opus'?" in done.stderr


def test_a_terminal_shows_the_codec_once_and_its_checks_below(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [
        CheckResult("a:1", "code_shape", "passed"),
        CheckResult("a:1", "batch", "failed", "Found: \x1b[2J[bold] of 3"),
        CheckResult("a:2", "code_shape", "skipped", "no codes"),
    ]
    screen = io.StringIO()
    monkeypatch.setattr(checking, "checked", lambda *_, **__: iter(results))
    monkeypatch.setattr(checking, "stdout", lambda: Console(file=screen, width=60, highlight=False))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert not checking.print_checks("a", weights=None, timeout_s=1)
    lines = [re.sub(" +", " ", line.strip()) for line in screen.getvalue().splitlines()]
    assert lines == [
        "a:1",
        "ok code_shape",
        "FAILED batch",
        "Found: �[2J[bold] of 3",
        "a:2",
        "skipped code_shape",
        "no codes",
    ]
