"""SpeechTokenizer as it is trained here, against the publisher's package with the same weights."""

import warnings
from typing import Any

import pytest
import torch
from published_codecs import loaded, loud, narrow
from speechtokenizer.trainer import loss as published_loss
from tiny.speechtokenizer import CONFIG, published

from tokbench.training.losses import ReconstructionLosses

NARROW = {
    "dimension": 16,
    "encoder": {"num_filters": 2},
    "quantizer": {"dead_below": 0.0},
    "decoder": {"num_filters": 2},
}


def original(activation: str) -> Any:
    model = published({**CONFIG, "activation": activation})
    for layer in model.quantizer.vq.layers:
        book = layer._codebook
        book.threshold_ema_dead_code = 0
        book.cluster_size.uniform_(1, 3)
        book.embed_avg.copy_(book.embed * book.cluster_size[:, None])
    return model


def changes(activation: str, norm: str = "weight") -> dict[str, Any]:
    half = {"num_filters": 2, "activation": activation, "norm": norm}
    return {**NARROW, "encoder": half, "decoder": half}


@pytest.mark.parametrize(("activation", "norm"), [("ELU", "weight"), ("Snake", "none")])
@torch.inference_mode()
def test_latents_codes_and_audio_are_those_of_the_original(activation: str, norm: str) -> None:
    theirs = original(activation)
    codec = loaded("speechtokenizer", changes(activation.lower(), norm), theirs.state_dict())
    samples = loud(9601)
    codes = theirs.encode(samples)
    torch.testing.assert_close(codec.encoder(samples), theirs.encoder(samples), atol=1e-5, rtol=0)
    assert torch.equal(codec.encode(samples), codes.transpose(0, 1))
    decoded = codec.decode(codes.transpose(0, 1))
    torch.testing.assert_close(decoded, theirs.decode(codes), atol=1e-5, rtol=0)


def test_a_step_of_training_is_that_of_the_original() -> None:
    theirs = original("ELU").train()
    codec = loaded("speechtokenizer", changes("elu"), theirs.state_dict()).train()
    samples = loud(9600)
    output = codec(samples)
    decoded, commitment, first = theirs(samples)
    torch.testing.assert_close(output.samples, decoded, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.quantized.losses["commitment"], commitment.squeeze())
    projected = theirs.transform(output.quantized.layers[0].transpose(1, 2))
    torch.testing.assert_close(projected, first, atol=1e-5, rtol=0)
    for layer, other in zip(codec.quantizer.layers, theirs.quantizer.vq.layers, strict=True):
        torch.testing.assert_close(layer.embed, other._codebook.embed, atol=1e-5, rtol=1e-4)


def test_the_losses_of_the_spec_are_those_of_the_original() -> None:
    """By the values of its config/spt_base_cfg.json: four mels, of halved sizes, weighted 45, 1, 1 and 1."""
    torch.manual_seed(0)
    decoded, wanted = loud(9600), loud(9600)
    expected = 500 * published_loss.recon_loss(wanted, decoded)
    for part, weight in enumerate((45, 1, 1, 1)):
        sizes = {"n_fft": 1024 >> part, "win_size": 1024 >> part, "hop_size": 240 >> part}
        settings = {"num_mels": 80, "sample_rate": 16000, "fmin": 0, "fmax": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of filters between the bins of a short window
            expected = expected + weight * published_loss.mel_loss(wanted, decoded, **sizes, **settings)
    losses = ReconstructionLosses(narrow("speechtokenizer", {}).losses.reconstruction, 16000)
    found = losses(decoded, wanted)
    total = sum(weight * found[name] for name, weight in losses.weights.items())
    torch.testing.assert_close(total, expected, atol=0, rtol=1e-4)
