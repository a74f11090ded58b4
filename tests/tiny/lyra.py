"""Lyra's own files, where they lie beside the project: TensorFlow Lite models cannot be made without TensorFlow."""

import shutil
from pathlib import Path

import pytest

from tokbench.codecs.card import Card

__all__ = ["OFFICIAL", "write"]

OFFICIAL = Path(__file__).parents[3] / "shared" / "lyra"


def write(card: Card, folder: Path) -> None:
    """Copy the official files, or skip the test."""
    assert card.weights is not None
    if not all((OFFICIAL / name).is_file() for name in card.weights.files):
        pytest.skip("Lyra's files are not here")
    target = folder / card.weights.folder
    target.mkdir(parents=True)
    for name in card.weights.files:
        shutil.copy(OFFICIAL / name, target)
