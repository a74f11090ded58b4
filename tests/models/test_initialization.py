"""First weights that keep signals as large as they are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tokbench.models.causal import CausalConv1d, CausalConvTranspose1d
from tokbench.models.convolutions import PaddedConv1d, Style, TrimmedConvTranspose1d
from tokbench.models.initialization import keep_variance
from tokbench.models.neural_codec import NeuralCodec
from tokbench.models.quantization.codebooks import ProjectedCodebook
from tokbench.models.quantization.residual import ResidualVq
from tokbench.models.seanet import ResidualUnit
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.codec import find_spec
from tokbench.specs.networks import Seanet
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.quantizers import Rvq


def codec(name: str) -> NeuralCodec:
    spec, _ = find_spec(name, "tiny")
    assert isinstance(spec, NeuralCodecSpec)
    torch.manual_seed(0)
    return NeuralCodec(spec)


def loudness_out(network: NeuralCodec) -> float:
    """Return how much what goes in, as loud as speech, makes of what comes out, in parts of it."""
    generator = torch.Generator().manual_seed(1)
    samples = 0.05 * torch.randn(1, 1, 16000, generator=generator)
    with torch.no_grad():
        silence, heard = (network.decoder(network.encoder(each)) for each in (0 * samples, samples))
    return float((heard - silence).std() / samples.std())


@pytest.mark.parametrize("name", ["encodec", "soundstream", "dac", "speechtokenizer", "audiodec", "mimi"])
def test_a_signal_comes_out_about_as_large_as_it_went_in(name: str) -> None:
    network = codec(name)
    as_published = loudness_out(network)
    keep_variance(network)
    assert 0.7 < loudness_out(network) < 1.4
    assert as_published < 0.1


def test_where_layers_are_normalized_nothing_vanishes() -> None:
    network = codec("hificodec")
    keep_variance(network)
    assert 0.5 < loudness_out(network) < 20


LAYERS = {
    "strided": lambda: PaddedConv1d(4, 6, 8, stride=4),
    "causal": lambda: PaddedConv1d(4, 6, 8, stride=4, style=Style(causal=True)),
    "of one rate": lambda: PaddedConv1d(6, 6, 7, dilation=3),
    "transposed": lambda: TrimmedConvTranspose1d(8, 4, 8, stride=4),
    "transposed, causal": lambda: TrimmedConvTranspose1d(8, 4, 8, stride=4, style=Style(causal=True)),
    "of the past": lambda: CausalConv1d(4, 6, 7, dilation=2),
    "transposed, of the past": lambda: CausalConvTranspose1d(8, 4, stride=4),
    "plain": lambda: nn.Conv1d(6, 6, 3, padding=1),
    "plain, transposed": lambda: nn.ConvTranspose1d(8, 4, 8, 4, 2),
    "in groups": lambda: nn.Conv1d(8, 8, 5, padding=2, groups=2),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_step_stays_where_it_is_and_no_direction_is_lost(layer: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = layer()
    keep_variance(network)
    (conv,) = (part for part in network.modules() if hasattr(part, "weight"))
    is_transposed = isinstance(conv, nn.ConvTranspose1d)
    num_inputs, stride = conv.in_channels, conv.stride[0]
    block, own = (1, stride) if is_transposed else (stride, 1)
    # One block of input at a time, each of its numbers alone: what comes out in its own place is an orthogonal map.
    values = torch.zeros(num_inputs * block, num_inputs, 20 * block)
    values[:, :, 10 * block : 11 * block] = torch.eye(num_inputs * block).view(-1, num_inputs, block)
    with torch.no_grad():
        out = network(values)
    assert out.shape[-1] == 20 * own
    in_place = out[:, :, 10 * own : 11 * own].flatten(1)
    assert float(in_place.square().sum() / out.square().sum()) > 0.95
    strengths = torch.linalg.svdvals(in_place)
    assert float(strengths.max() / strengths.min()) < 1.3


def test_a_residual_unit_begins_near_the_identity() -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(16, dilation=1, network=Seanet())
    keep_variance(unit)
    values = torch.randn(1, 16, 1000)
    with torch.no_grad():
        change = unit(values) - values
    assert 0 < change.std() < 0.5


@pytest.mark.parametrize("name", ["encodec", "dac", "hificodec", "audiodec"])
def test_a_click_stays_where_it_is(name: str) -> None:
    network = codec(name)

    def energy_in_place() -> float:
        samples = torch.zeros(1, 1, 320 * 40)
        samples[..., 320 * 20 + 160] = 1.0
        with torch.no_grad():
            silence, heard = (network.decoder(network.encoder(each))[0, 0] for each in (0 * samples, samples))
        energy = (heard - silence).square()
        return float(energy[320 * 18 : 320 * 25].sum() / energy.sum())

    as_published = energy_in_place()
    keep_variance(network)
    assert energy_in_place() > max(0.8, as_published)


def test_normalized_weights_begin_alike() -> None:
    def first(*, is_normalized: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ConvTranspose1d(8, 4, 4, 2))
        if is_normalized:
            weight_normalized(layers)
        torch.manual_seed(1)
        keep_variance(layers)
        weight: torch.Tensor = layers[0].weight
        return weight

    torch.testing.assert_close(first(is_normalized=True), first(is_normalized=False))
    assert float(first(is_normalized=True).detach().square().sum()) == pytest.approx(8, rel=0.2)


@pytest.mark.parametrize(
    ("quantizer", "num_parts"),
    [
        ({"projection": "per-codebook", "code_dimension": 4, "straight_through": "first-layer"}, 4),
        ({"projection": "per-codebook", "code_dimension": 4, "normalized": True}, 4),
        ({"projection": "shared", "code_dimension": 8, "num_split": 1}, 2),
    ],
    ids=["per-codebook", "by direction", "shared"],
)
def test_projections_begin_as_parts_of_the_latents(quantizer: dict[str, Any], num_parts: int) -> None:
    """As many parts as there are features add up to the latents, and each is what it is a part of."""
    torch.manual_seed(0)
    network = ResidualVq(Rvq(num_codebooks=4, codebook_size=8, **quantizer), 16)
    keep_variance(network)
    layers = list(network.layers)
    pairs = [(layer.project_in, layer.project_out) for layer in layers if isinstance(layer, ProjectedCodebook)]
    pairs = pairs or list(zip(network.project_in, network.project_out, strict=True))
    assert len(pairs) == num_parts
    vectors = torch.randn(5, 16)
    parts = [outwards(inwards(vectors)) for inwards, outwards in pairs]
    torch.testing.assert_close(torch.stack(parts).sum(0), vectors)
    torch.testing.assert_close(pairs[0][1](pairs[0][0](parts[0])), parts[0])


def test_vectors_of_all_lengths_have_directions_of_their_own() -> None:
    """Codes that are found by direction tell loud frames from soft ones, which they could not from the origin."""
    torch.manual_seed(0)
    network = ResidualVq(
        Rvq(num_codebooks=1, codebook_size=8, projection="per-codebook", normalized=True, code_dimension=4), 16
    )
    keep_variance(network)
    (layer,) = network.layers
    assert isinstance(layer, ProjectedCodebook)
    soft = 0.1 * torch.randn(50, 16)
    with torch.no_grad():
        directions = [nn.functional.normalize(layer.project_in(vectors)) for vectors in (soft, 10 * soft)]
    assert float((directions[0] - directions[1]).norm(dim=1).min()) > 0.1
