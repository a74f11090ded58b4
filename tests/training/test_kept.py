"""What is kept of a run."""

from pathlib import Path

import pandas as pd
import pytest

from tokbench.errors import UsageError
from tokbench.training.kept import copy_codec, is_codec, keep_curves


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as training leaves it, with 250 rows of curves."""
    folder = tmp_path / "trained" / "mine"
    for name in ("card.toml", "weights.safetensors", "log/run.json", "2-curves.csv", "centroids/c.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    rows = pd.DataFrame({"step": range(50, 12550, 50), "elapsed_s": 0.5, "mel": range(250)})
    rows["elapsed_s"] = rows["elapsed_s"].cumsum()
    rows["validation.mel"] = [row if row % 20 == 19 else None for row in range(250)]
    rows.to_csv(folder / "curves.csv", index=False)
    return folder


def test_a_codec_is_copied_without_logs_and_curves(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shipped" / "mine"
    target.mkdir(parents=True)
    (target / "stale.safetensors").write_text("old", encoding="utf-8")
    copy_codec(folder, target)
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert found == {"card.toml", "weights.safetensors", "centroids/c.bin"}
    assert not is_codec(folder)  # training itself knows whether it was this spec
    assert is_codec(target)
    with pytest.raises(UsageError, match="cannot be copied to where they were trained"):
        copy_codec(folder, folder.parent / "." / "mine")


def test_curves_are_thinned_by_means(folder: Path, tmp_path: Path) -> None:
    path = keep_curves(folder, tmp_path / "results")
    assert path == tmp_path / "results" / "curves" / "mine.csv"
    rows = pd.read_csv(path)
    assert len(rows) == 84  # threes of 250
    assert rows["step"].tolist()[:2] == [150, 300]
    assert rows["step"].tolist()[-1] == 12500
    assert rows["elapsed_s"].tolist()[-1] == 125.0
    assert rows["mel"].tolist()[:2] == [1.0, 4.0]
    assert rows["validation.mel"].dropna().tolist()[:2] == [19.0, 39.0]
    first = path.read_bytes()
    assert keep_curves(folder, tmp_path / "results") == path
    assert path.read_bytes() == first


def test_a_run_without_curves_keeps_none(tmp_path: Path) -> None:
    assert keep_curves(tmp_path, tmp_path / "results") is None
