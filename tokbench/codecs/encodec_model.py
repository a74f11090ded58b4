"""The network of EnCodec: loading it from either of its published formats, and its parts.

Axes: ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel
from transformers.models.encodec import modeling_encodec as layers

from tokbench.codecs.causal_layers import streamline
from tokbench.codecs.checkpoints import fold_weight_norm, fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.pieces import Memory
from tokbench.codecs.transformers_models import CONFIG_FILE, WEIGHTS_FILE, load_pretrained
from tokbench.errors import WeightsError

__all__ = ["embed", "load_encodec", "quantize", "split"]

PUBLISHED_FILES = "encodec_*.th"
"""What the publisher's own files are called: ``encodec_24khz-d7cc33bc.th``, ``encodec_48khz-7e698e3e.th``."""

PUBLISHED_MODELS: Mapping[int, Mapping[str, Any]] = {
    1: {"sampling_rate": 24000},
    2: {
        "sampling_rate": 48000,
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
    },
}
"""What a file of the publisher leaves out, by number of audio channels (``encodec/model.py``, release 0.1.1)."""

_RENAMED = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.(conv|convtr)\.\1\."), ".conv."),
    (re.compile(r"\.(conv|convtr)\.norm\."), ".norm."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)


def load_encodec(folder: Path, num_codebooks: int, *, is_chunked: bool) -> tuple[EncodecModel, int]:
    """Return the model that ``folder`` holds and the number of its parameters.

    Raises :class:`WeightsError` for files that are no such model, or one with fewer codebooks, or one that works
    on chunks where that is not expected, and the other way round.
    """
    published = sorted(folder.glob(PUBLISHED_FILES))
    if (folder / WEIGHTS_FILE).is_file() or not published:
        file = folder / CONFIG_FILE
        model = load_pretrained(EncodecModel, folder, fold=False)
        num_parameters = _num_parameters(model)
        fold_weight_norm(model)
    else:
        file = published[0]
        model, num_parameters = _load_published(file)
    config = model.config
    found = (config.chunk_length_s is not None and config.overlap is not None, config.normalize)
    if found != (is_chunked, is_chunked):
        described = (
            f"chunk_length_s {config.chunk_length_s}, overlap {config.overlap}, normalize {config.normalize}"
        )
        expected = "chunk_length_s, overlap and normalize" if is_chunked else "no chunk_length_s, normalize false"
        raise WeightsError(file, expected=expected, found=described)
    if num_codebooks > config.num_quantizers:
        expected = f"{num_codebooks} codebooks (num_quantizers)"
        raise WeightsError(file, expected=expected, found=f"{config.num_quantizers}")
    streamline(model)
    return model, num_parameters


def _num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _load_published(file: Path) -> tuple[EncodecModel, int]:
    tensors = {_renamed(name): tensor for name, tensor in read_tensors(file).items()}
    model = EncodecModel(_config_of(tensors, file))
    num_parameters = _num_parameters(model)
    return load_strictly(fold_weight_norm(model), fold_weight_norms(tensors), file), num_parameters


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _config_of(tensors: Mapping[str, Tensor], file: Path) -> EncodecConfig:
    """Return the published configuration, with the widths that ``tensors`` have."""
    needed = ["encoder.layers.0.conv.bias", "decoder.layers.0.conv.bias", "quantizer.layers.0.codebook.embed"]
    direction = [name for name in tensors if re.fullmatch(r"encoder\.layers\.0\.conv\.weight(_v)?", name)]
    if missing := [name for name in needed if name not in tensors] or (
        [] if direction else ["encoder.layers.0.conv.weight"]
    ):
        raise WeightsError(file, expected="the tensors of EnCodec", found=f"no {missing[0]}")
    codebook = tensors["quantizer.layers.0.codebook.embed"]
    num_channels = tensors[direction[0]].shape[1]
    if num_channels not in PUBLISHED_MODELS:
        raise WeightsError(file, expected="a model of one or two channels", found=f"{num_channels} channels")
    return EncodecConfig(
        audio_channels=num_channels,
        num_filters=len(tensors["encoder.layers.0.conv.bias"]),
        hidden_size=codebook.shape[1],
        codebook_size=codebook.shape[0],
        num_lstm_layers=sum(".lstm.bias_ih_" in name for name in tensors if name.startswith("encoder.")),
        **PUBLISHED_MODELS[num_channels],
    )


def quantize(model: EncodecModel, latents: Tensor, num_codebooks: int) -> Tensor:
    """Return int64 codes [K, F] of ``latents`` [1, D, F]."""
    residual, codes = latents, []
    for layer in _codebooks(model)[:num_codebooks]:
        codes.append(layer.encode(residual))
        residual = residual - layer.decode(codes[-1])
    return torch.cat(codes)


def embed(model: EncodecModel, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
    """Return the sum [1, D, F] of what the chosen ``codebooks`` hold for int64 ``codes`` [K, F]."""
    rows = list(zip(_codebooks(model), codes[:, None], strict=False))[codebooks]
    # Summed in turn, from the first, as the model does: another order would round otherwise.
    total: Tensor = reduce(torch.add, [layer.decode(indices) for layer, indices in rows])
    return total


def _codebooks(model: EncodecModel) -> list[Any]:
    return list(model.quantizer.layers)


def split(network: nn.Module) -> tuple[nn.Sequential, Memory, nn.Sequential]:
    """Return the convolutions before the LSTM of an encoder or decoder, the LSTM, and those after it."""
    parts = list(network.layers)  # type: ignore[arg-type]
    at = next(index for index, layer in enumerate(parts) if isinstance(layer, layers.EncodecLSTM))
    lstm = parts[at].lstm

    def remember(values: Tensor, state: Any) -> tuple[Tensor, Any]:
        steps = values.permute(2, 0, 1)
        outputs, state = lstm(steps, state)
        return (outputs + steps).permute(1, 2, 0), state

    return nn.Sequential(*parts[:at]), remember, nn.Sequential(*parts[at + 1 :])
