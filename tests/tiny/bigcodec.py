"""Tiny BigCodec checkpoints in the authors' format."""

from pathlib import Path

import torch
from torch import Tensor

from tiny.listings import drawn, listed, part
from tokbench.codecs.card import Card

__all__ = ["checkpoint", "write"]

FEATURES = 64
SIZES = {1: 1, 8: 8, 8192: 8192, 1024: FEATURES}
"""Sizes that are not divided: of the codebook; and the features of a frame."""
DIVISOR = 24
"""Of channels: 2 after the first convolution, 64 where the recurrent layers are."""


def checkpoint() -> dict[str, dict[str, Tensor]]:
    """Return what a file holds: random tensors of the published model, smaller."""
    shapes = {
        name: tuple(
            SIZES.get(number, number // DIVISOR) if axis < 2 else number for axis, number in enumerate(shape)
        )
        for name, shape in listed("bigcodec").items()
    }
    tensors = drawn(shapes, scales={"weight_g": 0.8, "weight_hh_l0": 0.1, "weight_hh_l1": 0.1})
    return {name: part(tensors, name) for name in ("CodecEnc", "generator")}


def write(card: Card, folder: Path) -> None:
    """Save the model."""
    assert card.weights is not None
    path = folder / card.weights.folder / "bigcodec.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint(), path)
