"""Speed and memory of tokbench itself, as ratios taken in one run on one machine.

``python benchmarks/run.py`` measures everything and rewrites ``benchmarks/results.json``;
``python benchmarks/run.py start scoring memory cache data codecs step lm`` measures some of it;
``abx`` needs an environment with fastabx (see ``abx_speed.py``) and ``audiolm`` a folder with audiolm-pytorch (see
``audiolm_speed.py``); both are measured where they are named.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from abx_speed import measure_abx
from audiolm_speed import measure_audiolm
from codec_speed import measure_codecs
from lm_speed import measure_lm
from training_data import measure_training_data
from training_step import measure_training_step

from tokbench.run.worker import THREAD_VARIABLES

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
CORPUS = "synth?split=train|test"
NUM_REPEATS = 3


def tokbench(*arguments: object, cwd: Path, home: Path | None = None) -> tuple[float, float]:
    """Run a command; return its wall and CPU seconds, children included."""
    environment = {**os.environ, **({"TOKBENCH_HOME": str(home)} if home else {})}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "tokbench", *(str(item) for item in arguments)]
    subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_start() -> dict[str, Any]:
    """CPU seconds of the commands that must come at once, and of ``import torch`` beside them."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("--help", "run --help", "list codecs", "list metrics", "list tasks"):
            times = [tokbench(*name.split(), cwd=Path(folder))[1] for _ in range(NUM_REPEATS)]
            rows[f"tokbench {name}"] = round(statistics.median(times), 3)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows["python -c 'import torch'"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 3)
    return {"cpu_seconds": rows}


BARE_LOOP = """
import sys, time
import torch
torch.set_num_threads(1)
from tokbench.corpora.registry import open_corpus
from tokbench.metrics.base import SignalPair
from tokbench.codecs.registry import load, one
from tokbench.metrics.catalogue import find_metric
from tokbench.specs.task import find_task

functions = [find_metric(name).resolve() for name in find_task("reconstruction")[0].metrics]
codec = load(one("mulaw:8bit"))
pairs = []
for utterance in open_corpus(sys.argv[1]):
    audio = utterance.read().to_channels(1).resample(16000)
    pairs.append((audio.mono(), codec.decode(codec.encode(audio)).mono()))
for function in functions:  # what a process does once: models, tables, the compiler's cache
    function(SignalPair(*pairs[0], 16000))
start = time.perf_counter()
for reference, decoded in pairs:
    pair = SignalPair(reference, decoded, 16000)
    for function in functions:
        function(pair)
print(time.perf_counter() - start, len(pairs), sum(len(reference) for reference, _ in pairs) / 16000)
"""


