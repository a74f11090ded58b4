"""Tiny acoustic tokenizers of VibeVoice in the format of transformers."""

from pathlib import Path

import torch
from transformers import VibeVoiceAcousticTokenizerConfig, VibeVoiceAcousticTokenizerModel

from tokbench.codecs.card import Card

__all__ = ["model", "write"]


@torch.no_grad()
def model(seed: int = 0) -> VibeVoiceAcousticTokenizerModel:
    """Return a model of the published strides and depths with few channels, each layer of which is heard."""
    torch.manual_seed(seed)
    config = VibeVoiceAcousticTokenizerConfig(num_filters=1, ffn_expansion=1, layer_scale_init_value=0.5)
    made = VibeVoiceAcousticTokenizerModel(config).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("conv.weight"):
            parameter.normal_(std=parameter[0].numel() ** -0.5)
    return made


def write(card: Card, folder: Path) -> None:
    """Save a tiny model."""
    assert card.weights is not None
    model().save_pretrained(folder / card.weights.folder)
