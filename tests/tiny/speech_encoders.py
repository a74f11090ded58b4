"""Tiny speech encoders in the official formats: narrow, with the published strides, as deep as is asked for."""

import json
from pathlib import Path

import torch
from torch import nn
from transformers import (
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from tokbench.codecs.card import WeightsSource

__all__ = ["NUM_FEATURES", "encoder", "save"]

NUM_FEATURES = 16

_DEEP = 8
_BLOCKS = {"hidden_size": NUM_FEATURES, "num_attention_heads": 2, "intermediate_size": 16}
_WAVES = {
    **_BLOCKS,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 7,
}
_STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
_WAVE_FILE = {"do_normalize": True, "feature_size": 1, "padding_value": 0.0, "sampling_rate": 16000}
_MEL_FILE = {"feature_size": 80, "num_mel_bins": 80, "padding_value": 1, "sampling_rate": 16000, "stride": 2}


def encoder(folder: str, num_layers: int, seed: int = 0) -> PreTrainedModel:
    """Return a random model of the kind that is released in a folder of this name."""
    torch.manual_seed(seed)
    model = _fresh(folder, num_layers).eval()
    with torch.no_grad():
        # As they are drawn, blocks hardly change what passes through them: every layer would be the same.
        for parameter in model.encoder.layers.parameters():
            parameter.mul_(10 if parameter.ndim > 1 else 1)
    return model


def _fresh(folder: str, num_layers: int) -> PreTrainedModel:
    if "w2v-bert" in folder:
        return Wav2Vec2BertModel(Wav2Vec2BertConfig(**_BLOCKS, num_hidden_layers=num_layers))
    waves = {**_WAVES, "conv_dim": [8] * 7, "num_hidden_layers": num_layers}
    if "25hz" in folder:
        strides, kernels = [5, 2, 2, 2, 2, 2, 2, 2], [10, 3, 3, 3, 3, 2, 2, 2]
        waves |= {"conv_dim": [8] * 8, "conv_stride": strides, "conv_kernel": kernels, "num_feat_extract_layers": 8}
    if ("large" in folder and folder != "wav2vec2-large") or "xls-r" in folder:
        waves |= _STABLE
    if "wavlm" in folder:
        return WavLMModel(WavLMConfig(**waves))
    if "wav2vec2" in folder:
        return Wav2Vec2Model(Wav2Vec2Config(**waves))
    return HubertModel(HubertConfig(**waves))


def save(source: WeightsSource, folder: Path, *, num_layers: int) -> PreTrainedModel:
    """Save a model as ``source`` says, below ``folder``, and return it."""
    model = encoder(source.folder, num_layers)
    place = folder / source.folder
    model.save_pretrained(place)
    preprocessor = _MEL_FILE if isinstance(model, Wav2Vec2BertModel) else _WAVE_FILE
    (place / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    # Many small tensors are read slowly from the older format, so deep models are saved in the newer one.
    if "pytorch_model.bin" in source.files and num_layers <= _DEEP:
        (place / "model.safetensors").unlink()
        torch.save(released(model), place / "pytorch_model.bin")
    return model


def released(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return tensors by the names of 2021: weight normalisation as it was, in a model with a head for training."""
    prefix = "wav2vec2." if isinstance(model, Wav2Vec2Model) else ""
    tensors = {}
    for name, tensor in model.state_dict().items():
        old = name.replace("parametrizations.weight.original0", "weight_g")
        tensors[prefix + old.replace("parametrizations.weight.original1", "weight_v")] = tensor
    if prefix:
        head = nn.Linear(NUM_FEATURES, 4)
        tensors |= {f"project_hid.{name}": tensor for name, tensor in head.state_dict().items()}
    return tensors
