"""Tiny unit HiFi-GANs in the format of fairseq and textlesslib, beside tiny encoders and centroids."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tiny import ssl_units
from tokbench.codecs.card import Card
from tokbench.models.unit_hifigan import UnitHifiGan, UnitHifiGanConfig

__all__ = ["CONFIG", "published", "save_vocoder", "write"]

CONFIG: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [5, 4, 4, 2, 2],
    "upsample_kernel_sizes": [11, 8, 8, 4, 4],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "num_embeddings": 100,
    "embedding_dim": 8,
    "model_in_dim": 8,
    "code_hop_size": 320,
    "f0": False,
    "sampling_rate": 16000,
}


def write(card: Card, folder: Path) -> None:
    """Save an encoder, and the centroids and the vocoder of every setting."""
    ssl_units.write(card, folder)
    place = folder / card.parts["vocoder"].folder
    for setting, arguments in card.settings.items():
        config = {**CONFIG, "num_embeddings": int(setting.partition("-km")[2].partition("-")[0])}
        if "25hz" in card.name:
            config |= {"upsample_rates": [5, 4, 4, 4, 2], "upsample_kernel_sizes": [11, 8, 8, 8, 4]}
        if "expresso" in arguments["vocoder_file"]:
            config |= {"multispkr": "from_input_file", "multistyle": "from_input_file", "model_in_dim": 24}
        save_vocoder(place / arguments["vocoder_file"], place / arguments["config_file"], config)


def save_vocoder(path: Path, config_path: Path, config: dict[str, Any], seed: int = 0) -> UnitHifiGan:
    """Save random tensors as they are released, weight-normalised, and return the network that they make."""
    torch.manual_seed(seed)
    network = UnitHifiGan(
        UnitHifiGanConfig(
            **{name: value for name, value in config.items() if name in UnitHifiGanConfig.__annotations__},
            num_speakers=200 if config.get("multispkr") else 0,
            num_styles=100 if config.get("multistyle") else 0,
        )
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2 if parameter.ndim > 2 else 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"generator": released(network)}, path)
    config_path.write_text(json.dumps(config))
    return network


def published(network: UnitHifiGan) -> dict[str, torch.Tensor]:
    """Return the tensors of ``network`` by the names that checkpoints have for them."""
    num_widths, tensors = len(network.config.resblock_kernel_sizes), {}
    for name, tensor in network.state_dict().items():
        match name.split("."):
            case ["generator", "blocks", stage, "blocks", width, *rest]:
                parts = ["resblocks", str(num_widths * int(stage) + int(width)), *rest]
            case ["generator", part, *rest]:
                parts = [{"input_conv": "conv_pre", "upsamples": "ups", "output_conv": "conv_post"}[part], *rest]
            case parts:
                pass
        tensors[".".join(parts)] = tensor
    return tensors


def released(network: UnitHifiGan) -> dict[str, torch.Tensor]:
    """Return the tensors with each convolution's weight as a magnitude and a direction of another length."""
    tensors = {}
    for name, tensor in published(network).items():
        if name.endswith("weight") and tensor.ndim > 2:
            stem = name.removesuffix("weight")
            tensors[f"{stem}weight_g"] = tensor.norm(dim=(1, 2), keepdim=True)
            tensors[f"{stem}weight_v"] = 3 * tensor
        else:
            tensors[name] = tensor
    predictor = nn.Linear(8, 1)
    return {**tensors, **{f"dur_predictor.proj.{name}": tensor for name, tensor in predictor.state_dict().items()}}
