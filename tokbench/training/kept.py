"""What is kept of a finished run: the codec without its logs, and its curves with fewer rows."""

import shutil
from pathlib import Path

import pandas as pd

from tokbench.errors import UsageError
from tokbench.paths import write_bytes
from tokbench.training.checkpoint import CHECKPOINT_FILE
from tokbench.training.folder import CURVES_FILE, LOG

__all__ = ["CURVES", "copy_codec", "is_codec", "keep_curves"]

CURVES = "curves"
"""Folder of curves in a folder of results."""
_NUM_ROWS = 100
_NUM_DIGITS = 5


def is_codec(folder: Path) -> bool:
    """Say whether ``folder`` holds a finished codec, so that nothing has to be trained there.

    Where there is a log of how it was trained, training itself knows, and looks whether it was this spec.
    """
    return (folder / "card.toml").is_file() and not (folder / LOG).is_dir()


def copy_codec(folder: Path, target: Path) -> None:
    """Put what a codec needs of the ``folder`` of its run in the place of ``target``, the card last.

    Logs, curves and checkpoints stay behind. Raises :class:`tokbench.errors.UsageError` where both are one folder.
    """
    if target.resolve() == folder.resolve():
        msg = f"{target}: codecs cannot be copied to where they were trained; choose another folder with --out"
        raise UsageError(msg)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_needed(path.relative_to(folder))]
    files.sort(key=lambda path: path.name == "card.toml")
    if target.is_dir():
        shutil.rmtree(target)
    for path in files:
        write_bytes(target / path.relative_to(folder), path.read_bytes())


def _is_needed(path: Path) -> bool:
    return path.parts[0] != LOG and path.name != CHECKPOINT_FILE and not path.name.endswith(CURVES_FILE)


def keep_curves(folder: Path, results: Path) -> Path | None:
    """Write the curves of the run in ``folder`` to ``results/curves/<name>.csv``; None for a run without curves.

    Rows are averaged until there are at most :data:`_NUM_ROWS`: ``step``, ``audio_s`` and ``elapsed_s`` are where
    the rows end, everything else is a mean over the rows that have it.
    """
    file = folder / CURVES_FILE
    if not file.is_file():
        return None
    path = results / CURVES / f"{folder.resolve().name}.csv"
    text = _thinned(pd.read_csv(file)).to_csv(index=False, lineterminator="\n", float_format=f"%.{_NUM_DIGITS}g")
    write_bytes(path, text.encode())
    return path


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    size = -(-len(rows) // _NUM_ROWS)
    ends = [name for name in ("step", "audio_s", "elapsed_s") if name in rows]
    grouped = rows.groupby(pd.RangeIndex(len(rows)) // max(size, 1))
    thinned = grouped.mean()
    thinned[ends] = grouped[ends].last()
    thinned["step"] = thinned["step"].astype(int)
    return thinned
