"""The network of DAC: loading it from either of its published formats."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import DacConfig, DacModel
from transformers.models.dac.modeling_dac import Snake1d

from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_checkpoint, read_tensors
from tokbench.codecs.transformers_models import CONFIG_FILE, WEIGHTS_FILE, load_pretrained
from tokbench.errors import WeightsError
from tokbench.models.seanet import Snake

__all__ = ["load_dac"]

PUBLISHED_FILES = "*.pth"
"""What the publisher's own files are called: ``weights_16khz_8kbps_0.0.5.pth`` and the like."""

_PUBLISHED_VALUES = {
    "encoder_dim": "encoder_hidden_size",
    "encoder_rates": "downsampling_ratios",
    "latent_dim": "hidden_size",
    "decoder_dim": "decoder_hidden_size",
    "n_codebooks": "n_codebooks",
    "codebook_size": "codebook_size",
    "codebook_dim": "codebook_dim",
    "sample_rate": "sampling_rate",
}
"""Names of the values that a file of the publisher holds under ``metadata.kwargs``, here and in transformers."""


def load_dac(folder: Path, num_codebooks: int, sample_rate_hz: int) -> tuple[DacModel, int]:
    """Return the model that ``folder`` holds and the number of its parameters.

    Raises :class:`WeightsError` for files that are no such model, or one with fewer codebooks or another rate.
    """
    published = sorted(folder.glob(PUBLISHED_FILES))
    if (folder / WEIGHTS_FILE).is_file() or not published:
        file = folder / CONFIG_FILE
        model = load_pretrained(DacModel, folder)
    else:
        file = published[0]
        model = _load_published(file)
    config = model.config
    if config.sampling_rate != sample_rate_hz:
        raise WeightsError(file, expected=f"sampling_rate {sample_rate_hz}", found=f"{config.sampling_rate}")
    if num_codebooks > config.n_codebooks:
        raise WeightsError(file, expected=f"{num_codebooks} codebooks (n_codebooks)", found=f"{config.n_codebooks}")
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    _replace_snakes(model)
    return model, num_parameters


def _load_published(file: Path) -> DacModel:
    config = _config_of(read_checkpoint(file), file)
    tensors = fold_weight_norms(read_tensors(file, "state_dict"))
    names, renamed = dict(_names(len(config.downsampling_ratios))), {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{leaf}"] = tensor
    return load_strictly(DacModel(config), renamed, file)


def _config_of(checkpoint: Any, file: Path) -> DacConfig:
    found = checkpoint.get("metadata") if isinstance(checkpoint, Mapping) else None
    values = found.get("kwargs") if isinstance(found, Mapping) else None
    if not isinstance(values, Mapping):
        raise WeightsError(file, expected="the configuration under metadata.kwargs", found="none")
    if missing := [name for name in _PUBLISHED_VALUES if name not in values]:
        raise WeightsError(file, expected=f"metadata.kwargs.{missing[0]}", found="none")
    if list(values["encoder_rates"]) != list(values.get("decoder_rates", []))[::-1]:
        raise WeightsError(
            file, expected="decoder_rates that mirror encoder_rates", found=f"{values.get('decoder_rates')}"
        )
    return DacConfig(**{name: values[key] for key, name in _PUBLISHED_VALUES.items()})


def _names(num_blocks: int) -> Iterator[tuple[str, str]]:
    """Yield each layer's name in the publisher's sequences and in transformers; quantizers keep theirs."""
    for half, sequence in (("encoder", "encoder.block"), ("decoder", "decoder.model")):
        yield f"{sequence}.0", f"{half}.conv1"
        for block in range(num_blocks):
            for inner, name in _names_in_block(half):
                yield f"{sequence}.{block + 1}.block.{inner}", f"{half}.block.{block}.{name}"
        yield f"{sequence}.{num_blocks + 1}", f"{half}.snake1"
        yield f"{sequence}.{num_blocks + 2}", f"{half}.conv2"


def _names_in_block(half: str) -> Iterator[tuple[str, str]]:
    # An encoder block has its three residual units first, a decoder block has them last.
    first, activation, resampling = (0, 3, "conv1") if half == "encoder" else (2, 0, "conv_t1")
    yield f"{activation}", "snake1"
    yield f"{activation + 1}", resampling
    for unit in range(3):
        for index, name in enumerate(("snake1", "conv1", "snake2", "conv2")):
            yield f"{first + unit}.block.{index}", f"res_unit{unit + 1}.{name}"


@torch.no_grad()
def _replace_snakes(model: nn.Module) -> None:
    """Give ``model``, in place, the snakes of this project, which make one new tensor instead of four."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Snake1d):
                snake = Snake(child.alpha.shape[1])
                snake.alpha.copy_(child.alpha)
                setattr(parent, name, snake)


def hop_length(config: DacConfig) -> int:
    """Return the samples per frame; what the published configurations say of it is that of another model."""
    return math.prod(config.downsampling_ratios)
