"""Reconstruction: a delay is compensated and told, and a metric that fails does not take others with it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.errors import SpecError, UnknownNameError
from tokbench.metrics.base import Metric, Score, SignalPair
from tokbench.runners.base import Bench
from tokbench.runners.reconstruction import ReconstructionRunner, score_pair
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task

RATE_HZ = 16000


def task(**arguments: object) -> Task:
    return Task(
        name="t",
        version=1,
        kind="reconstruction",
        question="?",
        metrics=("si_sdr_db", "snr_db"),
        arguments=arguments,
    )


class Late(Codec):
    """Sixteen bits, seven samples late and upside down."""

    info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 65536, RATE_HZ),), name="late")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(samples * 32767).round().long() + 32768]

    def _decode(self, streams: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.functional.pad(-(streams[0] - 32768) / 32767, (7, 0))


@pytest.fixture
def utterance(tmp_path: Path, voice_16khz: np.ndarray) -> Utterance:
    soundfile.write(tmp_path / "voice.wav", voice_16khz, RATE_HZ, subtype="FLOAT")
    return Utterance(id="voice", path=tmp_path / "voice.wav")


def test_delay_and_polarity_are_found_and_undone(utterance: Utterance) -> None:
    measurement = ReconstructionRunner(task()).measure(Bench(Late(), "f", None), utterance, with_examples=False)
    assert measurement.facts["delay_samples"] == 7
    assert measurement.facts["inverted"] is True
    assert measurement.facts["compensated"] is True
    value = measurement.scores["snr_db"].value()
    assert value is not None
    assert value > 25  # only the last seven samples are missing


def test_a_task_may_ask_for_no_compensation(utterance: Utterance) -> None:
    runner = ReconstructionRunner(task(compensate=False))
    measurement = runner.measure(Bench(Late(), "f", None), utterance, with_examples=False)
    assert measurement.facts["delay_samples"] == 7
    assert measurement.facts["compensated"] is False
    value = measurement.scores["snr_db"].value()
    assert value is not None
    assert value < 0


def test_examples_are_audio_and_pictures(utterance: Utterance) -> None:
    measurement = ReconstructionRunner(task()).measure(Bench(Late(), "f", None), utterance, with_examples=True)
    assert set(measurement.examples) == {"original.flac", "original.png", "decoded.flac", "decoded.png"}
    assert measurement.examples["decoded.flac"].startswith(b"fLaC")
    assert measurement.examples["decoded.png"].startswith(b"\x89PNG")


def explode(_: SignalPair) -> Score:
    msg = "no stars in the sky"
    raise ArithmeticError(msg)


def too_good(_: SignalPair) -> Score:
    return Score(7.0)


def test_a_metric_that_raises_or_leaves_its_bounds_is_a_failure(voice_16khz: np.ndarray) -> None:
    def metric(name: str) -> Metric:
        return Metric(
            name=name,
            title=name,
            unit="",
            better="higher",
            bounds=(0, 5),
            source="here",
            description="For a test.",
            function=f"{__name__}:{name}",
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Metric, "resolve", lambda self: {"explode": explode, "too_good": too_good}[self.name])
        names = ("explode", "too_good")
        measurement = score_pair(SignalPair(voice_16khz, voice_16khz, RATE_HZ), {n: metric(n) for n in names})
    assert measurement.scores == {}
    explosion = measurement.failures["explode"].reason
    assert explosion.startswith("ArithmeticError: no stars in the sky (test_reconstruction.py:")
    assert measurement.failures["too_good"].reason == "too_good is 7, outside of its bounds 0 .. 5"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(SpecError, match=r"t\.v1: arguments\.colour: unknown key"):
        make_runner(task(colour=1))


def test_an_unknown_metric_is_named() -> None:
    wrong = Task(name="t", version=1, kind="reconstruction", question="?", metrics=("stio",))
    with pytest.raises(SpecError, match=r"t\.v1: metrics: .* has no stio; expected some of stoi, estoi, "):
        make_runner(wrong)


def test_an_unknown_kind_is_named() -> None:
    wrong = Task(name="t", version=1, kind="telepathy", question="?", metrics=("stoi",))
    with pytest.raises(UnknownNameError, match="no kind of task named 'telepathy'"):
        make_runner(wrong)
