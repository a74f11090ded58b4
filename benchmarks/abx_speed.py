"""ABX here against fastabx, on the same random items with the same answer.

fastabx asks for Python 3.12, so that it runs in an environment of its own: ``FASTABX_PYTHON=…/bin/python python
benchmarks/run.py abx``. Both have one thread, with which fastabx is fastest on small cells. The
second of two runs is timed, when machine code is there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tokbench.metrics.abx import Condition, Items, abx_errors, collapse

VARIABLE = "FASTABX_PYTHON"
NUM_FEATURES = 64


@dataclass(frozen=True)
class Case:
    """How many items of how many frames, and in how many categories, speakers and contexts."""

    num_items: int
    num_frames: tuple[int, int]
    num_categories: int
    num_speakers: int
    num_contexts: int


CASES: Mapping[str, Case] = {
    "2000 triphones": Case(2000, (4, 15), 20, 8, 5),
    "6000 triphones": Case(6000, (4, 15), 20, 8, 15),
    "500 words, large cells": Case(500, (40, 52), 10, 2, 1),
}
CONDITIONS = {
    "within": Condition(on="category", by=("context", "speaker")),
    "across": Condition(on="category", by=("context",), across="speaker"),
}
THEIRS = """
import sys, time, json
import numpy as np, polars as pl, torch
from fastabx import Dataset, Score, Task
from fastabx.accessor import InMemoryAccessor
torch.set_num_threads(1)
found = {}
with np.load(sys.argv[1]) as file:
    frames, starts = torch.from_numpy(file["frames"]), file["starts"]
    labels = pl.DataFrame({name: file[name] for name in ("category", "speaker", "context")})
bounds = {n: (int(starts[n]), int(starts[n + 1])) for n in range(len(labels))}
for name, by, across in (("within", ["context", "speaker"], None), ("across", ["context"], ["speaker"])):
    for _ in range(2):
        dataset = Dataset(labels, InMemoryAccessor(dict(bounds), frames.clone(), torch.device("cpu")))
        start = time.perf_counter()
        score = Score(Task(dataset, on="category", by=by, across=across), "angular")
        error = score.collapse(levels=["context", "speaker"])
        seconds = time.perf_counter() - start
    found[name] = {"s": seconds, "error": float(error)}
print(json.dumps(found))
"""


def measure_abx() -> dict[str, Any]:
    """Return times, how many times as fast this is, and how far the errors are apart."""
    python = os.environ.get(VARIABLE)
    if python is None:
        sys.exit(f"set {VARIABLE} to the Python of an environment with fastabx (it needs Python 3.12)")
    rows = {}
    for name, case in CASES.items():
        items = random_items(case)
        theirs = _theirs(python, items)
        for kind, condition in CONDITIONS.items():
            for _ in range(2):
                start = time.perf_counter()
                error = collapse(abx_errors(items, condition, "angular"), condition, ["context", "speaker"])
                seconds = time.perf_counter() - start
            rows[f"{name}, {kind}"] = {
                "tokbench_s": round(seconds, 3),
                "fastabx_s": round(theirs[kind]["s"], 3),
                "speed_up": round(theirs[kind]["s"] / seconds, 2),
                "error": round(error, 6),
                "difference": float(f"{abs(error - theirs[kind]['error']):.1e}"),
            }
    return rows


def random_items(case: Case) -> Items:
    """Return noise around a centre for each category."""
    generator = np.random.default_rng(0)
    low, high = case.num_frames
    lengths = generator.integers(low, high + 1, case.num_items)
    categories = generator.integers(0, case.num_categories, case.num_items)
    centres = 0.25 * generator.standard_normal((case.num_categories, NUM_FEATURES))
    noise = generator.standard_normal((lengths.sum(), NUM_FEATURES))
    labels = {
        "category": categories,
        "speaker": generator.integers(0, case.num_speakers, case.num_items),
        "context": generator.integers(0, case.num_contexts, case.num_items),
    }
    frames = (np.repeat(centres[categories], lengths, axis=0) + noise).astype(np.float32)
    return Items(frames, np.concatenate([[0], np.cumsum(lengths)]), pd.DataFrame(labels))


def _theirs(python: str, items: Items) -> Mapping[str, Mapping[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "items.npz")
        columns = {name: items.labels[name].to_numpy() for name in items.labels}
        np.savez(path, frames=items.frames, starts=items.starts, **columns)
        done = subprocess.run([python, "-c", THEIRS, path], check=True, capture_output=True, text=True)
    found: Mapping[str, Mapping[str, float]] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(measure_abx(), indent=1))
