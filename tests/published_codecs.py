"""Narrow codecs from the shipped specs, with the random weights of the packages that published them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.models.neural_codec import NeuralCodec
from tokbench.models.published_names import load_published
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec

__all__ = ["loaded", "loud", "narrow", "num_parameters"]


def narrow(name: str, changes: Mapping[str, Any]) -> NeuralCodecSpec:
    """Return the shipped spec ``name`` at scale ``paper`` with ``changes``."""
    spec, _ = find_spec(name, changes=changes)
    assert isinstance(spec, NeuralCodecSpec)
    return spec


def loaded(name: str, changes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NeuralCodec:
    """Return the codec of that spec with published ``tensors``, in their precision and in evaluation mode."""
    codec = NeuralCodec(narrow(name, changes)).to(next(iter(tensors.values())).dtype)
    load_published(codec, tensors, name)
    return codec.eval()


def loud(num_samples: int, *, batch_size: int = 2) -> Tensor:
    """Return [B, 1, T], noise that grows from a whisper to full scale."""
    return torch.logspace(-2, 0, num_samples) * torch.rand(batch_size, 1, num_samples).sub(0.5)


def num_parameters(module: nn.Module) -> int:
    """Return how many parameters ``module`` has."""
    return sum(parameter.numel() for parameter in module.parameters())
