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
    # A residual that is as far from two vectors goes to one of them by rounding, as the processor has it, and with
    # it all later codes of its frame.
    found = codec.encode(samples)
    assert (found == codes).all(dim=1).float().mean() > 0.9
    assert torch.equal(codec.encode(samples, 5), found[:, :5])
    torch.testing.assert_close(codec.decode(codes), original.decode(codes).audio_values, atol=1e-5, rtol=0)
