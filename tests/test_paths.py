"""Files are whole or absent."""

from pathlib import Path

import pytest

from tokbench.paths import atomic_write, declarations_dir, home, write_bytes


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    write_bytes(target, b"old")

    def write_until_the_disk_is_full() -> None:
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half of the new")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_until_the_disk_is_full()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_are_made_on_the_way(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "c", b"x")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"


def test_the_home_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKBENCH_HOME", str(tmp_path))
    assert home() == tmp_path


def test_shipped_tasks_are_found() -> None:
    assert (declarations_dir("tasks") / "reconstruction").is_dir()
