"""Tiny EnCodec models in the format of transformers."""

from pathlib import Path

import torch
from transformers import EncodecConfig, EncodecModel

from tokbench.codecs.card import Card

__all__ = ["CONFIGS", "draw_codebooks", "model", "write"]

TINY = {"num_filters": 4, "hidden_size": 16, "codebook_dim": 16, "num_lstm_layers": 1}
CONFIGS = {
    "encodec": TINY,
    "encodec-32khz": {
        **TINY,
        "sampling_rate": 32000,
        "upsampling_ratios": [8, 5, 4, 4],
        "codebook_size": 2048,
        "target_bandwidths": [2.2],
        "use_causal_conv": False,
        "use_conv_shortcut": False,
    },
    "encodec-48khz": {
        **TINY,
        "sampling_rate": 48000,
        "audio_channels": 2,
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
    },
}
"""The published configurations with few filters, by card."""


def model(config: EncodecConfig, seed: int = 0) -> EncodecModel:
    """Return a model with random weights."""
    torch.manual_seed(seed)
    made = EncodecModel(config).eval()
    with torch.inference_mode():
        levels = torch.logspace(-3, 0, config.sampling_rate)
        latents = made.encoder(levels * torch.randn(1, config.audio_channels, config.sampling_rate))[0].T
    draw_codebooks([layer.codebook.embed for layer in made.quantizer.layers], latents)
    return made


@torch.no_grad()
def draw_codebooks(tables: list[torch.Tensor], latents: torch.Tensor) -> None:
    """Draw random codebooks, in place, that are as wide as ``latents`` [F, D]; they would be zeros."""
    for index, table in enumerate(tables):
        drawn = latents.std(dim=0) * torch.randn_like(table) / (1 + index)
        table.copy_(drawn + (latents.mean(dim=0) if index == 0 else 0))


def write(card: Card, folder: Path) -> None:
    """Save the published configuration with few filters."""
    assert card.weights is not None
    model(EncodecConfig(**CONFIGS[card.name])).save_pretrained(folder / card.weights.folder)
