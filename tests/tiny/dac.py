"""Tiny DAC models in the format of transformers."""

from pathlib import Path

import torch
from transformers import DacConfig, DacModel

from tokbench.codecs.card import Card

__all__ = ["CONFIGS", "model", "spread", "write"]

TINY = {"encoder_hidden_size": 2, "decoder_hidden_size": 16}
UNIT_KERNEL = 7
"""Of the dilated convolutions of residual units."""
CONFIGS = {
    "dac-16khz": {**TINY, "downsampling_ratios": [2, 4, 5, 8], "n_codebooks": 12, "sampling_rate": 16000},
    "dac-24khz": {**TINY, "downsampling_ratios": [2, 4, 5, 8], "n_codebooks": 32, "sampling_rate": 24000},
    "dac-44khz": {**TINY, "downsampling_ratios": [2, 4, 8, 8], "n_codebooks": 9, "sampling_rate": 44100},
    "dac-44khz-16kbps": {
        **TINY,
        "downsampling_ratios": [2, 4, 8, 8],
        "n_codebooks": 18,
        "sampling_rate": 44100,
        "hidden_size": 8,
    },
}
"""The published configurations with few channels, by card."""


def model(config: DacConfig, seed: int = 0) -> DacModel:
    """Return a model with random weights."""
    torch.manual_seed(seed)
    made = DacModel(config).eval()
    spread(made)
    return made


@torch.no_grad()
def spread(network: torch.nn.Module) -> None:
    """Make ``network`` pass signals on at about their level; as it is drawn, each layer makes them fainter."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            in_residual_unit = layer.kernel_size[0] == UNIT_KERNEL and layer.in_channels == layer.out_channels
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            layer.weight.mul_(0.3 if in_residual_unit else 1.0)


def write(card: Card, folder: Path) -> None:
    """Save the published configuration with few channels."""
    assert card.weights is not None
    model(DacConfig(**CONFIGS[card.name])).save_pretrained(folder / card.weights.folder)
