"""Runs of training that end before their end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tokbench.corpora.base import Corpus
from tokbench.training.checkpoint import CHECKPOINT_FILE
from tokbench.training.train import Options, train
from tokbench.training.watcher import Watcher

__all__ = ["assert_resumes"]

STEPS: Mapping[str, Any] = {
    "num_steps": 6,
    "checkpoint_every_steps": 2,
    "validate_every_steps": 2,
    "log_every_steps": 1,
    "num_held_out": 1,
    "validation_s": 0.5,
}


class StoppedError(Exception):
    """Raised in the middle."""


class _Stopping(Watcher):
    def step(self, step: int, num_steps: int) -> None:
        del num_steps
        if step == 5:
            raise StoppedError


def assert_resumes(spec: str, corpus: Corpus, folder: Path, changes: Mapping[str, Any], *, weights: str) -> None:
    """Train ``spec`` at once, and again with a stop after the checkpoint of step 4: the same must come out."""
    options = Options(changes={**changes, "training": {**changes["training"], **STEPS}}, num_workers=0)
    straight = train(spec, corpus, folder / "straight" / "run", options=options)
    with pytest.raises(StoppedError):
        train(spec, corpus, folder / "stopped" / "run", options=options, watcher=_Stopping())
    assert (folder / "stopped" / "run" / CHECKPOINT_FILE).is_file()
    resumed = train(spec, corpus, folder / "stopped" / "run", options=options)
    expected, found = load_file(straight / weights), load_file(resumed / weights)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if (found[name] != expected[name]).any()] == []
    assert (resumed / "card.toml").read_bytes() == (straight / "card.toml").read_bytes()
