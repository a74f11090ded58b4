"""Tone tasks: what a tokenizer drops is dropped, and what it keeps is not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pooling import pooled

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import SpecError
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.registry import make_runner
from tokbench.runners.tone import ToneRunner
from tokbench.specs.task import Task

RATE_HZ, HOP = 16000, 160
METRICS = ("probe_accuracy", "probe_accuracy_latents", "probe_accuracy_drop", "probe_chance")
FAST = {"num_seeds": 2, "learning_rates": [0.1], "max_epochs": 40, "patience": 0}


def runner(**arguments: object) -> ToneRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="tone",
            question="?",
            interval_by="speaker",
            metrics=METRICS,
            arguments={"recipe": FAST, "min_items": 4, "tier": "tone", **arguments},
        )
    )
    assert isinstance(made, ToneRunner)
    return made


class Coarse(Tokenizer):
    """Keeps in one codebook how loud 10 ms are, by halves; its latents keep it exactly."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(1, 2, RATE_HZ / HOP),), name="coarse")

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(self._latents(samples)[:, 0] > 0.5).long()[None]]

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        frames = samples[0, : samples.shape[1] // HOP * HOP].reshape(-1, HOP)
        return frames.mean(dim=1)[:, None]

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        return streams[0][codebooks].T.float()


class Bare(Coarse):
    """The same, which does not tell what it quantizes."""

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        return Tokenizer._latents(self, samples)

    def _encode(self, samples: torch.Tensor) -> list[torch.Tensor]:
        return [(Coarse._latents(self, samples)[:, 0] > 0.5).long()[None]]


def utterances(folder: Path, levels: dict[str, float]) -> list[Utterance]:
    """Return one utterance of each of four speakers, three times every label."""
    made = []
    for speaker in range(4):
        labels = [*levels] * 3
        path = folder / f"{speaker}.wav"
        soundfile.write(
            path, np.concatenate([np.full(2 * HOP, levels[label]) for label in labels]), RATE_HZ, "FLOAT"
        )
        intervals = tuple(Interval(0.02 * n, 0.02 * (n + 1), label) for n, label in enumerate(labels))
        made.append(Utterance(id=path.stem, path=path, speaker=f"s{speaker}", language="cmn", intervals=intervals))
    return made


def summaries(
    made: ToneRunner, tokenizer: Tokenizer, items: Sequence[Utterance]
) -> dict[tuple[str, str], MetricSummary]:
    bench = Bench(tokenizer, "f", None)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in items]
    return {(found.name, found.group): found for found in pooled(made, payloads)}


def test_what_is_rounded_away_is_the_drop(tmp_path: Path) -> None:
    found = summaries(runner(), Coarse(), utterances(tmp_path, {"1": 0.1, "4": 0.4}))
    assert found["probe_accuracy_latents", "all"].value == 1.0
    assert found["probe_accuracy", "all"].value == 0.5
    drop = found["probe_accuracy_drop", "all"]
    assert (drop.value, drop.low, drop.high) == (0.5, 0.5, 0.5)  # every speaker is alike
    assert found["probe_chance", "all"].value == 0.5


def test_what_is_kept_does_not_drop(tmp_path: Path) -> None:
    found = summaries(runner(), Coarse(), utterances(tmp_path, {"1": 0.2, "4": 0.8}))
    assert found["probe_accuracy", "all"].value == 1.0
    assert found["probe_accuracy_drop", "all"].value == 0.0


def test_codes_may_be_embedded(tmp_path: Path) -> None:
    recipe = {**FAST, "head": "lstm", "width": 8, "embedding": 8}
    items = utterances(tmp_path, {"1": 0.2, "4": 0.8})
    found = summaries(runner(features="codes", recipe=recipe, alone=True), Coarse(), items)
    assert found["probe_accuracy", "all"].value == 1.0


def test_without_latents_there_is_no_drop(tmp_path: Path) -> None:
    found = summaries(runner(), Bare(), utterances(tmp_path, {"1": 0.2, "4": 0.8}))
    assert found["probe_accuracy", "all"].value == 1.0
    for name in ("probe_accuracy_latents", "probe_accuracy_drop"):
        assert found[name, "all"].value is None
        assert found[name, "all"].reasons == {"the tokenizer does not tell what it quantizes": 4}


def test_what_failed_leaves_no_number(tmp_path: Path) -> None:
    made = runner()
    item = utterances(tmp_path, {"1": 0.2, "4": 0.8})[0]
    payload = made.measure(Bench(Coarse(), "f", None), item, with_examples=False).payload
    assert [found.value for found in made.summarise([payload, None])] == [None] * 4


def test_latents_are_no_codes() -> None:
    with pytest.raises(SpecError, match="latents are compared anyway"):
        runner(features="latents")
