"""Speaker tasks: with a judge whose answer is known, and with one that is not there."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from running import Cli

from tokbench.codecs.base import Codec, ResidualCodec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.errors import SpecError, UndefinedMetricError, UnknownNameError
from tokbench.judges.base import SpeakerEncoder
from tokbench.judges.registry import JUDGES
from tokbench.records import CodecSummary, MetricSummary
from tokbench.runners.base import Bench, Measurement
from tokbench.runners.registry import make_runner
from tokbench.runners.speaker import SpeakerRunner
from tokbench.specs.task import Task, find_task

RATE_HZ = 16000


class ByLevel(SpeakerEncoder):
    """Knows voices by how loud they are: an angle for each level."""

    packages = {"numpy": "numpy"}  # noqa: RUF012  (as its base has it)
    name = "by-level"
    files = (Path(__file__),)

    def __init__(self, argument: str = "") -> None:
        pass

    def _embed(self, samples: np.ndarray) -> np.ndarray:
        if not samples.any():
            raise UndefinedMetricError("silence")
        angle = float(np.abs(samples).mean()) * np.pi / 2
        return 5 * np.array([np.cos(angle), np.sin(angle)])


class Louder(Codec):
    """Sixteen bits, louder by a constant."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 65536, RATE_HZ),), name="louder")

    def __init__(self, offset: float = 0.0, *, is_silent: bool = False) -> None:
        self.offset, self.is_silent = offset, is_silent

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(samples * 32767).round().long() + 32768]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        decoded = (streams[0] - 32768) / 32767 + self.offset
        return decoded * (not self.is_silent)


class InSteps(ResidualCodec):
    """Levels in steps of a fifth, and what is left in steps of a hundredth."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 21, RATE_HZ),), name="in-steps")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        coarse = (samples[0] * 5 + 1e-3).floor()
        fine = ((samples[0] - coarse / 5) * 100).round()
        return [torch.stack([coarse, fine]).long()]

    def _decode_chosen(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        return (streams[0] * torch.tensor([[0.2], [0.01]]))[codebooks].sum(dim=0, keepdim=True)


@pytest.fixture(autouse=True)
def known_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JUDGES, "by-level", f"{__name__}:ByLevel")
    monkeypatch.setattr("tokbench.judges.registry._find", lambda name, *_, **__: ByLevel() if name else None)


def task(**arguments: object) -> Task:
    return Task(
        name="t",
        version=1,
        kind="speaker",
        question="?",
        metrics=("speaker_similarity", "speaker_eer"),
        arguments={"judge": "by-level", **arguments},
    )


def runner(**arguments: object) -> SpeakerRunner:
    made = make_runner(task(**arguments))
    assert isinstance(made, SpeakerRunner)
    return made


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return three utterances of each of three speakers, whose levels are 0.2, 0.4 and 0.6 or near."""
    made = []
    for speaker in range(3):
        for number in range(3):
            path = tmp_path / f"{speaker}-{number}.wav"
            level = 0.2 * (speaker + 1) + 0.01 * number
            soundfile.write(path, np.full(1600, level), RATE_HZ, subtype="FLOAT")
            made.append(Utterance(id=path.stem, path=path, speaker=f"s{speaker}"))
    return made


def measured(codec: Codec, utterances: list[Utterance], made: SpeakerRunner | None = None) -> list[Measurement]:
    made = made or runner()
    return [made.measure(Bench(codec, "f", None), item, with_examples=False) for item in utterances]


def rate(codec: Codec, utterances: list[Utterance]) -> MetricSummary:
    (found,) = runner().summarise(item.payload for item in measured(codec, utterances))
    return found


def test_a_copy_has_the_same_voice(utterances: list[Utterance]) -> None:
    values = [item.scores["speaker_similarity"].value() for item in measured(Louder(), utterances)]
    assert values == pytest.approx([1.0] * 9, abs=1e-6)
    found = rate(Louder(), utterances)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.judge == ByLevel().label
    assert (found.num_ok, found.num_total) == (9, 9)


def test_the_similarity_is_the_cosine_of_what_the_judge_heard(utterances: list[Utterance]) -> None:
    values = [item.scores["speaker_similarity"].value() for item in measured(Louder(0.1), utterances)]
    assert values == pytest.approx([np.cos(0.1 * np.pi / 2)] * 9, abs=1e-3)


@pytest.mark.parametrize(("codebooks", "level"), [("all", 0.22), ("1", 0.2), ("2:", 0.02), ("1:2", 0.22)])
def test_the_judge_may_hear_some_codebooks_alone(codebooks: str, level: float, utterances: list[Utterance]) -> None:
    (found,) = measured(InSteps(), [utterances[2]], runner(codebooks=codebooks))
    assert found.scores["speaker_similarity"].value() == pytest.approx(np.cos((0.22 - level) * np.pi / 2), abs=1e-5)


