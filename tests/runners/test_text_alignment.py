"""Text alignment: a whistled language, a tokenizer that hears it, and one that hears nothing."""

from collections.abc import Sequence
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from pooling import pooled
from tiny.whistled import HOP, QUICK, Pitch, write_whistled

from tokbench.codecs.base import TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.registry import open_corpus
from tokbench.errors import SpecError
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.metrics.text_information import Likelihoods
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.registry import make_runner
from tokbench.runners.text_alignment import TextAlignmentRunner
from tokbench.specs.task import Task, find_task, list_tasks

RECIPE = QUICK.model_copy(update={"max_epochs": 12, "min_rate_hz": 20.0}).model_dump()
NATS, PER_CHARACTER, BOUND = (
    "text_alignment_nats",
    "text_alignment_nats_per_character",
    "text_alignment_bound_nats",
)
NUM_TESTED = 8


def runner(manifest: Path, *metrics: str, **arguments: object) -> TextAlignmentRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="text-alignment",
            question="?",
            corpus=f"manifest:{manifest}",
            interval_by="utterance",
            metrics=metrics,
            arguments={"split": "column", "num_folds": 3, "recipe": RECIPE, **arguments},
        )
    )
    assert isinstance(made, TextAlignmentRunner)
    return made


def summaries(made: TextAlignmentRunner, utterances: Sequence[Utterance]) -> dict[tuple[str, str], MetricSummary]:
    bench = Bench(Pitch(told_by=1), "f", None)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in utterances]
    return {(found.name, found.group): found for found in pooled(made, payloads)}


def value(found: dict[tuple[str, str], MetricSummary], name: str, group: str = "all") -> float:
    summary = found[name, group]
    assert summary.value is not None
    return summary.value


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whistled(tmp_path_factory.mktemp("whistled"), number=32, speakers=2)


@pytest.fixture(scope="module")
def utterances(manifest: Path) -> list[Utterance]:
    return list(open_corpus(f"manifest:{manifest}"))


@pytest.fixture(scope="module")
def found(manifest: Path, utterances: list[Utterance]) -> dict[tuple[str, str], MetricSummary]:
    return summaries(runner(manifest, NATS, PER_CHARACTER, BOUND, f"{NATS}_latents", "probe_wer"), utterances)


def test_tokens_that_say_the_text_share_more_with_it_than_those_that_do_not(
    found: dict[tuple[str, str], MetricSummary],
) -> None:
    assert set(found) == {
        *((name, group) for name in (NATS, PER_CHARACTER, BOUND, "probe_wer") for group in ("all", "codebook 1")),
        (f"{NATS}_latents", "all"),
    }
    assert value(found, NATS) > 10
    assert value(found, f"{NATS}_latents") > 10
    # A code that never changes tells nothing but how long the recording is.
    assert value(found, NATS, "codebook 1") < value(found, NATS) / 4
    assert value(found, BOUND, "codebook 1") < value(found, BOUND)
    assert value(found, BOUND) <= log(NUM_TESTED) + 1e-9
    assert value(found, BOUND) > 0.8 * log(NUM_TESTED)
    assert value(found, "probe_wer") < 0.5 < value(found, "probe_wer", "codebook 1")


def test_by_character_it_is_the_same_divided_by_the_mean_length(
    found: dict[tuple[str, str], MetricSummary], utterances: list[Utterance]
) -> None:
    lengths = [len(item.text) for item in utterances if item.labels["split"] == "test"]
    assert len(lengths) == NUM_TESTED
    assert value(found, PER_CHARACTER) == pytest.approx(value(found, NATS) * len(lengths) / sum(lengths))
    summary = found[NATS, "all"]
    assert summary.low is not None
    assert summary.high is not None
    assert summary.low < value(found, NATS) < summary.high


def test_recordings_of_two_tests_are_no_pairs(manifest: Path, utterances: list[Utterance]) -> None:
    recipe = {**RECIPE, "num_seeds": 1}
    made = runner(manifest, BOUND, views="all", split="speaker", recipe=recipe)
    # Each of two speakers is the test once, so that no text is compared with more than 16.
    assert log(NUM_TESTED) < value(summaries(made, utterances), BOUND) <= log(16) + 1e-9


def test_some_texts_may_stand_for_all(manifest: Path, utterances: list[Utterance]) -> None:
    recipe = {**RECIPE, "num_seeds": 1}
    few = summaries(runner(manifest, NATS, views="all", max_texts=3, recipe=recipe), utterances)
    again = summaries(runner(manifest, NATS, views="all", max_texts=3, recipe=recipe), utterances)
    assert value(few, NATS) == value(again, NATS) > 5


