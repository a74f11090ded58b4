"""Loading a speech encoder from the folder of its official release, every tensor accounted for.

A folder holds ``config.json``, ``preprocessor_config.json`` and the tensors, as ``model.safetensors`` or, as most
of these models were released, as ``pytorch_model.bin``. Releases of a whole pre-training model or of a fine-tuned
one hold heads as well, under names that are listed here; those are left out.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import HubertModel, PreTrainedModel, Wav2Vec2BertModel, Wav2Vec2Model, WavLMModel
from transformers.initialization import no_init_weights

from tokbench.codecs.checkpoints import first_line, fold_weight_norm, load_strictly, read_tensors, write_halves
from tokbench.codecs.transformers_models import CONFIG_FILE, load_pretrained_config
from tokbench.errors import WeightsError
from tokbench.models.ssl import MelEncoder, WaveEncoder
from tokbench.paths import write_bytes

__all__ = ["ENCODER_FILES", "PREPROCESSOR_FILE", "Layer", "load_speech_encoder", "save_speech_encoder"]

Layer = int | Literal["mean"]
"""Number of a layer, 0 for what enters the first block, or the mean over all of them, which includes that."""

PREPROCESSOR_FILE = "preprocessor_config.json"
_MODEL_FILE = "model.safetensors"
ENCODER_FILES = (CONFIG_FILE, PREPROCESSOR_FILE, _MODEL_FILE)
"""What :func:`save_speech_encoder` writes."""

_FILES = (_MODEL_FILE, "pytorch_model.bin")
_MODELS: dict[str, type[PreTrainedModel]] = {
    "hubert": HubertModel,
    "wavlm": WavLMModel,
    "wav2vec2": Wav2Vec2Model,
    "wav2vec2-bert": Wav2Vec2BertModel,
}
"""By ``model_type`` of ``config.json``."""
_POSITIONS = "encoder.pos_conv_embed.conv"
"""The weight-normalised convolution of the wav2vec 2.0 family."""
_HEADS = ("lm_head.", "quantizer.", "project_q.", "project_hid.", "projector.", "classifier.")
"""Beginnings of names of what only pre-training or a task needs."""
_MASK = "masked_spec_embed"
"""Stands for masked frames in training; nothing is masked here, and some releases leave it out."""


def load_speech_encoder(
    folder: Path, *, layer: Layer, normalize: bool | None = None, margin: int = 0
) -> tuple[WaveEncoder | MelEncoder, int]:
    """Return the encoder up to ``layer`` that ``folder`` holds, and the sample rate of its audio in Hz.

    ``normalize`` says whether a waveform is brought to zero mean and unit variance, None that the folder's
    ``preprocessor_config.json`` says it; ``margin`` is how many zeros it gets at either end. Raises
    :class:`WeightsError` for files that are no such model.
    """
    cls = _MODELS[_model_type(folder)]
    config = load_pretrained_config(cls, folder)
    depth = config.num_hidden_layers if layer == "mean" else layer
    if not 0 <= depth <= config.num_hidden_layers:
        expected = f"at least {layer} layers (num_hidden_layers)"
        raise WeightsError(folder / CONFIG_FILE, expected=expected, found=f"{config.num_hidden_layers}")
    preprocessor = _preprocessor(folder)
    model = _filled(cls, config, folder, depth)
    is_mean = layer == "mean"
    rate_hz = int(preprocessor["sampling_rate"])
    if cls is Wav2Vec2BertModel:
        fields = {ours: int(preprocessor[theirs]) for ours, theirs in _MEL_FIELDS.items() if theirs in preprocessor}
        return MelEncoder(model, sample_rate_hz=rate_hz, is_mean=is_mean, **fields).eval(), rate_hz
    chosen = bool(preprocessor["do_normalize"]) if normalize is None else normalize
    return WaveEncoder(model, normalize=chosen, margin=margin, is_mean=is_mean).eval(), rate_hz


_MEL_FIELDS = {"num_mels": "num_mel_bins", "stride": "stride"}


def save_speech_encoder(encoder: WaveEncoder | MelEncoder, folder: Path, *, sample_rate_hz: int) -> None:
    """Write into ``folder`` what :func:`load_speech_encoder` reads, and transformers too, in half precision."""
    model: Any = encoder.model
    config = {**model.config.to_diff_dict(), "architectures": [type(model).__name__]}
    preprocessor: dict[str, Any] = {"sampling_rate": sample_rate_hz, "padding_value": 0.0}
    if isinstance(encoder, MelEncoder):
        preprocessor |= {
            "feature_extractor_type": "SeamlessM4TFeatureExtractor",
            "feature_size": encoder.num_mels,
            "num_mel_bins": encoder.num_mels,
            "stride": encoder.stride,
        }
    else:
        preprocessor |= {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "do_normalize": encoder.normalize,
        }
    for file, values in ((CONFIG_FILE, config), (PREPROCESSOR_FILE, preprocessor)):
        write_bytes(folder / file, (json.dumps(values, indent=2, sort_keys=True) + "\n").encode())
    write_halves(folder / _MODEL_FILE, _stated(model))


def _stated(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of ``model`` as transformers has them, with what :func:`load_speech_encoder` changes."""
    tensors = model.state_dict()
    if (folded := tensors.pop(f"{_POSITIONS}.weight", None)) is not None:
        # |w| w / |w|, the norm being that of the filters at each of their taps.
        tensors[f"{_POSITIONS}.parametrizations.weight.original0"] = folded.norm(dim=(0, 1), keepdim=True)
        tensors[f"{_POSITIONS}.parametrizations.weight.original1"] = folded
    config: Any = model.config
    if getattr(config, "do_stable_layer_norm", False):
        # The norm after the last block belongs to no layer: whatever it was, it is left out again when it is read.
        width = config.hidden_size
        tensors |= {"encoder.layer_norm.weight": torch.ones(width), "encoder.layer_norm.bias": torch.zeros(width)}
    return tensors


