"""Tiny X-Codec 2 models in the format of transformers, with a narrow w2v-BERT."""

from pathlib import Path
from typing import Any

import torch
from transformers import Xcodec2Config, Xcodec2Model

from tokbench.codecs.card import Card

__all__ = ["SIZES", "draw", "model", "write"]

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "encoder_hidden_size": 2,
    "quantization_dim": 80,
    "semantic_model_config": {
        "model_type": "wav2vec2-bert",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
}
"""Few channels; strides and quantization levels stay as published."""


@torch.inference_mode()
def draw(made: Any) -> Any:
    """Spread what is quantized over the levels; random latents would all fall on one."""
    made.eval()
    made.fc_encoder.weight.normal_(std=3.0)
    made.quantizer.project_in.weight.normal_(std=1.0)
    made.acoustic_decoder.head.linear.weight.normal_(std=0.1)
    return made


def model(seed: int = 0) -> Xcodec2Model:
    """Return a model of the published strides and levels with few channels."""
    torch.manual_seed(seed)
    return draw(Xcodec2Model(Xcodec2Config(**SIZES)))


def write(card: Card, folder: Path) -> None:
    """Save a tiny model."""
    assert card.weights is not None
    model().save_pretrained(folder / card.weights.folder)
