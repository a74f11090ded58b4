"""Tiny EnCodec models in the format of transformers."""

from pathlib import Path

import torch
from transformers import EncodecConfig, EncodecModel

from tokbench.codecs.card import Card

__all__ = ["model", "write"]


@torch.inference_mode()
def model(config: EncodecConfig, seed: int = 0) -> EncodecModel:
    """Return a model with random codebooks that are as wide as its latents; they would be zeros."""
    torch.manual_seed(seed)
    made = EncodecModel(config).eval()
    levels = torch.logspace(-3, 0, 48000)
    latents = made.encoder(levels * torch.randn(1, config.audio_channels, 48000))[0].T
    for index, layer in enumerate(made.quantizer.layers):
        table = latents.std(dim=0) * torch.randn(config.codebook_size, config.codebook_dim) / (1 + index)
        layer.codebook.embed.copy_(table + (latents.mean(dim=0) if index == 0 else 0))
    return made


def write(card: Card, folder: Path) -> None:
    """Save the published configuration with few filters."""
    assert card.weights is not None
    config = EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1)
    model(config).save_pretrained(folder / card.weights.folder)
