"""Tiny HiFi-Codec checkpoints in the format of AcademiCodec."""

from pathlib import Path

import torch

from tiny.listings import drawn, listed, part, smaller
from tokbench.codecs.card import Card

__all__ = ["checkpoint", "write"]

DIVISOR = 16
"""Of channels and features, so that 32 are left."""
PARTS = ("encoder", "generator", "quantizer")


def checkpoint(listing: str) -> dict[str, dict[str, torch.Tensor]]:
    """Return what a file holds: the tensors of each part, with random weights and codebooks of 1024 codes."""
    shapes = smaller(listed(listing), _divisor)
    tensors = drawn(shapes)
    for index, name in enumerate(name for name in tensors if "quantizer" in name):
        # As wide as the latents, and half as wide for what the first layer leaves.
        table = torch.randn(shapes[name], generator=torch.Generator().manual_seed(index))
        tensors[name] = table * (0.15 if "modules2" in name else 0.3)
    return {name: part(tensors, name) for name in PARTS}


def _divisor(name: str, axis: int) -> int:
    if name.startswith("quantizer"):
        return 1 if axis == 0 else DIVISOR
    # Of fewer channels the encoder cannot make a group to normalize.
    within_encoder = name.startswith("encoder") and not (name.startswith("encoder.conv_post") and axis == 0)
    return 4 if within_encoder else DIVISOR


def write(card: Card, folder: Path) -> None:
    """Save a model with the strides of ``card``."""
    assert card.weights is not None
    (name,) = card.weights.files
    path = folder / card.weights.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint(f"academicodec_{name.split('-')[3]}"), path)
