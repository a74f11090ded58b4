"""Tasks for language models: what is declared can be asked, and a model that is trained on codes is asked it."""

import gc
import io
import json
import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pooling import pooled
from tiny.little_lm import write_little

from tokbench.codecs.registry import fingerprint, load, one
from tokbench.corpora.registry import open_corpus
from tokbench.errors import SpecError
from tokbench.lm.streams import load_tools
from tokbench.runners.base import Bench
from tokbench.runners.lm import GeneratingLmRunner, LmRunner
from tokbench.runners.payload import pack_arrays
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task, list_tasks
from tokbench.stats import bootstrap_interval
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


def bench_of(manifest: Path, seed: int = 0) -> Bench:
    reference = one(f"{manifest.parent}/level.py:Level")
    return Bench(load(reference), fingerprint(reference), CodeStore(), reference=reference.text, seed=seed)


def found(manifest: Path, asked: Task, seed: int = 0) -> dict[tuple[str, str], float | None]:
    """Learn, measure everything, and return the values of the summary and of the rows, by metric and group."""
    runner = make_runner(asked)
    assert runner.missing() is None
    bench = bench_of(manifest, seed)
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
    assert {group for _, group in written} == {"all", "untrained", "shuffled", "guess"}
    assert written["answer_accuracy", "untrained"] == 0.0
    # Of what is asked, one half is "up" and one half "down".
    assert written["answer_accuracy", "guess"] == 0.5
    heard = found(manifest, task(manifest, "tts", "duration_ratio", "warped_mcd_db", kind="lm-generation"))
    groups = {"all", "untrained", "swapped", "ceiling", "original"}
    assert {group for name, group in heard if name == "warped_mcd_db"} == groups
    # Lengths are summed over all outputs, whichever recording each of them is compared with.
    assert {group for name, group in heard if name == "duration_ratio"} == groups - {"swapped"}
    assert heard["duration_ratio", "original"] == 1.0


def test_an_untrained_model_says_itself_where_it_ends_and_is_stopped_where_it_does_not(manifest: Path) -> None:
    asked = task(manifest, "tts", "duration_ratio", kind="lm-generation", sampling={"max_s": 30.0, "top_k": 5})
    runner, bench = make_runner(asked), bench_of(manifest)
    assert isinstance(runner, LmRunner)
    runner.learn(bench)
    first = next(iter(open_corpus(asked.corpus)))
    ((examination,), _) = runner._examinations(bench)
    item = runner._asked_items.item(first)
    blank = examination.blank(first, item)
    assert blank.wanted.duration_s == 0.4
    limits = {group: examination._request(group, blank, item).longest_s for group in ("all", "untrained")}
    assert limits == {"all": math.inf, "untrained": 0.8}
    shorter = runner.arguments.model_copy(update={"sampling": {"max_s": 0.1}})
    again = replace(examination, arguments=shorter)
    assert again._heard("untrained", blank, item).sound.duration_s <= 0.1
    (row, *_) = [runner.measure(bench, item, with_examples=False) for item in open_corpus(asked.corpus)]
    (untrained,) = [each for each in pooled(runner, [row.payload]) if each.group == "untrained"]
    assert untrained.value is not None
    assert untrained.value <= 2.0
    assert untrained.value != 1.0


