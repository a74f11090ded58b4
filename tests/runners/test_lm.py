"""Tasks for language models: what is declared can be asked, and a model that is trained on codes is asked it."""

import io
from pathlib import Path

import pytest
import soundfile
import torch
from pooling import pooled
from tiny.little_lm import write_little

from tokbench.codecs.registry import fingerprint, load, one
from tokbench.corpora.registry import open_corpus
from tokbench.errors import SpecError
from tokbench.runners.base import Bench
from tokbench.runners.lm import GeneratingLmRunner, LmRunner
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task, list_tasks
from tokbench.store import CodeStore

FACTS = ("lm_num_parameters", "lm_num_steps", "lm_num_tokens", "lm_audio_s")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_little(tmp_path)


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


def found(manifest: Path, asked: Task, seed: int = 0) -> dict[tuple[str, str], float | None]:
    """Learn, measure everything, and return the values of the summary and of the rows, by metric and group."""
    runner = make_runner(asked)
    assert runner.missing() is None
    reference = one(f"{manifest.parent}/level.py:Level")
    bench = Bench(load(reference), fingerprint(reference), CodeStore(), reference=reference.text, seed=seed)
    runner.prepare()
    runner.learn(bench)
    rows = [runner.measure(bench, item, with_examples=True) for item in open_corpus(asked.corpus)]
    values = {(item.name, item.group): item.value for item in pooled(runner, [row.payload for row in rows])}
    assert not any(row.failures for row in rows)
    assert values["lm_num_steps", "all"] == 30
    assert min(values[name, "all"] or 0 for name in FACTS) > 0
    torch.manual_seed(1)
    again = [runner.measure(bench, item, with_examples=False) for item in open_corpus(asked.corpus)]
    assert [row.payload for row in again] == [row.payload for row in rows]
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


def test_numbers_of_several_seeds_are_the_means_of_models_that_learnt_from_each(manifest: Path) -> None:
    names = ("cer", "answer_accuracy")
    models = [found(manifest, task(manifest, "asr", *names), seed=seed) for seed in (3, 4)]
    both = found(manifest, task(manifest, "asr", *names, num_seeds=2), seed=3)
    assert models[0] != models[1]
    for key, value in both.items():
        assert value == pytest.approx(sum(model[key] or 0.0 for model in models) / 2), key


def test_what_is_generated_is_kept_to_be_listened_to_with_what_was_asked(manifest: Path) -> None:
    asked = task(manifest, "tts", "duration_ratio", kind="lm-generation", length="reference")
    runner, reference = make_runner(asked), one(f"{manifest.parent}/level.py:Level")
    bench = Bench(load(reference), fingerprint(reference), CodeStore(), reference=reference.text)
    runner.learn(bench)
    first = next(iter(open_corpus(asked.corpus)))
    row = runner.measure(bench, first, with_examples=True)
    assert row.facts == {"asked": "up"}
    assert set(row.examples) == {"original.flac", "original.png", "decoded.flac", "decoded.png"}
    original, decoded = (
        soundfile.info(io.BytesIO(row.examples[f"{name}.flac"])) for name in ("original", "decoded")
    )
    assert (original.frames, decoded.frames, decoded.samplerate) == (3200, 3200, 8000)
    assert runner.measure(bench, first, with_examples=False).examples == {}


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
