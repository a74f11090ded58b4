"""Networks that specs build: their sizes are the published ones, and they do what their switches say."""

import math
from typing import Any

import pytest
import torch
from published_codecs import narrow, num_parameters
from torch import Tensor, nn

from tokbench.codecs.checkpoints import fold_weight_norm
from tokbench.models.film import Film
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.models.neural_codec import NeuralCodec
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder
from tokbench.models.transformer import Transformer
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.codec import find_spec
from tokbench.specs.networks import Bottleneck, HifiGan, Seanet
from tokbench.specs.neural_codec import NeuralCodecSpec

DESIGNS = ("encodec", "soundstream", "dac", "speechtokenizer", "dm-codec", "mimi")


def codec(name: str, scale: str = "tiny") -> NeuralCodec:
    spec, _ = find_spec(name, scale)
    assert isinstance(spec, NeuralCodecSpec)
    return NeuralCodec(spec)


def on_no_device(name: str, changes: dict[str, Any]) -> NeuralCodec:
    """Return the codec at scale ``paper``, of which nothing is allocated."""
    with torch.device("meta"):
        return NeuralCodec(narrow(name, changes))


DAC_24KHZ = {"sample_rate_hz": 24000, "strides": [2, 4, 5, 8], "quantizer": {"num_codebooks": 32}, "settings": []}
DAC_16KHZ = {"sample_rate_hz": 16000, "strides": [2, 4, 5, 8], "quantizer": {"num_codebooks": 12}, "settings": []}
ENCODEC_48KHZ = {
    "encoder": {"norm": "time-group", "causal": False},
    "decoder": {"norm": "time-group", "causal": False},
}


def test_encodec_has_its_published_size() -> None:
    """As measured in the package encodec; the model of 48 kHz has a second channel of audio."""
    made = on_no_device("encodec", {})
    assert (num_parameters(made.encoder), num_parameters(made.decoder)) == (7_425_792, 7_426_018)
    stereo = {"network": Seanet(norm="time-group"), "dimension": 128, "num_channels": 2}
    with torch.device("meta"):
        assert num_parameters(SeanetEncoder(**stereo, strides=(2, 4, 5, 8))) == 7_428_336
        assert num_parameters(SeanetDecoder(**stereo, strides=(8, 5, 4, 2))) == 7_427_958


@pytest.mark.parametrize(
    ("changes", "millions"),
    [({}, 76.65), (DAC_24KHZ, 74.7), (DAC_16KHZ, 74.2), ({"decoder": {"num_filters": 64}}, 49.0)],
)
def test_dac_has_its_published_size(changes: dict[str, Any], millions: float) -> None:
    made = on_no_device("dac", changes)
    digits = len(str(millions).partition(".")[2])
    assert round(num_parameters(made) / 1e6, digits) == millions
    assert round(num_parameters(made.encoder) / 1e6, 1) == (22.3 if changes.get("strides") is None else 21.5)


def test_speechtokenizer_has_its_published_size() -> None:
    """103.68 million are these and the 0.79 of the layer that distillation compares with HuBERT."""
    for name in ("speechtokenizer", "dm-codec"):
        made = on_no_device(name, {})
        sizes = num_parameters(made.encoder), num_parameters(made.decoder), 1024 * 768 + 768
        assert [round(size / 1e6, 2) for size in (*sizes, sum(sizes))] == [67.71, 35.18, 0.79, 103.68]


@pytest.mark.parametrize(
    ("encoder", "decoder", "millions"),
    [(32, 32, 8.4), (16, 16, 2.4), (16, 32, 5.5), (8, 32, 4.8), (32, 16, 5.3), (32, 8, 4.4)],
)
def test_soundstream_has_the_sizes_of_table_1(encoder: int, decoder: int, millions: float) -> None:
    made = on_no_device("soundstream", {"encoder": {"num_filters": encoder}, "decoder": {"num_filters": decoder}})
    assert round((num_parameters(made.encoder) + num_parameters(made.decoder)) / 1e6, 1) == millions


def test_mimi_has_its_published_size() -> None:
    """As measured in transformers, where weight normalization is folded and codebooks are no parameters."""
    plain = {half: {"norm": "none"} for half in ("encoder", "decoder")}
    assert num_parameters(on_no_device("mimi", plain)) == 79_308_609


@pytest.mark.parametrize("name", DESIGNS)
def test_smaller_scales_are_as_small_as_they_should_be(name: str) -> None:
    with torch.device("meta"):
        sizes = {
            scale: sum(tensor.numel() for tensor in fold_weight_norm(codec(name, scale)).finished_state().values())
            for scale in ("tiny", "small")
        }
    assert sizes["tiny"] < 1_450_000
    assert 5_000_000 < sizes["small"] < 15_000_000