class Coarse(Pitch):
    """Has a frame for each 40 ms, and one for what is left at the end, or none."""

    def __init__(self, *, rounds_up: bool) -> None:
        super().__init__()
        self._rounds_up = rounds_up
        hop = 2 * HOP
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(2, 5, 16000 / hop),), name="coarse")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        missing = -samples.shape[1] % (2 * HOP)
        whole = torch.nn.functional.pad(samples, (0, missing))
        (codes,) = super()._encode(whole if self._rounds_up or not missing else whole[:, : -2 * HOP])
        return [codes[:, ::2]]


def test_pairs_that_are_left_out_do_not_depend_on_how_a_tokenizer_rounds(
    manifest: Path, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    min_rate_hz, seen = 28.4, []

    def noted(_: object, likelihoods: Likelihoods) -> tuple[float, None]:
        seen.append(np.isfinite(likelihoods.others[0]))
        return 0.0, None

    monkeypatch.setattr("tokbench.metrics.text_information.estimate", noted)
    made = runner(
        manifest,
        NATS,
        views="all",
        recipe={**RECIPE, "min_rate_hz": min_rate_hz, "max_epochs": 1, "num_seeds": 1},
    )
    for rounds_up in (False, True):
        bench = Bench(Coarse(rounds_up=rounds_up), "f", None)
        made.summarise([made.measure(bench, item, with_examples=False).payload for item in utterances])
    tested = [item for item in utterances if item.labels["split"] == "test"]
    expected = [
        [len(other.text) <= int(item.read().duration_s * min_rate_hz) for other in tested] for item in tested
    ]
    assert not np.all(expected)
    for is_readable in seen:
        np.testing.assert_array_equal(is_readable, expected)


def test_a_text_that_no_tokenizer_has_frames_for_is_told(manifest: Path, utterances: list[Utterance]) -> None:
    recipe = {**RECIPE, "min_rate_hz": 5.0, "max_epochs": 1}
    summary = summaries(runner(manifest, NATS, views="all", recipe=recipe), utterances)[NATS, "all"]
    assert (summary.value, summary.num_ok) == (None, 0)
    (reason,) = summary.reasons
    assert "min_rate_hz must be higher" in reason or "texts that fit" in reason


def test_what_failed_leaves_no_number(manifest: Path, utterances: list[Utterance]) -> None:
    made = runner(manifest, NATS, PER_CHARACTER)
    payload = made.measure(Bench(Pitch(told_by=1), "f", None), utterances[0], with_examples=False).payload
    for summary in made.summarise([payload, None]):
        assert (summary.value, summary.num_ok, summary.num_total) == (None, 1, 2)


@pytest.mark.parametrize(
    ("metric", "arguments", "message"),
    [
        (NATS, {"units": "phones"}, r"arguments.units"),
        (NATS, {"max_texts": 1}, r"arguments.max_texts"),
        ("probe_per", {}, "a task of the kind text-alignment has no probe_per"),
    ],
)
def test_arguments_are_checked(metric: str, arguments: dict[str, object], message: str, manifest: Path) -> None:
    with pytest.raises(SpecError, match=message):
        runner(manifest, metric, **arguments)


def test_the_shipped_task_measures_what_its_runner_returns() -> None:
    assert set(find_task("text-alignment")[0].metrics) <= set(TextAlignmentRunner.corpus_metrics)


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith("slmtokbench-")])
def test_a_part_is_asked_as_all_codebooks_are(name: str) -> None:
    """Judge, lesson and corpus of the task on all codebooks: only what is decoded differs."""
    whole = {"words": "characters-ctc", "voice": "slmtokbench-voice", "whisper": "intelligibility-whisper"}
    kind = name.removesuffix(".v1").split("-")[1]
    task, reference = find_task(name)[0], find_task(whole.get(kind, "speaker-wavlm"))[0]
    asked = dict(task.arguments)
    codebooks = asked.pop("codebooks", "all")
    expected = {"first": "1", "rest": "2:"}.get(name.removesuffix(".v1").rpartition("-")[2], "all")
    assert codebooks == expected
    assert asked == reference.arguments
    assert (task.kind, task.corpus, task.metrics) == (reference.kind, reference.corpus, reference.metrics)


def test_the_leaderboard_shows_what_its_tasks_measure() -> None:
    shown = find_leaderboard("slmtokbench")
    for key, column in shown.columns.items():
        assert column.metric in find_task(shown.task_of[key])[0].metrics
