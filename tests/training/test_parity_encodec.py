"""EnCodec as it is trained here, against the package encodec with the same weights."""

import warnings
from typing import Any

import pytest
import torch
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer
from published_codecs import loaded, loud
from tiny.encodec import draw_codebooks
from torch import nn

NARROW = {
    "dimension": 16,
    "encoder": {"num_filters": 4},
    "quantizer": {
        "num_codebooks": 4,
        "codebook_size": 32,
        "dropout": 0.0,
        "dropout_choices": [],
        "dead_below": 0.0,
    },
    "decoder": {"num_filters": 4},
    "settings": [],
}
FRAME_RATE_HZ = 75


@pytest.fixture(scope="module")
def original() -> Any:
    torch.manual_seed(0)
    sizes = {"dimension": 16, "n_filters": 4, "causal": True, "norm": "weight_norm", "ratios": [8, 5, 4, 2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses the older weight_norm
        model = nn.ModuleDict({"encoder": SEANetEncoder(**sizes), "decoder": SEANetDecoder(**sizes)})
    model["quantizer"] = ResidualVectorQuantizer(dimension=16, n_q=4, bins=32, threshold_ema_dead_code=0)
    tables = [layer._codebook for layer in model["quantizer"].vq.layers]
    with torch.inference_mode():
        latents = model["encoder"](loud(8000))[0].T
    draw_codebooks([table.embed for table in tables], latents)
    for table in tables:
        table.inited.fill_(1)
        table.cluster_size.uniform_(1, 3)
        table.embed_avg.copy_(table.embed * table.cluster_size[:, None])
    return model


@pytest.mark.parametrize("norm", ["weight", "none"])
@pytest.mark.parametrize("num_samples", [6400, 6401])
@torch.inference_mode()
def test_latents_codes_and_audio_are_those_of_the_original(norm: str, num_samples: int, original: Any) -> None:
    halves = {half: {"num_filters": 4, "norm": norm} for half in ("encoder", "decoder")}
    codec = loaded("encodec", {**NARROW, **halves}, original.state_dict())
    samples = loud(num_samples)
    latents = original["encoder"](samples)
    codes = original["quantizer"].encode(latents, FRAME_RATE_HZ)
    torch.testing.assert_close(codec.encoder(samples), latents, atol=1e-5, rtol=0)
    assert torch.equal(codec.encode(samples), codes.transpose(0, 1))
    assert torch.equal(codec.encode(samples, 2), codes.transpose(0, 1)[:, :2])
    decoded = original["decoder"](original["quantizer"].decode(codes))
    torch.testing.assert_close(codec.decode(codes.transpose(0, 1)), decoded, atol=1e-5, rtol=0)


def test_a_step_of_training_is_that_of_the_original(original: Any) -> None:
    codec = loaded("encodec", NARROW, original.state_dict()).train()
    theirs = original.train()
    samples = loud(6400)
    output = codec(samples)
    result = theirs["quantizer"](theirs["encoder"](samples), FRAME_RATE_HZ)
    decoded = theirs["decoder"](result.quantized)
    torch.testing.assert_close(output.samples, decoded, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.quantized.losses["commitment"], result.penalty)
    for layer, other in zip(codec.quantizer.layers, theirs["quantizer"].vq.layers, strict=True):
        torch.testing.assert_close(layer.embed, other._codebook.embed, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(layer.counts, other._codebook.cluster_size)
    (output.samples.square().mean() + output.quantized.losses["commitment"]).backward()
    (decoded.square().mean() + result.penalty).backward()
    first, other = codec.encoder.model[0].conv, theirs["encoder"].model[0].conv.conv
    lengths, directions = first.parametrizations.weight.original0, first.parametrizations.weight.original1
    torch.testing.assert_close(lengths.grad, other.weight_g.grad, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(directions.grad, other.weight_v.grad, atol=1e-6, rtol=1e-3)