@pytest.mark.parametrize("name", DESIGNS)
def test_what_is_decoded_is_as_long_as_what_was_encoded(name: str) -> None:
    torch.manual_seed(0)
    made = codec(name)
    hop = made.spec.hop_length
    output = made.train()(torch.randn(2, 1, 4 * hop))
    assert output.samples.shape == (2, 1, 4 * hop)
    assert output.latents.shape == (2, made.spec.dimension, 4)
    codes = made.eval().encode(torch.randn(1, 1, 3 * hop + 1))
    assert codes.shape == (1, 8, 4)
    assert made.decode(codes).shape == (1, 1, 4 * hop)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_parameter_of_a_network_learns(name: str) -> None:
    torch.manual_seed(0)
    made = codec(name)
    made.quantizer.requires_grad_(requires_grad=False)
    made(torch.randn(1, 1, 3 * made.spec.hop_length), is_quantized=False).samples.square().mean().backward()
    for half in (made.encoder, made.decoder):
        assert [name for name, parameter in half.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["encodec", "soundstream", "mimi"])
@torch.inference_mode()
def test_a_causal_codec_does_not_look_ahead(name: str) -> None:
    """But for the first six frames of EnCodec, which are reflected."""
    torch.manual_seed(0)
    made = codec(name).double().eval()
    hop = made.spec.hop_length
    samples = torch.randn(1, 1, 10 * hop, dtype=torch.float64)
    changed = samples.clone()
    changed[..., 8 * hop + 1] += 1
    before, after = (made(values, is_quantized=False).samples for values in (samples, changed))
    assert torch.equal(before[..., : 8 * hop], after[..., : 8 * hop])
    assert not torch.equal(before[..., 8 * hop :], after[..., 8 * hop :])


BOTTLENECK = Bottleneck(num_layers=2, num_heads=2, feedforward_dimension=12, context=4, layer_scale=0.5)


def attended(layer: nn.Module, frames: Tensor, context: int) -> Tensor:
    """Return what the attention of ``layer`` makes of ``frames`` [F, D], frame by frame and head by head."""
    normalized = layer.attention_norm(frames)
    queries, keys, values = layer.inputs(normalized).chunk(3, dim=-1)
    width = frames.shape[1] // layer.num_heads
    outputs = torch.zeros_like(frames)
    for head in range(layer.num_heads):
        own = slice(head * width, (head + 1) * width)
        for frame in range(len(frames)):
            seen = range(max(0, frame - context + 1), frame + 1)
            scores = [float(turned(queries[frame, own], frame) @ turned(keys[key, own], key)) for key in seen]
            shares = torch.tensor([score / math.sqrt(width) for score in scores], dtype=frames.dtype).softmax(0)
            outputs[frame, own] = sum(share * values[key, own] for share, key in zip(shares, seen, strict=True))
    return layer.output(outputs)


def turned(vector: Tensor, position: int) -> Tensor:
    """Return ``vector`` [E] with each pair of features, as a complex number, turned by its angle."""
    half = len(vector) // 2
    pairs = torch.complex(vector[:half], vector[half:])
    angles = [position * 10000 ** (-2 * pair / len(vector)) for pair in range(half)]
    rotated = pairs * torch.tensor([complex(math.cos(angle), math.sin(angle)) for angle in angles])
    return torch.cat([rotated.real, rotated.imag])


