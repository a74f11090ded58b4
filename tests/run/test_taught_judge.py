"""A task whose judge is taught first: once, in whichever process, with the same record."""

import json
from pathlib import Path

from running import Cli, codec
from tiny.whistled import write_whistled

TASK = """
name = "taught"
version = 1
kind = "intelligibility"
question = "Is it heard?"
metrics = ["wer", "dwer"]
interval_by = "speaker"

[arguments]
judge = "ctc"

[arguments.lesson]
units = "characters"

[arguments.lesson.recipe]
head = "convolutional"
width = 16
num_layers = 1
kernel = 3
learning_rates = [3e-2]
max_epochs = 3
num_seeds = 2
"""


def test_the_judge_is_taught_once_and_named(cli: Cli, tmp_path: Path, tokbench_home: Path) -> None:
    task = tmp_path / "taught.v1.toml"
    task.write_text(TASK)
    reference = f"manifest:{write_whistled(tmp_path / 'corpus', number=12)}?split=test"
    metrics, times_ns = [], set()
    for jobs in (1, 2):
        results = tmp_path / f"{jobs}"
        arguments = ("--codec", codec("Good"), "--task", task, "--corpus", reference, "--jobs", jobs)
        done = cli("run", *arguments, "--results", results)
        assert done.returncode == 0, done.stderr
        (record,) = results.glob("*/*/*/default.json")
        metrics.append(json.loads(record.read_text())["metrics"])
        (weights,) = (tokbench_home / "cache" / "recognizers").glob("*/characters.safetensors")
        times_ns.add(weights.stat().st_mtime_ns)
    assert metrics[0] == metrics[1]
    assert {item["judge"].split()[0] for item in metrics[0]} == {"ctc:characters"}
    assert all(item["value"] is not None for item in metrics[0])
    assert len(times_ns) == 1
