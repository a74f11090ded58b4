"""Tiny audio tokenizers of Pocket TTS in the format of transformers."""

from pathlib import Path

import torch
from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel

from tokbench.codecs.card import Card

__all__ = ["model", "write"]

SIZES = {
    "num_filters": 2,
    "hidden_size": 16,
    "upsample_groups": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
"""Few channels; strides, the window of attention and the size of the latents stay as published."""


def model(seed: int = 0) -> PocketTTSAudioTokenizerModel:
    """Return a model with random weights and layers that are not scaled down to nothing."""
    torch.manual_seed(seed)
    made = PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(**SIZES, layer_scale_initial_scale=0.5))
    return made.eval()


def write(card: Card, folder: Path) -> None:
    """Save a tiny model."""
    assert card.weights is not None
    model().save_pretrained(folder / card.weights.folder)
