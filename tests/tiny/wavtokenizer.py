"""Tiny WavTokenizers in their publisher's format: a checkpoint of Lightning and a YAML file.

``tests/codecs/data/wavtokenizer.json`` describes them, and what the publisher's code makes of them.
"""

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from tiny.formula import filled
from tokbench.codecs.card import Card

__all__ = ["described", "save", "write"]

DATA = Path(__file__).parent.parent / "codecs" / "data"


def described(hop_length: int) -> dict[str, Any]:
    """Return the configuration, the tensors' shapes, and codes, latents and audio of the published code."""
    values: dict[str, Any] = json.loads((DATA / "wavtokenizer.json").read_text())[str(hop_length)]
    return values


def save(checkpoint: Path, config: Path, values: dict[str, Any]) -> None:
    """Write what ``values`` describes, and what else a checkpoint of the publisher has in it."""
    for file in (checkpoint, config):
        file.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(values["config"]))
    tensors = filled(values["shapes"], values["codebook_scale"])
    others = {"multiperioddisc.discriminators.0.convs.0.bias": torch.zeros(32)}
    torch.save({"epoch": 3, "global_step": 7, "state_dict": tensors | others}, checkpoint)


def write(card: Card, folder: Path) -> None:
    """Save a model of a few channels with the card's frame rate and codebook."""
    assert card.weights is not None
    weights = folder / card.weights.folder
    configs = folder / card.parts["configs"].folder if "configs" in card.parts else weights
    hop_length = 600 if card.name.endswith("600") else 320
    checkpoint, config = str(card.arguments["checkpoint"]), str(card.arguments["config"])
    save(weights / checkpoint, configs / config, described(hop_length))
