"""Speakers in tokens: a tokenizer that keeps voices, one that keeps texts, and speakers that nobody heard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.codecs.base import ContinuousTokenizer, Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.errors import SpecError, TrainingError
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.registry import make_runner
from tokbench.runners.speaker_tokens import SpeakerTokensRunner
from tokbench.specs.task import Task, find_task

RATE_HZ, HOP = 16000, 160
METRICS = ("token_speaker_eer", "token_speaker_eer_latents")
NUM_STEPS = 64


class Levels(Tokenizer):
    """The levels of the quarters of 10 ms: the first codebook holds what is said, the others hold the voice."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=RATE_HZ, streams=(StreamInfo(4, NUM_STEPS, RATE_HZ / HOP),), name="levels"
        )

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        return samples[0].reshape(-1, 4, HOP // 4).mean(dim=2)

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(Levels._latents(self, samples) * NUM_STEPS).long().T]

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        return streams[0][codebooks].T.float()


class Features(ContinuousTokenizer):
    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(), name="features")

    _latents = Levels._latents


class Untold(Levels):
    """Does not tell what it quantizes."""

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        return Tokenizer._latents(self, samples)


class Silent(Levels):
    """One code for everything."""

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [torch.zeros((4, samples.shape[1] // HOP), dtype=torch.int64)]


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, rng: np.random.Generator) -> Write:
    """Return what writes a corpus: of every frame a level at random, and three that are the speaker's."""

    def corpus(train: str = "abcdefgh", test: str = "uvwx", num_recordings: int = 3) -> Path:
        rows = ["path,split,speaker"]
        for split, speakers in (("train", train), ("test", test)):
            for speaker in speakers:
                voice = np.random.default_rng(ord(speaker)).uniform(0.2, 0.8, 3)
                for number in range(num_recordings):
                    levels = rng.uniform(-0.05, 0.05, (30, 4)) + np.append(0.5, voice)
                    levels[:, 0] = rng.uniform(0.1, 0.9, 30)
                    path = tmp_path / f"{split}-{speaker}-{number}.wav"
                    soundfile.write(path, np.repeat(levels.ravel(), HOP // 4), RATE_HZ, subtype="FLOAT")
                    rows.append(f"{path.name},{split},{speaker}")
        manifest = tmp_path / "manifest.csv"
        manifest.write_text("\n".join(rows) + "\n")
        return manifest

    return corpus


def runner(manifest: Path, split: str = "test", **arguments: object) -> SpeakerTokensRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="speaker-tokens",
            question="?",
            corpus=f"manifest:{manifest}?split={split}",
            metrics=METRICS,
            arguments={"piece_s": 0.1, **arguments},
        )
    )
    assert isinstance(made, SpeakerTokensRunner)
    return made


def found_of(made: SpeakerTokensRunner, tokenizer: Tokenizer) -> dict[tuple[str, str], MetricSummary]:
    bench = Bench(tokenizer, tokenizer.info.name + type(tokenizer).__name__, None)
    assert made.missing() is None
    made.learn(bench)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in made.measured]
    return {(found.name, found.group): found for found in made.summarise(payloads)}


@pytest.mark.usefixtures("tokbench_home")
def test_the_voice_is_told_by_the_codebook_that_holds_it(write: Write) -> None:
    found = found_of(runner(write()), Levels())
    assert found["token_speaker_eer", "all"].value == pytest.approx(0.0, abs=0.05)
    assert found["token_speaker_eer_latents", "all"].value is not None
    first = found["token_speaker_eer", "codebook 1"]
    assert first.value is not None
    assert first.value > 0.3  # what is said, which is nobody's
    assert (first.num_ok, first.num_total) == (12, 12)
    views = {group for name, group in found if name == METRICS[0]}
    assert views == {"all", "codebook 1"}


@pytest.mark.usefixtures("tokbench_home")
def test_continuous_features_have_no_codebooks(write: Write) -> None:
    found = found_of(runner(write()), Features())
    assert set(found) == {(METRICS[0], "all"), (METRICS[1], "all")}
    assert found[METRICS[0], "all"].value == found[METRICS[1], "all"].value


@pytest.mark.usefixtures("tokbench_home")
def test_what_is_not_told_before_quantization_has_no_value(write: Write) -> None:
    found = found_of(runner(write()), Untold())
    assert found[METRICS[0], "all"].value == pytest.approx(0.0, abs=0.05)
    latents = found[METRICS[1], "all"]
    assert latents.value is None
    assert latents.reasons == {"the tokenizer does not tell what it quantizes": 12}


@pytest.mark.usefixtures("tokbench_home")
def test_what_was_learnt_is_kept_for_the_tokenizer_that_it_was_learnt_from(write: Write) -> None:
    made = runner(write())
    bench, other = Bench(Levels(), "one", None), Bench(Levels(), "two", None)
    made.learn(bench)
    file = made.file(bench)
    assert file.is_file()
    assert file != made.file(other)
    content = file.read_bytes()
    file.unlink()
    made.learn(bench)
    assert file.read_bytes() == content


@pytest.mark.usefixtures("tokbench_home")
def test_codes_that_are_all_the_same_teach_nothing(write: Write) -> None:
    made = runner(write())
    with pytest.raises(TrainingError, match=r"levels: expected recordings of two speakers or more, which differ"):
        made.learn(Bench(Silent(), "silent", None))


def test_speakers_that_are_known_are_not_asked_about(write: Write) -> None:
    reason = str(runner(write(train="abc", test="bx")).missing())
    assert reason.endswith("b is learnt from, and is to be told apart unheard")


def test_one_speaker_is_too_few_to_learn_from(write: Write) -> None:
    assert str(runner(write(train="a")).missing()).endswith("names fewer than two speakers to learn from")


def test_the_training_part_cannot_be_asked_about(write: Write) -> None:
    assert "split=train is learnt from" in str(runner(write(), split="train").missing())


@pytest.mark.usefixtures("tokbench_home")
def test_without_two_recordings_of_a_speaker_there_are_no_trials(write: Write) -> None:
    found = found_of(runner(write(num_recordings=1)), Levels())
    assert found[METRICS[0], "all"].value is None
    assert "there are no two recordings" in next(iter(found[METRICS[0], "all"].reasons))


@pytest.mark.usefixtures("tokbench_home")
def test_what_failed_leaves_no_number(write: Write) -> None:
    made = runner(write())
    bench = Bench(Levels(), "one", None)
    made.learn(bench)
    payload = made.measure(bench, next(iter(made.measured)), with_examples=False).payload
    assert [(item.value, item.num_ok, item.num_total) for item in made.summarise([payload, None])] == [
        (None, 1, 2)
    ] * 2


def test_arguments_are_checked(write: Write) -> None:
    with pytest.raises(SpecError, match=r"arguments.piece_s"):
        runner(write(), piece_s=0)


def test_the_shipped_task_measures_what_its_runner_returns() -> None:
    assert set(find_task("speaker-tokens")[0].metrics) == set(SpeakerTokensRunner.corpus_metrics)


def test_the_leaderboard_shows_what_its_tasks_measure() -> None:
    shown = find_leaderboard("speaker")
    for key, column in shown.columns.items():
        assert column.metric in find_task(shown.task_of[key])[0].metrics
