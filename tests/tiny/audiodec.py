"""Tiny AudioDec checkpoints in the format of the authors' archive: folders of ``config.yml`` and checkpoints."""

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from tiny.listings import drawn, listed, smaller
from tokbench.codecs.card import Card

__all__ = ["autoencoder", "vocoder", "write", "write_model"]

DIVISOR = 16
"""Of channels: the encoder has 2 after its first convolution. Features are kept, for codes without ties."""


def tensors(listing: str) -> dict[str, Tensor]:
    """Return random tensors of a published model, smaller, each codebook narrower than the one before."""
    shapes = smaller(listed(listing), _divisor)
    made = drawn(shapes, seed=len(listing), scales={"mean": 0.1})
    for name in made:
        if name.endswith(".embed"):
            made[name] = 0.3 * torch.randn(shapes[name], generator=torch.Generator().manual_seed(len(made)))
            made[name] /= 1.3 ** int(name.split(".")[3])
    return made


def _divisor(name: str, axis: int) -> int:
    """Return 1 for the axis of features, and for the codes of a codebook."""
    is_input = name.startswith(("decoder.conv1.", "input_conv.")) and axis == 1
    is_output = name.startswith("projector.") and axis == 0
    is_kept = is_input or is_output or name.startswith(("quantizer.", "mean", "scale"))
    # The input channels of a grouped convolution are those of one group: they are divided like all others.
    return 1 if is_kept else DIVISOR


def autoencoder(listing: str, sample_rate_hz: int) -> dict[str, Any]:
    """Return the configuration of an autoencoder, as far as it is one of its networks."""
    strides = [2, 4, 5, 8] if "c16" in listing else [3, 4, 5, 5]
    parameters = {
        "code_dim": 64,
        "codebook_num": 16 if "c16" in listing else 8,
        "codebook_size": 1024,
        "codec": "activate_audiodec" if "symaad" in listing else "audiodec",
        "enc_ratios": [2, 4, 8, 16],
        "enc_strides": strides,
        "encode_channels": 32 // DIVISOR,
        "dec_ratios": [16, 8, 4, 2],
        "dec_strides": strides[::-1],
        "decode_channels": 32 // DIVISOR,
        "mode": "causal",
        "projector": "conv1d",
    }
    return {"generator_params": parameters, "model_type": "symAudioDec", "sampling_rate": sample_rate_hz}


def vocoder(listing: str, sample_rate_hz: int) -> dict[str, Any]:
    """Return the configuration of a vocoder, likewise."""
    kernel_sizes = {"audiodec_v0": [3, 7, 11], "audiodec_v1": [11], "audiodec_v2": [3]}[listing]
    parameters = {
        "channels": 512 // DIVISOR,
        "groups": 1 if len(kernel_sizes) > 1 else 3,
        "in_channels": 64,
        "kernel_size": 7,
        "resblock_dilations": [[1, 3, 5] for _ in kernel_sizes],
        "resblock_kernel_sizes": kernel_sizes,
        "upsample_kernel_sizes": [10, 10, 8, 6],
        "upsample_scales": [5, 5, 4, 3],
        "use_additional_convs": True,
    }
    return {"generator_params": parameters, "model_type": "HiFiGAN", "sampling_rate": sample_rate_hz}


def write_model(path: Path, listing: str, sample_rate_hz: int) -> None:
    """Save a checkpoint with its configuration beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = (autoencoder if "sym" in listing else vocoder)(listing, sample_rate_hz)
    (path.parent / "config.yml").write_text(yaml.safe_dump(config))
    torch.save({"model": {"generator": tensors(listing)}, "steps": 500000}, path)


def write(card: Card, folder: Path) -> None:
    """Save every checkpoint that a setting of ``card`` names."""
    assert card.weights is not None
    assert card.sample_rate_hz is not None
    root = folder / card.weights.folder
    names = {name for arguments in card.settings.values() for name in arguments.values()} | set(
        card.arguments.values()
    )
    for name in names:
        write_model(root / name, _listing(name), card.sample_rate_hz)


def _listing(name: str) -> str:
    """Return which published model a checkpoint is of: v3 has the networks of v1."""
    known = {"_v0_": "v0", "_v1_": "v1", "_v2_": "v2", "_v3_": "v1", "c16": "symad_c16", "AAD": "symaad"}
    found = [listing for mark, listing in known.items() if mark in name]
    return f"audiodec_{found[0] if found else 'symad'}"