def test_codebooks_that_cannot_be_chosen_are_no_score(utterances: list[Utterance]) -> None:
    (alone,) = measured(Louder(), utterances[:1], runner(codebooks="1"))
    assert alone.scores["speaker_similarity"].value() == pytest.approx(1.0, abs=1e-6)
    (found,) = measured(Louder(), utterances[:1], runner(codebooks="2:"))
    assert not found.scores
    assert found.failures["speaker_similarity"].reason == (
        "louder does not offer decoding of these codebooks without the others"
    )


@pytest.mark.parametrize(
    ("codebooks", "number", "reason"),
    [
        ("1", 0, "louder decodes no codebook without the others"),
        ("2:", 1, "the task decodes codebooks '2:' alone, and louder has 1"),
        ("2:", 2, None),
        ("1", 1, None),
        ("all", 0, None),
        ("2:", None, None),
    ],
)
def test_codecs_without_the_chosen_codebooks_are_not_asked(
    codebooks: str, number: int | None, reason: str | None
) -> None:
    codec = CodecSummary(
        name="louder",
        title="Louder",
        setting="only",
        licence="MIT",
        source="",
        trained_on=(),
        num_separable_codebooks=number,
    )
    assert runner(codebooks=codebooks).declines(codec) == reason


@pytest.mark.parametrize("codebooks", ["0", "2:1:", "first", "", "1:0"])
def test_codebooks_are_counted_from_one(codebooks: str) -> None:
    with pytest.raises(SpecError, match=r"arguments.codebooks"):
        runner(codebooks=codebooks)


def test_a_voice_that_became_the_next_speakers_is_taken_for_it(utterances: list[Utterance]) -> None:
    found = rate(Louder(0.2), utterances)
    levels = np.array([0.2 * (n // 3 + 1) + 0.01 * (n % 3) for n in range(9)])
    targets, others = [], []
    for i in range(9):
        for j in range(9):
            if i != j:
                score = np.cos((levels[i] - levels[j] - 0.2) * np.pi / 2)
                (targets if i // 3 == j // 3 else others).append(score)
    # Both errors are steps: the rate lies where they pass each other.
    errors = [
        (np.mean(np.array(targets) < t - 1e-6), np.mean(np.array(others) >= t - 1e-6)) for t in targets + others
    ]
    nearest = min(errors, key=lambda pair: abs(pair[0] - pair[1]))
    assert found.value == pytest.approx(float(np.mean(nearest)), abs=0.06)
    assert found.value is not None
    assert found.value > 0.3


def test_what_failed_leaves_no_number(utterances: list[Utterance]) -> None:
    silent = measured(Louder(is_silent=True), utterances[:1])[0]
    assert silent.failures["speaker_similarity"].reason == "silence"
    assert not silent.failures["speaker_similarity"].is_not_applicable
    (found,) = runner().summarise([silent.payload, *(item.payload for item in measured(Louder(), utterances))])
    assert (found.value, found.num_ok, found.num_total) == (None, 9, 10)
    assert found.reasons == {"an utterance could not be measured": 10}


def test_an_original_without_a_voice_costs_no_codec_anything(utterances: list[Utterance], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(1600), RATE_HZ)
    silence = Utterance(id="silence", path=tmp_path / "silence.wav", speaker="s0")
    found = measured(Louder(), [*utterances, silence])
    assert found[-1].failures["speaker_similarity"].is_not_applicable
    (summary,) = runner().summarise(item.payload for item in found)
    assert (summary.value, summary.num_ok, summary.num_total, summary.num_not_applicable) == (0.0, 9, 9, 1)


def test_without_speakers_there_are_no_trials(utterances: list[Utterance]) -> None:
    nobody = [dataclasses.replace(item, speaker="") for item in utterances]
    assert rate(Louder(), nobody).value is None
    assert "there are no two recordings" in next(iter(rate(Louder(), utterances[:3]).reasons))
    assert rate(Louder(), [*utterances, *nobody]).value == 0.0


def test_who_judges_decides_the_numbers() -> None:
    assert runner().fingerprint == ByLevel().label
    assert all(metric.judge == ByLevel().label for metric in runner().metrics.values())


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match=r"arguments.max_trials"):
        runner(max_trials=0)


@pytest.mark.parametrize("name", ["speaker", "speaker-ecapa", "speaker-wavlm"])
def test_each_judge_has_a_task_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    made = make_runner(find_task(name)[0])
    assert made.missing() is None or "no weights for the judge" in str(made.missing())


def test_an_unknown_judge_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(UnknownNameError, match="no judge named 'nobody'"):
        runner(judge="nobody")


def test_a_task_without_its_judge_is_skipped_with_a_sentence(cli: Cli, corpus: Path) -> None:
    done = cli("run", "--codec", "mulaw", "--task", "speaker-ecapa", "--corpus", f"folder:{corpus}")
    record = json.loads(next((corpus.parent / "results").rglob("*.json")).read_text())
    assert record["status"] == "skipped"
    assert "Put embedding_model.ckpt of speechbrain/spkrec-ecapa-voxceleb" in record["reason"]
    assert done.returncode == 1
