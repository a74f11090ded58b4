"""Tiny tokenizers of Higgs Audio v2 in the format of transformers."""

from pathlib import Path

import torch
from transformers import HiggsAudioV2TokenizerConfig, HiggsAudioV2TokenizerModel

from tiny.xcodec import ACOUSTIC, draw, semantic
from tokbench.codecs.card import Card

__all__ = ["model", "write"]


def model(seed: int = 0) -> HiggsAudioV2TokenizerModel:
    """Return a model of the published strides, bandwidths and codebook size with few channels."""
    torch.manual_seed(seed)
    strides = {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]}
    config = HiggsAudioV2TokenizerConfig(
        target_bandwidths=[0.5, 1, 1.5, 2],
        codebook_dim=4,
        acoustic_model_config={**ACOUSTIC, **strides},
        semantic_model_config=semantic("hubert"),
    )
    return draw(HiggsAudioV2TokenizerModel(config), config.hop_length)


def write(card: Card, folder: Path) -> None:
    """Save a tiny model."""
    assert card.weights is not None
    model().save_pretrained(folder / card.weights.folder)
