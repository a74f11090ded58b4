"""BigCodec's networks: how far they look, pieces against the whole, the quantizer against loops."""

from collections.abc import Callable

import pytest
import torch

from tokbench.models import bigcodec
from tokbench.models.bigcodec import BigCodecDecoder, BigCodecEncoder, FactorizedQuantizer


@pytest.fixture(scope="module")
def encoder() -> BigCodecEncoder:
    torch.manual_seed(0)
    return BigCodecEncoder(channels=2, dimension=8).double().eval()


@pytest.fixture(scope="module")
def decoder() -> BigCodecDecoder:
    torch.manual_seed(0)
    return BigCodecDecoder(channels=32, dimension=8).double().eval()


def touched(network: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor, step: int) -> tuple[int, int]:
    """Return the first and the last step of ``values`` on which a step of the output depends, by its gradient.

    What reaches over many taps of the filters is too faint to move a sum, but not to have a gradient.
    """
    values = values.requires_grad_()
    network(values)[0, :, step].sum().backward()
    assert values.grad is not None
    found = values.grad[0].any(dim=0).nonzero()[:, 0]
    return int(found.min()), int(found.max())


def test_the_encoder_looks_as_far_as_it_says(encoder: BigCodecEncoder) -> None:
    samples = torch.randn(1, 1, 70 * 200, dtype=torch.float64)
    first, last = touched(encoder.local, samples.clone(), 30)
    assert (first, last) == (30 * 200 - encoder.samples_before, 30 * 200 + encoder.samples_after)
    assert first // 200 == 30 - encoder.reach.before
    assert last // 200 == 30 + encoder.reach.after
    first, last = touched(encoder, samples.clone(), 30)
    assert (first, last) == (0, 30 * 200 + 199 + encoder.look_ahead)


def test_the_decoder_looks_as_far_as_it_says(decoder: BigCodecDecoder) -> None:
    frames = torch.randn(1, 32, 70, dtype=torch.float64)
    assert touched(decoder.local, frames.clone(), 35 * 200)[0] == 35 - decoder.reach.before
    assert touched(decoder.local, frames.clone(), 35 * 200 + 199)[1] == 35 + decoder.reach.after


@torch.no_grad()
def test_pieces_make_what_the_whole_makes(
    encoder: BigCodecEncoder, decoder: BigCodecDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = torch.randn(1, 1, 130 * 200, dtype=torch.float64)
    latents = encoder(samples)
    audio = decoder(latents)
    monkeypatch.setattr(bigcodec, "PIECE_FRAMES", 20)
    torch.testing.assert_close(encoder(samples), latents, atol=1e-12, rtol=0)
    torch.testing.assert_close(decoder(latents), audio, atol=1e-12, rtol=0)


@torch.no_grad()
def test_lengths(encoder: BigCodecEncoder, decoder: BigCodecDecoder) -> None:
    for num_frames in (1, 2, 7):
        latents = encoder(torch.randn(2, 1, 200 * num_frames, dtype=torch.float64))
        assert latents.shape == (2, 8, num_frames)
        assert decoder(latents).shape == (2, 1, 200 * num_frames)


@torch.no_grad()
def test_the_quantizer_against_loops() -> None:
    """The nearest by angle, but the vector that is decoded keeps its length."""
    torch.manual_seed(0)
    quantizer = FactorizedQuantizer(dimension=6, codebook_size=20, codebook_dimension=3).double()
    latents = torch.randn(2, 6, 5, dtype=torch.float64)
    codes = quantizer.encode(latents)
    table = quantizer.codebook.weight
    for batch in range(2):
        for frame in range(5):
            vector = quantizer.in_proj.weight @ latents[batch, :, frame] + quantizer.in_proj.bias
            cosines = [float(vector @ row / (vector.norm() * row.norm())) for row in table]
            best = cosines.index(max(cosines))
            assert int(codes[batch, frame]) == best
            decoded = quantizer.out_proj.weight @ table[best] + quantizer.out_proj.bias
            torch.testing.assert_close(quantizer.decode(codes)[batch, :, frame], decoded)
