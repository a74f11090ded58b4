"""Tasks for language models: what is declared can be asked, and a model that is trained on codes is asked it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.codecs.registry import fingerprint, load, one
from tokbench.corpora.registry import open_corpus
from tokbench.errors import SpecError
from tokbench.runners.base import Bench
from tokbench.runners.lm import GeneratingLmRunner, LmRunner
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task, list_tasks
from tokbench.store import CodeStore

CODEC = '''
import torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

class Level(Codec):
    """The level of each 20 ms, in 8 steps."""

    info = TokenizerInfo(sample_rate_hz=8000, streams=(StreamInfo(1, 8, 50),), name="level")

    def _encode(self, samples):
        padded = torch.nn.functional.pad(samples, (0, -samples.shape[1] % 160))
        return [(padded.reshape(1, -1, 160).abs().mean(dim=2) * 16).long().clamp(0, 7)]

    def _decode(self, streams):
        return (streams[0] / 16).repeat_interleave(160, dim=1)
'''
SPEC = """
name = "little"
kind = "language-model"
title = "Little"
source = "a test"
codec = ["codes"]
scale = "tiny"
streams.letters = { kind = "text", unit = "bytes" }
streams.codes = { kind = "codes", tokenizers = ["mulaw"] }
network = { num_layers = 1, num_heads = 2, dimension = 32, feedforward_dimension = 32, context = 256 }

[stages.all.forms]
asr = { inputs = ["codes"], outputs = ["letters"] }
tts = { inputs = ["letters"], outputs = ["codes"] }
sc = { outputs = ["codes"] }

[training]
num_steps = 30
batch_size = 4
crop_s = 1.0
num_held_out = 1
precision = "float32"
log_every_steps = 30
validate_every_steps = 30
checkpoint_every_steps = 30
optimizer = { learning_rate = 1e-2 }
"""
FACTS = ("lm_num_parameters", "lm_num_steps", "lm_num_tokens", "lm_audio_s")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "level.py").write_text(CODEC)
    (tmp_path / "little.toml").write_text(SPEC)
    generator, lines = np.random.default_rng(0), ["path,split,text,wrong_path,language"]
    for number in range(14):
        text = ("up", "down")[number % 2]
        ramp = np.linspace(0, 0.45, 3200)[:: 1 if text == "up" else -1] + 0.01 * generator.random(3200)
        soundfile.write(tmp_path / f"{number}.wav", ramp, 8000)
        soundfile.write(tmp_path / f"{number}w.wav", generator.permutation(ramp.reshape(20, 160)).ravel(), 8000)
        split = "test" if number >= 12 else "train"
        lines.append(f"{number}.wav,{split},{text},{number}w.wav,en")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def task(manifest: Path, form: str, *metrics: str, kind: str = "lm", **arguments: object) -> Task:
    return Task.model_validate(
        {
            "name": "t",
            "version": 1,
            "kind": kind,
            "question": "Does it?",
            "corpus": f"manifest:{manifest}?split=test",
            "metrics": (*metrics, *FACTS),
            "arguments": {"lm": str(manifest.parent / "little.toml"), "form": form, **arguments},
        }
    )


def found(manifest: Path, asked: Task) -> dict[tuple[str, str], float | None]:
    """Learn, measure everything, and return the values of the summary and of the rows, by metric and group."""
    runner = make_runner(asked)
    assert runner.missing() is None
    reference = one(f"{manifest.parent}/level.py:Level")
    bench = Bench(load(reference), fingerprint(reference), CodeStore(), reference=reference.text)
    runner.prepare()
    runner.learn(bench)
    rows = [runner.measure(bench, item, with_examples=True) for item in open_corpus(asked.corpus)]
    values = {(item.name, item.group): item.value for item in runner.summarise(row.payload for row in rows)}
    for row in rows:
        assert not row.failures
        values |= {(name, "all"): score.value() for name, score in row.scores.items()}
    assert values["lm_num_steps", "all"] == 30
    assert min(values[name, "all"] or 0 for name in FACTS) > 0
    torch.manual_seed(1)
    again = [runner.measure(bench, item, with_examples=False) for item in open_corpus(asked.corpus)]
    assert [row.scores for row in again] == [row.scores for row in rows]
    return values


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith("lm-")])
def test_every_task_can_be_asked(name: str) -> None:
    asked, _ = find_task(name)
    runner = make_runner(asked)
    assert isinstance(runner, GeneratingLmRunner if asked.kind == "lm-generation" else LmRunner)
    assert set(FACTS) <= set(asked.metrics)
    short = name.removeprefix("lm-").removesuffix(".v1")
    assert find_task(f"lm/{short}")[0] == asked


def test_codes_that_were_learnt_are_likelier_than_shuffled_ones_and_their_pairs(manifest: Path) -> None:
    values = found(manifest, task(manifest, "sc", "lm_bits_per_second", "lm_bits_per_token", "lm_perplexity"))
    assert values["lm_perplexity", "all"] < values["lm_perplexity", "untrained"]
    assert values["lm_perplexity", "all"] < values["lm_perplexity", "shuffled"]
    pairs = found(manifest, task(manifest, "sc", "pair_accuracy"))
    assert pairs["pair_accuracy", "all"] == 1.0
    assert ("pair_accuracy", "untrained") in pairs


def test_what_is_written_and_what_is_heard_has_floors_and_a_ceiling(manifest: Path) -> None:
    written = found(manifest, task(manifest, "asr", "answer_accuracy", "cer"))
    assert {group for _, group in written} == {"all", "untrained", "shuffled"}
    assert written["answer_accuracy", "untrained"] == 0.0
    heard = found(manifest, task(manifest, "tts", "duration_ratio", kind="lm-generation"))
    assert {group for _, group in heard} == {"all", "untrained", "shuffled", "ceiling", "original"}
    assert heard["duration_ratio", "original"] == 1.0


@pytest.mark.parametrize(
    ("form", "metrics", "problem"),
    [
        ("svs", ("wer",), "arguments.form: .* has no form 'svs', but asr, tts, sc"),
        ("asr", ("stoi",), "metrics: a task of the kind lm has no stoi"),
        ("asr", ("wer", "pair_accuracy"), "likelihoods and what is written belong into tasks of their own"),
    ],
)
def test_a_task_that_makes_no_sense_is_told_before_work_starts(
    manifest: Path, form: str, metrics: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        make_runner(task(manifest, form, *metrics))


def test_a_judge_that_is_needed_is_told_too(manifest: Path) -> None:
    with pytest.raises(SpecError, match=r"arguments\.classifier: missing, and class_accuracy cannot do without"):
        make_runner(task(manifest, "tts", "class_accuracy", kind="lm-generation"))
