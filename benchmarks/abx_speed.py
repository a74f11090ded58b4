"""ABX here against fastabx and the code of Libri-Light, on the same random items with the same answer.

fastabx asks for Python 3.12, so that both run in an environment of their own: ``FASTABX_PYTHON=…/bin/python python
benchmarks/run.py abx``. ``LIBRI_LIGHT=…/eval`` is the folder ``eval`` of a checkout of Meta's libri-light, in whose
``ABX_src`` ``python setup.py build_ext --inplace`` was run; without it, that comparison is left out. All have one
thread, with which fastabx is fastest on small cells. Times are those of the processor; the second of two runs is
timed, when machine code is there, but the only one of Libri-Light, whose code needs no start. It holds the
distances of all frames of a cell at once, and is left out where cells are large.
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

VARIABLE, FOLDER = "FASTABX_PYTHON", "LIBRI_LIGHT"
NUM_FEATURES = 64


@dataclass(frozen=True)
class Case:
    """How many items of how many frames, and in how many categories, speakers and contexts."""

    num_items: int
    num_frames: tuple[int, int]
    num_categories: int
    num_speakers: int
    num_contexts: int
    has_large_cells: bool = False


CASES: Mapping[str, Case] = {
    "2000 triphones": Case(2000, (4, 15), 20, 8, 5),
    "6000 triphones": Case(6000, (4, 15), 20, 8, 15),
    "500 words, large cells": Case(500, (40, 52), 10, 2, 1, has_large_cells=True),
}
CONDITIONS = {
    "within": Condition(on="category", by=("context", "speaker")),
    "across": Condition(on="category", by=("context",), across="speaker"),
}
FASTABX = """
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
        start = time.process_time()
        score = Score(Task(dataset, on="category", by=by, across=across), "angular")
        error = score.collapse(levels=["context", "speaker"])
        seconds = time.process_time() - start
    found[name] = {"s": seconds, "error": float(error)}
print(json.dumps(found))
"""


LIBRI_LIGHT = """
import sys, tempfile, time, json, types
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
sys.modules["CPC_loader"] = types.SimpleNamespace(load_cpc_features=None, build_feature_from_file=None)
class Silent:  # its bar counts for five other speakers, and stops the program where there are more
    def __init__(self, **_): pass
    def start(self): pass
    def update(self, _): pass
    def finish(self): pass
sys.modules["progressbar"] = types.SimpleNamespace(ProgressBar=Silent)
import eval_ABX
from ABX_src.abx_iterators import ABXFeatureLoader
with np.load(sys.argv[1]) as file:
    frames, starts = torch.from_numpy(file["frames"]), file["starts"].tolist()
    columns = [file[name].tolist() for name in ("category", "context", "speaker")]
# Each item is a file of its own. One frame a second; the last one of an item is left out, and so there is one more.
lines = ["#file onset offset #phone prev-phone next-phone speaker"]
for n, (category, context, speaker) in enumerate(zip(*columns)):
    lines.append(f"{n} 0 {starts[n + 1] - starts[n] + 0.5} p{category} c{context} - s{speaker}")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "items.item")
    path.write_text("\\n".join(lines) + "\\n")
    files = [(str(n), n) for n in range(len(starts) - 1)]
    loaded = ABXFeatureLoader(path, files, lambda n: frames[starts[n] : starts[n + 1]].clone(), 1.0, True)
eval_ABX.abx_it.ABXFeatureLoader = lambda *arguments: loaded
found = {}
for name in ("within", "across"):
    start = time.process_time()
    scores = eval_ABX.ABX(None, None, None, "cosine", 1.0, [name], max_x_across=10**6, max_size_group=10**6)
    seconds = time.process_time() - start
    found[name] = {"s": seconds, "error": scores[name]}
print(json.dumps(found))
"""


def measure_abx() -> dict[str, Any]:
    """Return times, how many times as fast this is, and how far the errors are apart."""
    python = os.environ.get(VARIABLE)
    if python is None:
        sys.exit(f"set {VARIABLE} to the Python of an environment with fastabx (it needs Python 3.12)")
    libri_light = os.environ.get(FOLDER)
    rows = {}
    for name, case in CASES.items():
        items = random_items(case)
        peers = {"fastabx": _theirs(python, FASTABX, items)}
        if libri_light and not case.has_large_cells:
            peers["libri_light"] = _theirs(python, LIBRI_LIGHT, items, libri_light)
        for kind, condition in CONDITIONS.items():
            for _ in range(2):
                start = time.process_time()
                error = collapse(abx_errors(items, condition, "angular"), condition, ["context", "speaker"])
                seconds = time.process_time() - start
            row = {"tokbench_s": round(seconds, 3), "error": round(error, 6)}
            for peer, found in peers.items():
                row |= {
                    f"{peer}_s": round(found[kind]["s"], 3),
                    f"{peer}_over_tokbench": round(found[kind]["s"] / seconds, 2),
                    f"{peer}_error_differs_by": float(f"{abs(error - found[kind]['error']):.1e}"),
                }
            rows[f"{name}, {kind}"] = row
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


def _theirs(python: str, program: str, items: Items, *arguments: str) -> Mapping[str, Mapping[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "items.npz")
        columns = {name: items.labels[name].to_numpy() for name in items.labels}
        np.savez(path, frames=items.frames, starts=items.starts, **columns)
        command = [python, "-c", program, path, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Mapping[str, Mapping[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(measure_abx(), indent=1))
