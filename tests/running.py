"""Starting ``tokbench`` from a test, in a process of its own or in that of the test."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tokbench.cli.main import main

USER_CODECS = Path(__file__).parent / "run" / "user_codecs.py"

Cli = Callable[..., subprocess.CompletedProcess[str]]


def codec(name: str) -> str:
    """Return the reference of one of the codecs of ``user_codecs.py``."""
    return f"{USER_CODECS}:{name}"


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "TOKBENCH_HOME": str(home), "HF_HUB_OFFLINE": "1", **(extra or {})}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tokbench", *(str(argument) for argument in arguments)]


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    """Run ``tokbench`` in this process."""
    monkeypatch.setattr(sys, "argv", ["tokbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return Done(int(left.value.code or 0), *capsys.readouterr())


def stable_bytes(results: Path) -> dict[str, bytes]:
    """Return every file of ``results`` but those that hold times."""
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and not path.name.endswith(".cost.json")
    }
