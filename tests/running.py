"""Starting ``tokbench`` from a test, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

USER_CODECS = Path(__file__).parent / "run" / "user_codecs.py"

Cli = Callable[..., subprocess.CompletedProcess[str]]


def codec(name: str) -> str:
    """Return the reference of one of the codecs of ``user_codecs.py``."""
    return f"{USER_CODECS}:{name}"


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "TOKBENCH_HOME": str(home), "HF_HUB_OFFLINE": "1", **(extra or {})}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tokbench", *(str(argument) for argument in arguments)]


def stable_bytes(results: Path) -> dict[str, bytes]:
    """Return every file of ``results`` but those that hold times."""
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and not path.name.endswith(".cost.json")
    }
