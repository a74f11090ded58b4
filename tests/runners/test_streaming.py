"""Streaming tasks, with tokenizers of which it is known how far ahead they look."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.errors import SpecError
from tokbench.records import CodecSummary, MetricSummary
from tokbench.runners.base import Bench, Runner
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task

RATE_HZ, HOP, SIZE = 8000, 80, 16


class Ahead(Tokenizer):
    """Tells how loud a frame is, with so many of the next ones: the loudest sample of all of them."""

    def __init__(self, num_ahead: int, latency_s: float) -> None:
        self.num_ahead = num_ahead
        self.info = TokenizerInfo(
            sample_rate_hz=RATE_HZ,
            streams=(StreamInfo(2, SIZE, RATE_HZ / HOP),),
            name="ahead",
            causal=True,
            latency_s=latency_s,
        )

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        levels = samples[0, : samples.shape[1] // HOP * HOP].reshape(-1, HOP).amax(dim=1)
        seen = torch.stack([levels.roll(-number) for number in range(self.num_ahead + 1)])
        for number in range(1, self.num_ahead + 1):
            seen[number, -number:] = 0.0
        codes = (seen.amax(dim=0) * SIZE).long().clamp(0, SIZE - 1)
        # The second codebook looks at nothing but its own frame.
        return [torch.stack([codes, (levels * SIZE).long().clamp(0, SIZE - 1)])]


def runner(**arguments: object) -> Runner:
    shipped = find_task("streaming")[0].model_dump()
    return make_runner(Task.model_validate({**shipped, "arguments": arguments}))


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return four utterances whose loudness rises from frame to frame, so that whoever looks ahead sees more."""
    made = []
    for number in range(4):
        rising = np.repeat(np.arange(40 + 4 * number) % SIZE, HOP) / SIZE + 0.01
        soundfile.write(tmp_path / f"{number}.wav", rising, RATE_HZ, subtype="FLOAT")
        made.append(Utterance(id=str(number), path=tmp_path / f"{number}.wav", speaker=f"s{number % 2}"))
    return made


def summarised(made: Runner, tokenizer: Tokenizer, utterances: list[Utterance]) -> dict[str, MetricSummary]:
    bench = Bench(tokenizer, "f", None)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in utterances]
    return {item.group: item for item in made.summarise(payloads)}


@pytest.mark.parametrize("num_ahead", [0, 1, 3])
def test_codes_that_are_due_are_the_same_whoever_tells_how_far_it_looks(
    num_ahead: int, utterances: list[Utterance]
) -> None:
    found = summarised(runner(), Ahead(num_ahead, num_ahead * HOP / RATE_HZ), utterances)
    assert {group: item.value for group, item in found.items()} == {
        **dict.fromkeys(["first 25 %", "first 50 %", "first 75 %"], 1.0),
        **dict.fromkeys(["codebook 1", "codebook 2"], 1.0),
        **dict.fromkeys([f"first {share} %, codebook 1" for share in (25, 50, 75)], 1.0),
    }


def test_a_look_ahead_that_was_not_told_is_found(utterances: list[Utterance]) -> None:
    found = summarised(runner(heard_share=[0.5]), Ahead(2, 0.0), utterances)
    # Of the frames that were heard, the last two look at what was not: of 20, 22, 24 and 26.
    num_heard = [20, 22, 24, 26]
    looked = [Ahead(2, 0.0).encode(item.read()).streams[0].indices[0] for item in utterances]
    early = [
        Ahead(2, 0.0)
        .encode(type(item.read())(item.read().samples[:, : count * HOP], RATE_HZ))
        .streams[0]
        .indices[0]
        for item, count in zip(utterances, num_heard, strict=True)
    ]
    same = [float((a[:count] == b).float().mean()) for a, b, count in zip(looked, early, num_heard, strict=True)]
    whole = [40, 44, 48, 52]
    expected = np.average(same, weights=whole)
    assert 0.85 < expected < 1.0
    assert found["first 50 %, codebook 1"].value == pytest.approx(expected)
    assert found["codebook 2"].value == 1.0
    assert found["first 50 %"].value == pytest.approx((expected + 1) / 2)


def summary(*, causal: bool | None, latency_s: float | None) -> CodecSummary:
    return CodecSummary(
        name="c", title="C", setting="s", licence="", source="", trained_on=(), causal=causal, latency_s=latency_s
    )


def test_who_claims_nothing_is_not_asked() -> None:
    made = runner()
    assert made.declines(summary(causal=True, latency_s=0.02)) is None
    for causal, latency_s in ((False, 0.0), (None, 0.0), (True, math.inf)):
        assert "does not claim to be causal" in str(made.declines(summary(causal=causal, latency_s=latency_s)))
    assert make_runner(find_task("robustness")[0]).declines(summary(causal=None, latency_s=None)) is None


def test_of_a_few_frames_none_may_be_due(utterances: list[Utterance]) -> None:
    found = summarised(runner(heard_share=[0.1]), Ahead(1, 30 * HOP / RATE_HZ), utterances)["first 10 %"]
    assert (found.value, found.num_total, found.num_not_applicable) == (None, 0, 4)


def test_shares_are_parts_of_the_whole() -> None:
    with pytest.raises(SpecError, match=r"arguments.heard_share"):
        runner(heard_share=[1.0])
