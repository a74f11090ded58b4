"""Tiny Mimi models in the format of transformers."""

from pathlib import Path

import torch
from transformers import MimiConfig, MimiModel

from tokbench.codecs.card import Card

__all__ = ["CONFIG", "model", "write"]

CONFIG = {
    "num_filters": 2,
    "hidden_size": 16,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "upsample_groups": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 16,
    "frame_rate": 12.5,
}
"""The published configuration with few channels and one layer of attention instead of eight."""


def model(config: MimiConfig, seed: int = 0) -> MimiModel:
    """Return a model with random weights; codebooks are as wide as what they quantize, they would be zeros."""
    torch.manual_seed(seed)
    made = MimiModel(config).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("layer_scale.scale"):
                parameter.fill_(0.5)  # attention counts for as much as what it is added to
        made.decoder.decoder_seanet.layers[-1].conv.weight.mul_(0.05)  # about as loud as speech
        samples = torch.logspace(-3, 0, 48000) * torch.randn(1, 1, 48000)
        latents = made.encoder(samples).latents
        quantizers = made.quantizer
        for quantizer in (
            quantizers.semantic_residual_vector_quantizer,
            quantizers.acoustic_residual_vector_quantizer,
        ):
            projected = quantizer.input_proj(latents)[0].T
            for index, layer in enumerate(quantizer.layers):
                codebook = layer.codebook
                codebook.cluster_usage.uniform_(0.5, 2.0)
                drawn = projected.std(dim=0) * torch.randn_like(codebook.embed_sum) / (1 + index)
                drawn = drawn + (projected.mean(dim=0) if index == 0 else 0)
                codebook.embed_sum.copy_(drawn * codebook.cluster_usage[:, None])
                codebook._embed = None
    return made


def write(card: Card, folder: Path) -> None:
    """Save the published configuration, much narrower."""
    assert card.weights is not None
    model(MimiConfig(**CONFIG)).save_pretrained(folder / card.weights.folder)
