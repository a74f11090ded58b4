"""The networks of every spec give in pieces what they give on the whole."""

import pytest
import torch
from torch import Tensor, nn

from tokbench.codecs.checkpoints import fold_weight_norm
from tokbench.codecs.network_pieces import PiecewiseDecoder, PiecewiseEncoder
from tokbench.models.networks import build_vocoder
from tokbench.models.neural_codec import NeuralCodec
from tokbench.specs.codec import find_spec, list_specs
from tokbench.specs.neural_codec import NeuralCodecSpec

NUM_FRAMES = 70


def spec_of(name: str) -> NeuralCodecSpec | None:
    spec, _ = find_spec(name, "tiny")
    return spec if isinstance(spec, NeuralCodecSpec) else None


SPECS = {name: spec for name in list_specs() if (spec := spec_of(name)) is not None and spec.semantic is None}


def codec_of(name: str) -> NeuralCodec:
    torch.manual_seed(0)
    return fold_weight_norm(NeuralCodec(SPECS[name]).eval())


def pieces_of(codec: NeuralCodec) -> tuple[nn.Module, nn.Module]:
    hop_length = codec.spec.hop_length
    encoder = PiecewiseEncoder(codec.encoder, hop_length=hop_length, piece_frames=lambda: 5)
    return encoder, PiecewiseDecoder(codec.decoder, hop_length=hop_length, piece_frames=lambda: 5)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert float((actual - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("name", SPECS)
@torch.inference_mode()
def test_pieces_give_what_the_whole_gives(name: str) -> None:
    codec = codec_of(name)
    encoder, decoder = pieces_of(codec)
    for missing in (0, codec.spec.hop_length - 1):
        samples = 0.1 * torch.randn(1, 1, NUM_FRAMES * codec.spec.hop_length - missing)
        latents = codec.encoder(samples)
        assert latents.shape[-1] == NUM_FRAMES
        assert_same(encoder(samples), latents)
    latents = torch.randn_like(latents)
    assert_same(decoder(latents), codec.decoder(latents))


@torch.inference_mode()
def test_a_vocoder_in_the_decoders_place_does_too() -> None:
    spec = next(spec for spec in SPECS.values() if spec.vocoder is not None)
    assert spec.vocoder is not None
    torch.manual_seed(0)
    vocoder = fold_weight_norm(build_vocoder(spec, spec.vocoder).eval())
    vocoder.mean.normal_()
    latents = torch.randn(1, spec.dimension, NUM_FRAMES)
    pieces = PiecewiseDecoder(vocoder, hop_length=spec.hop_length, piece_frames=lambda: 5)
    assert_same(pieces(latents), vocoder(latents))


@torch.inference_mode()
def test_memory_is_that_of_a_piece() -> None:
    """The widest that any layer sees is no longer than a piece and its surroundings."""
    codec = codec_of("encodec")
    encoder, _ = pieces_of(codec)
    longest = 0

    def watch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal longest
        longest = max(longest, inputs[0].shape[-1])

    convolution = next(layer for layer in codec.encoder.modules() if isinstance(layer, nn.Conv1d))
    convolution.register_forward_pre_hook(watch)
    encoder(torch.zeros(1, 1, 400 * codec.spec.hop_length))
    assert 0 < longest < 30 * codec.spec.hop_length