def _model_type(folder: Path) -> str:
    file = folder / CONFIG_FILE
    expected = f"the configuration of a model of type {' or '.join(_MODELS)}"
    found = _json(file, expected).get("model_type")
    if found not in _MODELS:
        raise WeightsError(file, expected=expected, found=f"one of type {found!r}")
    return str(found)


def _preprocessor(folder: Path) -> dict[str, Any]:
    file = folder / PREPROCESSOR_FILE
    expected = "the configuration of a feature extractor with sampling_rate and do_normalize"
    values = {"do_normalize": False, **_json(file, expected)}
    if not isinstance(values.get("sampling_rate"), int):
        raise WeightsError(file, expected=expected, found=f"sampling_rate {values.get('sampling_rate')!r}")
    return values


def _json(file: Path, expected: str) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(file, expected=expected, found=first_line(error)) from error
    if not isinstance(values, dict):
        raise WeightsError(file, expected=expected, found=f"a {type(values).__name__}")
    return values


def _filled(cls: type[PreTrainedModel], config: Any, folder: Path, layer: int) -> nn.Module:
    """Return the model as far as ``layer``: blocks that come after it are neither built nor looked at."""
    file = next((folder / name for name in _FILES if (folder / name).is_file()), folder / _FILES[0])
    unused = tuple(f"encoder.layers.{index}." for index in range(layer, config.num_hidden_layers))
    config.num_hidden_layers = layer
    make: Any = cls  # without annotations in transformers
    with no_init_weights():
        model: PreTrainedModel = make(config)
    tensors = _renamed(read_tensors(file), f"{cls.base_model_prefix}.")
    used = {name: tensor.float() for name, tensor in tensors.items() if not name.startswith(unused)}
    wanted = model.state_dict()
    if _MASK in wanted:
        used.setdefault(_MASK, wanted[_MASK])
    else:
        used.pop(_MASK, None)
    return fold_weight_norm(load_strictly(model, used, file))


def _renamed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of the encoder by the names that it has in transformers today."""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if not name.startswith(_HEADS)}
    renamed = {}
    for name, tensor in own.items():
        # Before PyTorch's parametrizations, a weight-normalised layer called its factors so.
        stem, _, last = name.rpartition(".")
        index = {"weight_g": 0, "weight_v": 1}.get(last)
        renamed[name if index is None else f"{stem}.parametrizations.weight.original{index}"] = tensor
    return renamed
