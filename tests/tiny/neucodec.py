"""Tiny NeuCodec models in the format of transformers."""

from pathlib import Path

import torch
from transformers import NeuCodecConfig, NeuCodecModel

from tiny.xcodec2 import SIZES, draw
from tokbench.codecs.card import Card

__all__ = ["model", "write"]


def model(seed: int = 0) -> NeuCodecModel:
    """Return a model of the published strides and levels with few channels."""
    torch.manual_seed(seed)
    return draw(NeuCodecModel(NeuCodecConfig(**SIZES)))


def write(card: Card, folder: Path) -> None:
    """Save a tiny model."""
    assert card.weights is not None
    model().save_pretrained(folder / card.weights.folder)
