"""Tiny SNAC models in the format of the package snac."""

import json
from pathlib import Path

import torch
from snac import SNAC

from tokbench.codecs.card import Card

__all__ = ["config", "save", "write"]

WINDOWED = {"encoder_rates": [2, 3, 8, 8], "decoder_rates": [8, 8, 3, 2], "vq_strides": [8, 4, 2, 1]}
PLAIN = {"encoder_rates": [2, 4, 8, 8], "decoder_rates": [8, 8, 4, 2], "vq_strides": [4, 2, 1]}


def config(sample_rate_hz: int) -> dict[str, object]:
    """Return the published configuration for a sample rate with few channels; attention heads have 64."""
    windowed = sample_rate_hz != 24000
    return {
        "sampling_rate": sample_rate_hz,
        "encoder_dim": 4 if windowed else 2,
        "decoder_dim": 64 if windowed else 32,
        "attn_window_size": 32 if windowed else None,
        "codebook_size": 4096,
        "codebook_dim": 8,
        "noise": True,
        "depthwise": True,
        **(WINDOWED if windowed else PLAIN),
    }


def save(values: dict[str, object], folder: Path, seed: int = 0) -> None:
    """Save a random model as the package does."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    (folder / "config.json").write_text(json.dumps(values))
    model = SNAC(**values)
    _centre(model)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


@torch.inference_mode()
def _centre(model: SNAC) -> None:
    """Let codes vary: a codebook looks at directions, and those of random latents are all about the same."""
    residual = model.encoder(model.preprocess(torch.logspace(-3, 0, 48000) * torch.randn(1, 1, 48000)))
    for layer in model.quantizer.quantizers:
        layer.in_proj.bias -= layer.in_proj(residual).mean(dim=(0, 2))
        residual = residual - layer(residual)[0]


def write(card: Card, folder: Path) -> None:
    """Save a tiny model for the card's sample rate."""
    assert card.weights is not None
    assert card.sample_rate_hz is not None
    save(config(card.sample_rate_hz), folder / card.weights.folder)
