"""The curves of a run: a CSV file with a row for every so many steps, and the same for TensorBoard."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from tokbench.paths import write_bytes

__all__ = ["Curves", "Window"]

Row = Mapping[str, float]


class Window:
    """Means of scalars over steps, taken on their device: a GPU is waited for once a row, not once a step."""

    def __init__(self, tensors: Mapping[str, Tensor] | None = None) -> None:
        self._sums = dict(tensors or {})

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Take in the scalars of a step."""
        for name, value in scalars.items():
            entry = torch.stack([value.double(), torch.ones_like(value, dtype=torch.float64)])
            # Some are known before anything is computed, on no GPU: a learning rate, the norm of no gradient.
            held = self._sums.get(name)
            self._sums[name] = entry if held is None else held + entry.to(held.device)

    def means(self) -> dict[str, float]:
        """Return the mean of each over the steps that had it, and begin anew."""
        means = {name: float(total[0] / total[1]) for name, total in self._sums.items()}
        self._sums.clear()
        return means

    def state(self) -> dict[str, Tensor]:
        """Return what was taken in since the last row: sum and count float64 [2], by name."""
        return dict(self._sums)


class Curves:
    """The file ``path``, and the folder ``events`` of TensorBoard, up to row ``step`` where they exist."""

    def __init__(self, path: Path, events: Path, *, step: int) -> None:
        self._path = path
        self.rows: list[Row] = []
        """What was found there: the rows up to ``step``."""
        self._columns: list[str] = []
        if path.is_file() and step:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
            self.rows = [row for row in rows if row["step"] <= step]
        self._rewrite(self.rows)
        self._events = SummaryWriter(str(events), purge_step=step + 1 if step else None)

    def append(self, row: Row) -> None:
        """Add a row; a column that is new in it is empty in all rows before."""
        if not set(row) <= set(self._columns):
            with self._path.open(encoding="utf-8", newline="") as file:
                old = [
                    {key: float(value) for key, value in found.items() if value} for found in csv.DictReader(file)
                ]
            self._rewrite([*old, row])
        else:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerow(_written(row))
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, int(row["step"]))
        self._events.flush()

    def add_audio(self, name: str, samples: Tensor, sample_rate_hz: int, step: int) -> None:
        """Add the sound ``samples`` [1, T] to those of TensorBoard."""
        self._events.add_audio(name, samples.cpu().clamp(-1.0, 1.0), step, sample_rate=sample_rate_hz)

    def close(self) -> None:
        """Write what is left."""
        self._events.close()

    def _rewrite(self, rows: list[Row]) -> None:
        self._columns = list(dict.fromkeys(["step", *(name for row in rows for name in row)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_written(row) for row in rows)
        write_bytes(self._path, text.getvalue().encode())


def _written(row: Row) -> dict[str, str]:
    """Return the numbers in the shortest form that is read as the same."""
    return {name: str(int(value)) if name == "step" else repr(value) for name, value in row.items()}