def test_models_of_one_tokenizer_are_held_at_a_time_and_share_what_they_read_with(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load_counted(*args: Any, **keys: Any) -> Any:
        loaded.append(args)
        return load_tools(*args, **keys)

    monkeypatch.setattr("tokbench.lm.language_model.load_tools", load_counted)
    asked = task(manifest, "asr", "cer", num_seeds=2)
    runner, (one_bench, other) = make_runner(asked), (bench_of(manifest), bench_of(manifest))
    runner.learn(one_bench)
    for bench in (one_bench, other):
        for item in open_corpus(asked.corpus):
            assert not runner.measure(bench, item, with_examples=False).failures
    # Of two seeds, trained and untrained: four models for each bench.
    assert len(loaded) == 2
    left = weakref.ref(one_bench.tokenizer)
    del one_bench, bench
    gc.collect()
    assert left() is None


def test_numbers_of_several_seeds_are_the_means_of_models_that_learnt_from_each(manifest: Path) -> None:
    names = ("cer", "answer_accuracy")
    models = [found(manifest, task(manifest, "asr", *names), seed=seed) for seed in (3, 4)]
    both = found(manifest, task(manifest, "asr", *names, num_seeds=2), seed=3)
    assert models[0] != models[1]
    for key, value in both.items():
        assert value == pytest.approx(sum(model[key] or 0.0 for model in models) / 2), key


def test_what_is_generated_is_kept_to_be_listened_to_with_what_was_asked(manifest: Path) -> None:
    asked = task(manifest, "tts", "warped_mcd_db", kind="lm-generation", length="reference")
    runner, bench = make_runner(asked), bench_of(manifest)
    runner.learn(bench)
    first = next(iter(open_corpus(asked.corpus)))
    row = runner.measure(bench, first, with_examples=True)
    assert row.facts == {"asked": "up", "text": "up"}
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


def test_a_likelihood_is_asked_of_models_alone_all_stages_of_which_have_one(manifest: Path) -> None:
    asked = task(manifest, "sc", "lm_bits_per_second", "pair_accuracy")
    arguments = {"lm": "soundstorm", "form": "sc"}
    problem = "metrics: the stage parallel of soundstorm is masked, without a likelihood for lm_bits_per_second"
    with pytest.raises(SpecError, match=problem):
        make_runner(asked.model_copy(update={"arguments": arguments}))
    make_runner(asked.model_copy(update={"arguments": {"lm": "valle", "form": "tts"}}))


def test_lengths_that_are_given_are_not_measured_and_sampling_is_checked(manifest: Path) -> None:
    with pytest.raises(SpecError, match=r"duration_ratio says nothing where arguments\.length is 'reference'"):
        make_runner(task(manifest, "tts", "duration_ratio", kind="lm-generation", length="reference"))
    with pytest.raises(SpecError, match=r"arguments\.sampling: beem: unknown key \(stage all\)"):
        make_runner(task(manifest, "asr", "cer", sampling={"beem": 4}))


def test_a_judge_that_is_needed_is_told_too(manifest: Path) -> None:
    with pytest.raises(SpecError, match=r"arguments\.classifier: missing, and class_accuracy cannot do without"):
        make_runner(task(manifest, "tts", "class_accuracy", kind="lm-generation"))


def test_texts_are_resampled_where_several_say_the_same(manifest: Path) -> None:
    asked = task(manifest, "asr", "answer_accuracy").model_copy(
        update={"interval_by": "text", "corpus": f"manifest:{manifest}?split=train"}
    )
    runner = make_runner(asked)
    assert isinstance(runner, LmRunner)
    spoken = ("up", "up", "down", "down", "left", "left", "right", "right")
    payloads = []
    for text in spoken:
        told = np.array(json.dumps({"unit": text, "reasons": {}}))
        answers = np.array([[float(text in {"up", "left"}), 1.0]])
        payloads.append(pack_arrays(told=told, **{"answer_accuracy/all": answers}))
    (found,) = [item for item in runner.pool(payloads).summaries if item.name == "answer_accuracy"]
    sums = np.repeat([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]], 2, axis=0)
    low, high = bootstrap_interval(sums[:, :1], sums[:, 1:], rms=[False], groups=list(spoken))[0]
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(low), pytest.approx(high))
    alone = bootstrap_interval(sums[:, :1], sums[:, 1:], rms=[False])[0]
    assert high - low > alone[1] - alone[0]


def test_tasks_of_other_kinds_resample_no_texts() -> None:
    asked = find_task("reconstruction")[0].model_copy(update={"interval_by": "text"})
    with pytest.raises(
        SpecError, match="a task of the kind reconstruction resamples utterances or speakers, and no"
    ):
        make_runner(asked)


@pytest.mark.parametrize(
    ("corpus", "learnt", "taught"),
    [
        ("synth-words?kind=keyword", "synth-words?kind=keyword&split=train-large", "split=train"),
        (
            "synth-commands?kind=manner&split=test-large",
            "synth-commands?kind=manner&split=train-large",
            "train-large",
        ),
        ("manifest:a.csv?corpus=keywords&split=test", "manifest:a.csv?corpus=keywords&split=train", "split=train"),
    ],
)
def test_models_learn_from_the_large_part_where_there_is_one_and_judges_from_the_usual(
    corpus: str, learnt: str, taught: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lm", "lm_judges"):
        monkeypatch.setattr(f"tokbench.runners.{module}.open_corpus", lambda reference: reference)
    runner = make_runner(find_task("lm-kws")[0].model_copy(update={"corpus": corpus}))
    assert isinstance(runner, LmRunner)
    assert str(runner.learnt) == learnt
    assert str(runner.judges.taught_on("")).endswith(taught)
