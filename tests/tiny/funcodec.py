"""Tiny FunCodecs in their publisher's format: a YAML file and a checkpoint.

``tests/codecs/data/funcodec.json`` describes them, and what the publisher's code makes of them.
"""

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from tiny.formula import filled
from tokbench.codecs.card import Card

__all__ = ["VARIANTS", "described", "save", "write"]

DATA = Path(__file__).parent.parent / "codecs" / "data"
VARIANTS = ("ds320", "ds640", "gr1", "gr8")
_CODEBOOKS = "quantizer.rq.model.embed"


def described(variant: str) -> dict[str, Any]:
    """Return the configuration, the tensors' shapes, and codes, latents and audio of the published code."""
    values: dict[str, Any] = json.loads((DATA / "funcodec.json").read_text())[variant]
    return values


def save(folder: Path, values: dict[str, Any]) -> None:
    """Write what ``values`` describes, and what else a checkpoint of the publisher has in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(values["config"]))
    tensors = filled(values["shapes"], values["codebook_scale"])
    tensors[_CODEBOOKS] *= torch.tensor([0.8**index for index in range(32)])[:, None, None]
    tensors["discriminator.discriminators.0.convs.0.conv.bias"] = torch.zeros(32)
    tensors["mel_spec_transforms.0.window"] = torch.hann_window(32)
    torch.save(tensors, folder / "model.pth")


def write(card: Card, folder: Path) -> None:
    """Save a model of a few channels with the card's frame rate and codebooks."""
    assert card.weights is not None
    variant = next(v for v in ("gr1", "gr8", "ds640", "ds320") if v in card.name)
    save(folder / card.weights.folder, described(variant))
