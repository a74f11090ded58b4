"""Mimi as it is trained here, against transformers with the same weights."""

from typing import Any

import pytest
import torch
from published_codecs import loaded, loud
from tiny.mimi import CONFIG, model
from transformers import MimiConfig

CONTEXT = 7
NARROW = {
    "dimension": 16,
    "encoder": {"num_filters": 2},
    "bottleneck": {"num_layers": 2, "num_heads": 2, "feedforward_dimension": 24, "context": CONTEXT},
    "quantizer": {"code_dimension": 8},
    "decoder": {"num_filters": 2},
}


@pytest.fixture(scope="module")
def original() -> Any:
    config = {**CONFIG, "num_hidden_layers": 2, "intermediate_size": 24, "sliding_window": CONTEXT}
    return model(MimiConfig(**config))


def assert_nearest(quantizer: Any, latents: torch.Tensor, codes: torch.Tensor) -> None:
    """Assert that no vector is nearer to what is left of ``latents`` [B, D, F] than that of ``codes`` [B, K, F].

    But for rounding: of two vectors as far away, each processor takes another, and with it other codes after it.
    """
    left = list(quantizer._chained(latents))
    for index, coder in enumerate(quantizer._coders()):
        chain = quantizer._chain_of(index)
        chosen, nearest = coder.lookup(codes[:, index]), coder.lookup(coder.nearest(left[chain]))
        distances = [(left[chain] - vectors).norm(dim=-1) for vectors in (chosen, nearest)]
        torch.testing.assert_close(*distances, atol=1e-6, rtol=1e-5)
        left[chain] = left[chain] - chosen


@pytest.mark.parametrize("norm", ["weight", "none"])
@pytest.mark.parametrize("num_samples", [1920 * 12, 1920 * 12 + 1])
@torch.inference_mode()
def test_latents_codes_and_audio_are_those_of_the_original(norm: str, num_samples: int, original: Any) -> None:
    halves = {half: {"num_filters": 2, "norm": norm} for half in ("encoder", "decoder")}
    codec = loaded("mimi", {**NARROW, **halves}, original.state_dict())
    samples = loud(num_samples)
    latents = original.encoder(samples).latents
    codes = original.encode(samples).audio_codes
    torch.testing.assert_close(codec.encoder(samples), latents, atol=1e-5, rtol=1e-5)
    assert_nearest(codec.quantizer, latents, codes)
    found = codec.encode(samples)
    assert (found == codes).all(dim=1).float().mean() > 0.9
    assert torch.equal(codec.encode(samples, 5), found[:, :5])
    torch.testing.assert_close(codec.decode(codes), original.decode(codes).audio_values, atol=1e-5, rtol=0)
