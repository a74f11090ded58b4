"""ABX tasks: from intervals and codes to errors, with tokenizers whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import levels
from tiny.levels import HOP, RATE_HZ

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import NotSupportedError, SpecError
from tokbench.records import MetricSummary
from tokbench.runners.abx import AbxRunner
from tokbench.runners.base import Bench
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task

PHONES = ("a", "i", "u")


def runner(**arguments: object) -> AbxRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="abx",
            question="?",
            metrics=("abx_within", "abx_across"),
            arguments={"items": "phone", "context": "any", **arguments},
        )
    )
    assert isinstance(made, AbxRunner)
    return made


class Level(levels.Level):
    """Embeds both codes."""

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        values = streams[0] * torch.tensor([[10], [1]])
        return values[codebooks].sum(dim=0)[:, None].float()


LEVELS = {"a": 0.21, "i": 0.24, "u": 0.58}
"""Two of the three share the first code."""


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return utterances of three speakers, each phone of a level that the speaker has moved a little."""
    made, generator = [], np.random.default_rng(0)
    for speaker in range(3):
        for number in range(2):
            phones = [*PHONES, *generator.permutation(PHONES)]
            samples = np.concatenate([np.full(8 * HOP, LEVELS[phone] + 0.004 * speaker) for phone in phones])
            path = tmp_path / f"{speaker}-{number}.wav"
            soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
            intervals = [Interval(0.08 * n, 0.08 * (n + 1), phone) for n, phone in enumerate(phones)]
            made.append(
                Utterance(
                    id=path.stem,
                    path=path,
                    speaker=f"s{speaker}",
                    language="en",
                    text="first" if number == 0 else "second",
                    labels={"kind": f"k{number}"},
                    intervals=tuple(intervals),
                )
            )
    return made


def errors(
    made: AbxRunner, tokenizer: Tokenizer, utterances: list[Utterance]
) -> dict[tuple[str, str], float | None]:
    return {(found.name, found.group): found.value for found in summaries(made, tokenizer, utterances)}


def summaries(made: AbxRunner, tokenizer: Tokenizer, utterances: list[Utterance]) -> list[MetricSummary]:
    bench = Bench(tokenizer, "f", None)
    return made.summarise(made.measure(bench, item, with_examples=False).payload for item in utterances)


def test_what_the_codes_tell_apart_is_told_apart(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean"), Level(), utterances)
    assert found == {
        ("abx_within", "all"): 0.0,
        ("abx_across", "all"): 0.0,
        # The first code is the same for two of three phones: of six ordered pairs, two are a toss-up.
        ("abx_within", "codebook 1"): pytest.approx(0.5 / 3),
        ("abx_across", "codebook 1"): pytest.approx(0.5 / 3),
    }


def test_codes_themselves_may_be_compared(utterances: list[Utterance]) -> None:
    found = errors(runner(features="codes", distance="identical"), Level(), utterances)
    # A third speaker's levels are a code higher, and two codes differ as much as they would from any other.
    assert found["abx_within", "all"] == 0.0
    assert found["abx_across", "all"] == pytest.approx(0.5, abs=0.35)
    assert found["abx_within", "codebook 1"] == pytest.approx(0.5 / 3)


def test_continuous_features_have_no_codebooks(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean"), levels.LevelFeatures(), utterances)
    assert found == {("abx_within", "all"): 0.0, ("abx_across", "all"): 0.0}
    assert errors(runner(distance="euclidean", features="latents"), Level(), utterances) == found


def test_pooled_items_are_told_apart_as_well(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean", pooling="mean"), Level(), utterances)
    assert found["abx_across", "all"] == 0.0


def test_triphones_need_both_neighbours(utterances: list[Utterance]) -> None:
    made = runner(items="triphone", context="within", distance="euclidean")
    measurement = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert measurement.facts["num_items"] == 4
    phones = runner().measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert phones.facts["num_items"] == 6


def test_whole_utterances_are_items_by_a_column(utterances: list[Utterance]) -> None:
    made = runner(items="utterance", category="kind")
    assert made.tier is None
    measured = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert measured.facts["num_items"] == 1
    named = runner(items="utterance", category="nothing-of-that-name")
    assert named.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).facts["num_items"] == 0


def test_what_failed_leaves_no_number(utterances: list[Utterance]) -> None:
    made = runner()
    payload = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).payload
    found = made.summarise([payload, None])
    assert {(item.name, item.value, item.num_ok, item.num_total) for item in found} == {
        ("abx_within", None, 1, 2),
        ("abx_across", None, 1, 2),
    }


def test_one_speaker_cannot_be_compared_with_another(utterances: list[Utterance]) -> None:
    found = errors(runner(distance="euclidean"), Level(), utterances[:2])
    assert found["abx_within", "all"] == 0.0
    assert found["abx_across", "all"] is None


class Irregular(Level):
    """Codes of no constant rate."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 10, None),), name="irregular")


class Bare(Level):
    """Codes without embeddings."""

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        return Tokenizer._quantized(self, streams, codebooks)


@pytest.mark.parametrize("tokenizer", [Irregular(), Bare()], ids=["irregular", "bare"])
def test_codes_without_a_place_or_an_embedding_are_told(tokenizer: Tokenizer, utterances: list[Utterance]) -> None:
    with pytest.raises(NotSupportedError, match=tokenizer.info.name):
        runner().measure(Bench(tokenizer, "f", None), utterances[0], with_examples=False)


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match=r"arguments.distance"):
        runner(distance="manhattan")
