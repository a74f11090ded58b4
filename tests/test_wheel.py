"""The package brings along all that a user needs, and no page of results."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_tasks_cards_weights_and_templates(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, pattern in (("tasks", "*/*.toml"), ("leaderboards", "*.toml")):
        for path in (ROOT / folder).glob(pattern):
            assert f"tokbench/_data/{path.relative_to(ROOT).as_posix()}" in names
    for path in (ROOT / "tokbench").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.endswith((".html", ".csv", ".flac"))]
