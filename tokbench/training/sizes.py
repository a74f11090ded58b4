"""How many parameters what a spec declares has, counted without making any."""

import torch
from torch import nn

from tokbench.models.neural_codec import NeuralCodec
from tokbench.models.speech_encoder import TrainableSpeechEncoder
from tokbench.models.unit_vocoder import UnitVocoder
from tokbench.specs.codec import CodecSpec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.spectrogram_kmeans import SpectrogramKmeansSpec
from tokbench.specs.speech_encoder import SpeechEncoderSpec
from tokbench.specs.text_encoder import TextEncoderSpec
from tokbench.specs.unit_vocoder import UnitVocoderSpec
from tokbench.training.text_encoder import TextEncoderLearner

__all__ = ["num_parameters"]

NUM_UNITS = 100
"""Assumed of a tokenizer of units that is found only when training begins: each is a vector of the network."""


def num_parameters(spec: CodecSpec) -> int | None:
    """Return the parameters of the finished model, without discriminators and teachers.

    None where they depend on another model, which is chosen when training begins.
    """
    if isinstance(spec, SpectrogramKmeansSpec):
        return spec.num_codebooks * spec.codebook_size * spec.log_mel.num_mels
    # A mel filterbank is looked at while it is made: that network has to be made, and is small.
    with torch.device("cpu" if isinstance(spec, UnitVocoderSpec) else "meta"):
        network = _network(spec)
    return None if network is None else sum(parameter.numel() for parameter in network.parameters())


def _network(spec: CodecSpec) -> nn.Module | None:
    match spec:
        case NeuralCodecSpec():
            return NeuralCodec(_with_units(spec), is_finished=True)
        case UnitVocoderSpec():
            return UnitVocoder(spec.model_copy(update={"num_units": spec.num_units or NUM_UNITS}))
        case SpeechEncoderSpec():
            return TrainableSpeechEncoder(spec)
        case TextEncoderSpec():
            return TextEncoderLearner(spec).model
        case _:
            return None


def _with_units(spec: NeuralCodecSpec) -> NeuralCodecSpec:
    if spec.semantic is None:
        return spec
    known = {"num_units": spec.semantic.num_units or NUM_UNITS}
    return spec.model_copy(update={"semantic": spec.semantic.model_copy(update=known)})
