"""Tiny X-Codec models in the format of transformers, with a HuBERT or a WavLM of the published strides."""

from pathlib import Path
from typing import Any

import torch
from transformers import XcodecConfig, XcodecModel

from tokbench.codecs.card import Card

__all__ = ["ACOUSTIC", "draw", "model", "semantic", "write"]

ACOUSTIC = {"model_type": "dac", "encoder_hidden_size": 2, "decoder_hidden_size": 32, "hidden_size": 8}
"""A DAC with few channels; its strides are those of the model that it is part of."""


def semantic(model_type: str) -> dict[str, Any]:
    """Return a HuBERT or WavLM of one narrow layer."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    return {"model_type": model_type, "conv_dim": [8] * 7, **sizes, **positions}


@torch.inference_mode()
def draw(made: Any, hop_length: int) -> Any:
    """Draw codebooks as wide as what they quantize, each half as wide as the one before; they would be zeros."""
    kept = {}
    handle = made.fc.register_forward_hook(lambda _module, _inputs, output: kept.update(latents=output[0]))
    levels = torch.logspace(-3, 0, 50 * hop_length)
    made.eval().encode(levels * torch.randn(1, 1, len(levels)))
    handle.remove()
    residual = kept["latents"]
    for layer in made.quantizer.quantizers:
        inputs = layer.project_in(residual) if hasattr(layer, "project_in") else residual
        table = layer.codebook.embed
        table.copy_(inputs.mean(dim=0) + inputs.std(dim=0) * torch.randn(table.shape))
        residual = residual - layer.decode(layer.encode(residual.T[None]))[0].T
    return made


def model(model_type: str = "hubert", seed: int = 0) -> XcodecModel:
    """Return a model of the published strides, bandwidths and codebook size with few channels."""
    torch.manual_seed(seed)
    strides = {"downsampling_ratios": [8, 5, 4, 2], "upsampling_ratios": [8, 5, 4, 2]}
    config = XcodecConfig(acoustic_model_config={**ACOUSTIC, **strides}, semantic_model_config=semantic(model_type))
    return draw(XcodecModel(config), config.hop_length)


def write(card: Card, folder: Path) -> None:
    """Save a tiny model with the semantic model that the card names."""
    assert card.weights is not None
    model("wavlm" if "wavlm" in card.name else "hubert").save_pretrained(folder / card.weights.folder)
