"""AudioDec, HiFi-Codec and FunCodec while they train, against what their authors' code made of it.

Every number is pinned from the published classes, in training mode, with the same tensors, for the same signal: at
the commits that the specs name, and with HiFi-Codec's fixed sizes replaced by those below.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tiny.formula import filled, signal

from tokbench.models.neural_codec import NeuralCodec
from tokbench.specs.codec import find_spec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.scales import overlaid

QUANTIZER = {"num_codebooks": 3, "codebook_size": 24, "dropout": 0.0, "dropout_choices": [], "kmeans_init": False}
SMALL = {"encoder": {"num_filters": 4}, "decoder": {"num_filters": 4}, "dimension": 16, "settings": []}
CASES: Mapping[str, Mapping[str, Any]] = {
    "audiodec": {**SMALL, "quantizer": QUANTIZER, "vocoder": None},
    "hificodec": {
        "dimension": 128,
        "quantizer": {"codebook_size": 16},
        "encoder": {"num_filters": 8},
        "decoder": {"num_filters": 2},
    },
    "funcodec": {**SMALL, "quantizer": {**QUANTIZER, "dead_below": 0.0}},
}
NUM_SAMPLES = {"audiodec": 1500, "hificodec": 1600, "funcodec": 1600}


def formed(name: str) -> NeuralCodec:
    """Return the codec with tensors by formula, and codebooks as if each code had been used once."""
    spec = find_spec(name)[0].model_dump(exclude_none=True)
    codec = NeuralCodec(NeuralCodecSpec.model_validate(overlaid(spec, CASES[name])))
    tensors = codec.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items() if tensor.is_floating_point()}
    made = filled(shapes, 0.3)
    for key in made:
        if "parametrizations" in key and key.endswith("original0"):
            made[key] = made[key].abs() + 0.5
        if key.endswith("counts"):
            made[key] = torch.ones_like(made[key])
            if (sums := key.replace("counts", "sums")) in made:
                made[sums] = made[key.replace("counts", "embed")].clone()
    codec.load_state_dict(tensors | made)
    return codec.train()


def measured(name: str, codec: NeuralCodec) -> dict[str, list[float]]:
    """Return what is compared: of a forward pass, of the way back, and of the codebooks after them."""
    samples = signal(NUM_SAMPLES[name])[None, None]
    output = codec(samples)
    assert output.quantized is not None
    weights = {"commitment": codec.spec.losses.commitment, "codebook": codec.spec.losses.codebook}
    weighted = torch.stack([weights[key] * loss for key, loss in output.quantized.losses.items()]).sum()
    (output.samples.square().mean() + weighted).backward()
    embed = codec.quantizer.state_dict()["layers.1.embed"]
    return {
        "latents": output.latents[0, :, 1].tolist()[:3],
        "samples": output.samples[0, 0, 700:703].tolist(),
        "weighted losses": [float(weighted.detach())],
        "gradients": [_norm(codec.encoder), _norm(codec.decoder)],
        "codes": embed.norm(dim=1).tolist()[:3],
    }


def _norm(network: torch.nn.Module) -> float:
    gradients = [parameter.grad.norm() for parameter in network.parameters() if parameter.grad is not None]
    return float(torch.stack(gradients).norm())


PUBLISHED: Mapping[str, Mapping[str, list[float]]] = {
    "audiodec": {
        "latents": [0.0947929, -0.0988621, -0.28644],
        "samples": [0.139836, 0.0897136, -1.27585],
        "gradients": [5.95686, 10.8638],
        "codes": [0.817716, 1.33072, 1.53659],
        "weighted losses": [0.548328],
    },
    "hificodec": {
        "latents": [0.45506, 0.252621, 0.272936],
        "samples": [-0.19513, 0.237662, 0.491526],
        "gradients": [0.852466, 1.02875],
        "codes": [2.63632, 2.12236, 2.5641],
        "weighted losses": [1.64755],
    },
    "funcodec": {
        "latents": [1.54115, 0.48724, -0.434673],
        "samples": [-0.00111091, 0.0772685, 0.124275],
        "gradients": [1.03765, 0.0449025],
        "codes": [0.817717, 1.44583, 1.53659],
        "weighted losses": [0.765914],
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_the_published_code(name: str) -> None:
    found = measured(name, formed(name))
    for key, expected in PUBLISHED[name].items():
        assert found[key] == pytest.approx(expected, rel=1e-3, abs=1e-5), key
