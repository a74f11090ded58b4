"""A SEANet in pieces gives what it gives on the whole, and looks as far as its gradients show."""

import pytest
import torch
from torch import Tensor

from tokbench.codecs.seanet_pieces import _reach, decode_in_pieces, decoder_reach, encode_in_pieces, encoder_reach
from tokbench.models.convolutions import PaddedConv1d, Style
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder
from tokbench.specs.networks import Seanet

HOP = 40


def config(*, num_lstm_layers: int = 1, causal: bool = False, bidirectional: bool = False) -> Seanet:
    return Seanet(
        num_filters=2,
        dilations=(1, 2),
        num_lstm_layers=num_lstm_layers,
        causal=causal,
        bidirectional=bidirectional,
    )


def encoder_of(network: Seanet) -> SeanetEncoder:
    return SeanetEncoder(network, dimension=4, strides=(2, 4, 5))


def decoder_of(network: Seanet) -> SeanetDecoder:
    return SeanetDecoder(network, dimension=4, strides=(5, 4, 2))


CONFIGS = {
    "as published": config(),
    "without an LSTM": config(num_lstm_layers=0),
    "causal": config(causal=True),
    "both directions": config(bidirectional=True),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("num_samples", [HOP, 60 * HOP, 61 * HOP + 1, 62 * HOP - 1])
@torch.inference_mode()
def test_pieces_give_what_the_whole_gives(name: str, num_samples: int) -> None:
    torch.manual_seed(0)
    encoder, decoder = encoder_of(CONFIGS[name]), decoder_of(CONFIGS[name])
    samples = torch.randn(1, 1, num_samples)
    latents = encoder(samples)
    decoded = decoder(latents)
    for piece_frames in (5, 13, 30):
        frames = encode_in_pieces(encoder, samples, hop_length=HOP, piece_frames=piece_frames)
        torch.testing.assert_close(frames, latents, atol=1e-6, rtol=1e-5)
        pieces = decode_in_pieces(decoder, latents, hop_length=HOP, piece_frames=piece_frames)
        torch.testing.assert_close(pieces, decoded, atol=1e-6, rtol=1e-5)


def touched(outputs: Tensor, inputs: Tensor) -> tuple[int, int]:
    outputs.abs().sum().backward()
    assert inputs.grad is not None
    steps = inputs.grad.abs().sum(dim=(0, 1)).nonzero()
    return int(steps.min()), int(steps.max())


@pytest.mark.parametrize("causal", [True, False])
def test_an_encoder_reaches_as_far_as_its_gradients_show(*, causal: bool) -> None:
    torch.manual_seed(0)
    encoder = encoder_of(config(num_lstm_layers=0, causal=causal))
    samples = torch.randn(1, 1, 60 * HOP, requires_grad=True)
    first, last = touched(encoder(samples)[..., 30], samples)
    assert encoder_reach(encoder, hop_length=HOP) == (30 * HOP - first, last - (31 * HOP - 1))


def test_a_decoder_reaches_as_far_as_its_gradients_show() -> None:
    torch.manual_seed(0)
    decoder = decoder_of(CONFIGS["without an LSTM"])
    latents = torch.randn(1, 4, 60, requires_grad=True)
    first, last = touched(decoder(latents)[..., 30 * HOP : 31 * HOP], latents)
    assert decoder_reach(decoder) == (30 - first, last - 30)


@pytest.mark.parametrize("causal", [True, False])
def test_what_a_last_frame_lacks_is_reflected_from_further_back_than_the_kernel_reaches(*, causal: bool) -> None:
    layer = PaddedConv1d(1, 1, 16, stride=8, style=Style(causal=causal))
    samples = torch.randn(1, 1, 10 * 8 + 1, requires_grad=True)
    first, _ = touched(layer(samples)[..., -1], samples)
    assert _reach(layer)[0] == 10 * 8 - first