@torch.inference_mode()
def test_attention_equals_its_definition() -> None:
    torch.manual_seed(0)
    transformer = Transformer(BOTTLENECK.model_copy(update={"num_layers": 1}), 8).double()
    frames = torch.randn(9, 8, dtype=torch.float64)
    layer = transformer.layers[0]
    expected = frames + layer.attention_scale * attended(layer, frames, BOTTLENECK.context)
    hidden = nn.functional.gelu(layer.widen(layer.feedforward_norm(expected)))
    expected = expected + layer.feedforward_scale * layer.narrow(hidden)
    # Cosines and sines are in single precision.
    torch.testing.assert_close(transformer(frames.T[None])[0].T, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("context", [1, 4, 50])
@torch.inference_mode()
def test_a_transformer_in_pieces_gives_what_it_gives_on_the_whole(context: int) -> None:
    torch.manual_seed(0)
    transformer = Transformer(BOTTLENECK.model_copy(update={"context": context}), 8)
    values = torch.randn(2, 8, 23)
    pieces, state = [], None
    for piece in values.split([3, 1, 11, 8], dim=-1):
        output, state = transformer.resume(piece, state)
        pieces.append(output)
    torch.testing.assert_close(torch.cat(pieces, dim=-1), transformer(values), atol=1e-5, rtol=0)


def test_a_transformer_looks_back_as_far_as_its_context() -> None:
    torch.manual_seed(0)
    transformer = Transformer(BOTTLENECK, 8)
    values = torch.randn(1, 8, 30, requires_grad=True)
    transformer(values)[..., 20].sum().backward()
    assert values.grad is not None
    seen = values.grad[0].abs().sum(dim=0).nonzero().flatten().tolist()
    assert seen == list(range(20 - 2 * (BOTTLENECK.context - 1), 21))


def test_denoising_is_learnt_per_example_on_the_side_that_is_asked_for() -> None:
    torch.manual_seed(0)
    for side in ("encoder", "decoder"):
        spec = narrow(
            "soundstream",
            {
                "denoising": side,
                "augmentation": {"target": "either"},
                "dimension": 8,
                "encoder": {"num_filters": 2},
                "decoder": {"num_filters": 2},
                "quantizer": {"num_codebooks": 2, "codebook_size": 4, "kmeans_init": False},
                "settings": [],
            },
        )
        made = NeuralCodec(spec).eval()
        samples = torch.randn(2, 1, 640)
        wanted = torch.tensor([False, True])
        torch.testing.assert_close(made(samples, is_denoised=wanted).samples, made(samples).samples)
        assert isinstance(made.film, Film)
        with torch.no_grad():
            made.film.shift[1] += 5
        told, untold = (made(samples, is_denoised=condition) for condition in (wanted, None))
        assert torch.equal(told.samples[0], untold.samples[0])
        assert not torch.allclose(told.samples[1], untold.samples[1])
        assert torch.equal(told.latents[1], untold.latents[1]) == (side == "decoder")
        made.is_denoising = True
        assert torch.equal(made(samples).samples[1], told.samples[1])


def test_weight_normalization_changes_no_result_and_folds_away() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ConvTranspose1d(3, 2, 4))
    values = torch.randn(1, 2, 9)
    expected = network(values)
    weight_normalized(network)
    assert [name for name, _ in network.named_parameters()].count("0.weight") == 0
    torch.testing.assert_close(network(values), expected)
    weight_normalized(network)  # once is enough
    torch.testing.assert_close(fold_weight_norm(network)(values), expected)
    assert sorted(network.state_dict()) == ["0.bias", "0.weight", "1.bias", "1.weight"]


def test_networks_begin_as_their_spec_says() -> None:
    torch.manual_seed(0)
    sizes = {"num_filters": 16, "num_lstm_layers": 0, "norm": "weight"}
    for init in ("default", "zero-bias", "truncated-normal"):
        encoder = SeanetEncoder(Seanet(**sizes, init=init), dimension=128, strides=(2,))
        last = encoder.model[-1].conv
        assert bool(last.bias.any()) == (init == "default")
        deviation = 0.02 if init == "truncated-normal" else (3 * 32 * 7) ** -0.5
        assert last.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_the_level_is_that_of_the_networks_alone() -> None:
    """Multiplied before and divided after: what is coded is louder, and nothing else."""
    torch.manual_seed(0)
    quiet = NeuralCodec(narrow("soundstream", {"level": 1.0})).eval()
    loud = NeuralCodec(narrow("soundstream", {"level": 16.0})).eval()
    loud.load_state_dict(quiet.state_dict())
    samples = 0.06 * torch.randn(1, 1, 6400)
    latents = loud.latents(samples)
    torch.testing.assert_close(latents, quiet.latents(16 * samples))
    torch.testing.assert_close(16 * loud.samples(latents), quiet.samples(latents))


def test_without_tanh_a_generator_leaves_its_bounds() -> None:
    torch.manual_seed(0)
    spec = {"kind": "hifigan", "num_filters": 2, "block_kernel_sizes": (3,), "block_dilations": ((1,),)}
    bounded, free = (
        HifiGanGenerator(HifiGan(**spec, final_activation=last), dimension=4, strides=(4, 2))
        for last in ("tanh", "none")
    )
    free.load_state_dict(bounded.state_dict())
    latents = 100 * torch.randn(1, 4, 10)
    torch.testing.assert_close(free(latents).tanh(), bounded(latents))
    assert free(latents).abs().max() > 1
