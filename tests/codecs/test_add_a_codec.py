"""The page on adding a codec does what it says: every block of it, in order, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "add-a-codec.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SITE = "site-packages"


def run(command: list[str], folder: Path) -> str:
    search_path = os.pathsep.join([str(folder), str(folder / SITE)])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": search_path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_line(line: str, folder: Path) -> str:
    program, *arguments = shlex.split(line)
    if program == "pip":  # into a folder of the test, and without a network
        options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target", SITE]
        return run([sys.executable, "-m", "pip", *arguments, *options], folder)
    python = {"python": [sys.executable], "tokbench": [sys.executable, "-m", "tokbench"]}
    return run([*python.get(program, [program]), *arguments], folder)


def write(content: str, folder: Path) -> Path:
    """Write a block to the file that its first line names."""
    name = content.partition("\n")[0].removeprefix("# ")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_every_block_of_the_page_works(tmp_path: Path) -> None:
    outputs: dict[str, str] = {}
    for language, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "console":
            for line in content.splitlines():
                outputs[line] = run_line(line.removeprefix("$ "), tmp_path)
        else:
            path = write(content, tmp_path)
            if language == "python":
                run([sys.executable, str(path)], tmp_path)
    checks = [output for line, output in outputs.items() if line.startswith("$ tokbench check")]
    assert len(checks) == 3
    assert all("FAILED" not in output and "long_input" in output for output in checks)
    scores = next(output for line, output in outputs.items() if line.startswith("$ tokbench run"))
    assert "cosine:25.6kbps" in scores
    assert "opus:12kbps" in scores


def test_the_first_codec_of_the_page_takes_twenty_lines() -> None:
    first = next(content for language, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if language)
    lines = [line for line in first.splitlines() if line and not line.startswith("#")]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(lines) - len(imports) <= 20


def test_a_block_that_fails_is_reported(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no codec named 'opuss'"):
        run_line("tokbench check opuss", tmp_path)
