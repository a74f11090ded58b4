"""Tiny SpeechTokenizers in their publisher's format, made by the publisher's package."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from speechtokenizer import SpeechTokenizer

from tokbench.codecs.card import Card

__all__ = ["CONFIG", "draw_codebooks", "published", "write"]

CONFIG = {
    "n_filters": 2,
    "strides": [8, 5, 4, 2],
    "dimension": 16,
    "semantic_dimension": 12,
    "bidirectional": True,
    "dilation_base": 2,
    "residual_kernel_size": 3,
    "n_residual_layers": 1,
    "lstm_layers": 2,
    "activation": "ELU",
    "codebook_size": 1024,
    "n_q": 8,
    "sample_rate": 16000,
}
"""The published configuration with few channels."""


def published(config: dict[str, Any], seed: int = 0) -> Any:
    """Return a model of the publisher's package with random weights."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses the older weight_norm
        model = SpeechTokenizer(config).eval()
    with torch.inference_mode():
        latents = model.encoder(torch.logspace(-3, 0, 16000) * torch.randn(1, 1, 16000))[0].T
        codebooks = [layer._codebook for layer in model.quantizer.vq.layers]
        draw_codebooks([codebook.embed for codebook in codebooks], latents)
        for codebook in codebooks:
            codebook.inited.fill_(1)  # or the first call would draw them anew
    return model


def draw_codebooks(codebooks: list[torch.Tensor], latents: torch.Tensor) -> None:
    """Fill ``codebooks`` [V, D] so that they spread as ``latents`` [F, D] do, each half as widely as the last."""
    for index, table in enumerate(codebooks):
        centre = latents.mean(dim=0) if index == 0 else 0
        table.copy_(latents.std(dim=0) * torch.randn(table.shape) / 2**index + centre)


def write(card: Card, folder: Path) -> None:
    """Save the published configuration with few channels."""
    assert card.weights is not None
    config = {**CONFIG, "activation": "Snake" if "snake" in card.name else "ELU"}
    place = folder / card.weights.folder
    checkpoint = place / str(card.arguments["checkpoint"])
    checkpoint.parent.mkdir(parents=True)
    (place / str(card.arguments["config"])).write_text(json.dumps(config))
    torch.save(published(config).state_dict(), checkpoint)