def bare_loop() -> tuple[float, int, float]:
    """Return the seconds of the metric calls alone, the number of utterances and the seconds of audio."""
    done = subprocess.run(
        [sys.executable, "-c", BARE_LOOP, CORPUS],
        env={**os.environ, **ONE_THREAD},
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, num_utterances, audio_s = done.stdout.split()
    return float(seconds), int(num_utterances), float(audio_s)


def run_scoring(jobs: int, *options: object) -> float:
    """Return the wall seconds of the same work as a command."""
    arguments = ("--codec", "mulaw:8bit", "--task", "reconstruction", "--corpus", CORPUS, "--examples", 0, *options)
    with tempfile.TemporaryDirectory() as folder:
        return tokbench("run", *arguments, "--jobs", jobs, cwd=Path(folder))[0]


def measure_scoring() -> dict[str, Any]:
    """``tokbench run`` against the same metric calls in a bare loop over the same arrays, one thread each.

    The bare loop is timed before and after: the machine is not the same from one minute to the next.
    """
    before_s, num_utterances, audio_s = bare_loop()
    start_s = run_scoring(1, "--limit", 1)
    one_s, two_s = run_scoring(1), run_scoring(2)
    after_s, *_ = bare_loop()
    bare_s = (before_s + after_s) / 2
    return {
        "num_utterances": num_utterances,
        "audio_s": round(audio_s),
        "bare_loop_s": [round(before_s, 1), round(after_s, 1)],
        "one_job_s": round(one_s, 1),
        "two_jobs_s": round(two_s, 1),
        "one_utterance_s": round(start_s, 1),
        "one_job_over_bare_loop": round(one_s / bare_s, 3),
        "one_job_over_bare_loop_start_apart": round((one_s - start_s) / bare_s, 3),
        "speed_up_of_two_jobs": round(one_s / two_s, 2),
    }


class MemoryWatch(threading.Thread):
    """Samples the resident memory of a process and everything below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.samples_bytes, self.running = pid, [], True

    def run(self) -> None:
        """Sample twice a second until told to stop."""
        while self.running:
            self.samples_bytes.append(sum(_resident_bytes(pid) for pid in _tree(self.pid)))
            time.sleep(0.5)


def _tree(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def _resident_bytes(pid: int) -> int:
    """Proportional set size where it can be read: memory shared by workers counts once."""
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
    return 0


LARGE_TASK = """
name = "large"
version = 1
kind = "reconstruction"
question = "Does memory grow?"
metrics = ["si_sdr_db", "snr_db", "stoi", "log_spectral_distance_db"]
"""


def measure_memory(num_utterances: int = 10_000) -> dict[str, Any]:
    """Resident memory of a run over many short utterances, all processes together, early and late."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        (folder / "large.v1.toml").write_text(LARGE_TASK)
        generator = np.random.default_rng(0)
        for index in range(num_utterances):
            noise = 0.1 * generator.standard_normal(9600)
            soundfile.write(folder / "corpus" / f"{index:05d}.wav", noise, 16000)
        arguments = (
            "--task",
            "large.v1.toml,tokens",
            "--corpus",
            "folder:corpus",
            "--examples",
            "0",
            "--jobs",
            "2",
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "tokbench", "run", "--codec", "mulaw:8bit", *arguments],
            cwd=folder,
            env={**os.environ, "TOKBENCH_HOME": str(folder / "home")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        watch, start = MemoryWatch(process.pid), time.perf_counter()
        watch.start()
        returned = process.wait()
        watch.running = False
        wall_s = time.perf_counter() - start
    quarters = [
        watch.samples_bytes[len(watch.samples_bytes) * i // 4 :][: len(watch.samples_bytes) // 4] for i in range(4)
    ]
    return {
        "exit_code": returned,
        "num_utterances": num_utterances,
        "num_tasks": 2,
        "wall_s": round(wall_s, 1),
        "peak_mib": round(max(watch.samples_bytes) / 2**20),
        "median_mib_by_quarter": [round(statistics.median(quarter) / 2**20) for quarter in quarters],
    }


def measure_cache() -> dict[str, Any]:
    """Wall time of a second task with the codes of the first, and without them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = ("run", "--codec", "opus:24kbps", "--task", "tokens", "--corpus", CORPUS, "--examples", 0)
        tokbench(
            "run", "--codec", "mulaw", "--task", "tokens", "--corpus", CORPUS, cwd=folder, home=folder / "home"
        )
        cold_s, _ = tokbench(*arguments, "--results", "cold", cwd=folder, home=folder / "home")
        warm_s, _ = tokbench(*arguments, "--results", "warm", cwd=folder, home=folder / "home")
    return {"cold_s": round(cold_s, 1), "warm_s": round(warm_s, 1), "warm_over_cold": round(warm_s / cold_s, 2)}


MEASUREMENTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "start": measure_start,
    "scoring": measure_scoring,
    "memory": measure_memory,
    "cache": measure_cache,
    "data": measure_training_data,
    "codecs": measure_codecs,
    "step": measure_training_step,
    "lm": measure_lm,
    "audiolm": measure_audiolm,
    "abx": measure_abx,
}


def main() -> None:
    """Measure what was asked for and keep the rest of the file as it is."""
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    for name in sys.argv[1:] or [name for name in MEASUREMENTS if name not in {"abx", "audiolm"}]:
        results[name] = MEASUREMENTS[name]()
        print(name, json.dumps(results[name], indent=1))
    results["machine"] = {"python": platform.python_version(), "num_cores": len(os.sched_getaffinity(0))}
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
