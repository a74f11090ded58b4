"""Tiny Vocos models in the format of the package vocos, over a tiny EnCodec."""

from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import EncodecConfig
from vocos.heads import ISTFTHead
from vocos.models import VocosBackbone

from tiny import encodec
from tokbench.codecs.card import Card

__all__ = ["DIMENSION", "config", "parts", "save", "write"]

DIMENSION = encodec.TINY["codebook_dim"]
NUM_CODEBOOKS = 16


def config() -> dict[str, Any]:
    """Return the published configuration with few channels."""
    return {
        "feature_extractor": {
            "class_path": "vocos.feature_extractors.EncodecFeatures",
            "init_args": {
                "encodec_model": "encodec_24khz",
                "bandwidths": [1.5, 3.0, 6.0, 12.0],
                "train_codebooks": False,
            },
        },
        "backbone": {
            "class_path": "vocos.models.VocosBackbone",
            "init_args": {
                "input_channels": DIMENSION,
                "dim": 16,
                "intermediate_dim": 24,
                "num_layers": 8,
                "adanorm_num_embeddings": 4,
            },
        },
        "head": {
            "class_path": "vocos.heads.ISTFTHead",
            "init_args": {"dim": 16, "n_fft": 1280, "hop_length": 320, "padding": "same"},
        },
    }


@torch.no_grad()
def parts(seed: int = 0) -> tuple[VocosBackbone, ISTFTHead]:
    """Return random networks that the four bandwidths condition in four ways."""
    torch.manual_seed(seed)
    values = config()
    backbone = VocosBackbone(**values["backbone"]["init_args"])
    for name, parameter in backbone.named_parameters():
        if any(part in name for part in ("norm.scale", "norm.shift", "dwconv.weight")):
            parameter.normal_()
        elif "pwconv" in name:
            parameter.normal_(std=0.3)
    return backbone.eval(), ISTFTHead(**values["head"]["init_args"]).eval()


def save(folder: Path, codebooks: torch.Tensor, seed: int = 0) -> None:
    """Save random networks with ``codebooks`` [K · V, D] as the publisher does, without EnCodec."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone, head = parts(seed)
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    tensors["feature_extractor.codebook_weights"] = torch.nn.Parameter(codebooks)
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "config.yaml").write_text(yaml.safe_dump(config()))


def write(card: Card, folder: Path) -> None:
    """Save a tiny model and the EnCodec that it decodes."""
    assert card.weights is not None
    original = encodec.model(EncodecConfig(**encodec.TINY))
    original.save_pretrained(folder / card.parts["encodec"].folder)
    tables = [layer.codebook.embed for layer in original.quantizer.layers[:NUM_CODEBOOKS]]
    save(folder / card.weights.folder, torch.cat(tables))
