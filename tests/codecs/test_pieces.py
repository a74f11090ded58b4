"""Pieces: the reach that is computed is the one that is measured, and pieces give what the whole gives."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tokbench.codecs.pieces import Convolution, Stage, convolutions, in_pieces, reach

RATIO = 6


def encoder() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(1, 2, 7, padding=3), nn.Conv1d(2, 2, 3, dilation=3, padding=3)).extend(
        [nn.Conv1d(2, 3, 4, stride=2, padding=1), nn.Conv1d(3, 3, 6, stride=3, padding=2)]
    )


def decoder() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(3, 3, 3, padding=1), nn.ConvTranspose1d(3, 2, 6, stride=3, padding=2)).extend(
        [nn.ConvTranspose1d(2, 2, 4, stride=2, padding=1), nn.Conv1d(2, 1, 5, padding=2)]
    )


def dependence(module: nn.Module, inputs: Tensor, own_out: slice, own_in: slice) -> tuple[int, int]:
    """Return how far before and after ``own_in`` the outputs at ``own_out`` depend on ``inputs``, by gradients."""
    inputs.requires_grad_()
    module(inputs)[..., own_out].abs().sum().backward()
    touched = inputs.grad.abs().sum(dim=(0, 1)).nonzero()
    return own_in.start - int(touched.min()), int(touched.max()) - (own_in.stop - 1)


def test_reach_of_a_downsampling_network_is_what_its_gradients_show() -> None:
    torch.manual_seed(0)
    own = slice(20 * RATIO, 21 * RATIO)
    measured = dependence(encoder(), torch.randn(1, 1, 40 * RATIO), slice(20, 21), own)
    assert reach(convolutions(encoder())) == measured


def test_reach_of_an_upsampling_network_is_what_its_gradients_show() -> None:
    torch.manual_seed(0)
    own = slice(20 * RATIO, 21 * RATIO)
    assert reach(convolutions(decoder())) == dependence(decoder(), torch.randn(1, 3, 40), own, slice(20, 21))


def test_a_causal_convolution_reaches_back_only() -> None:
    assert reach([Convolution(kernel=7, stride=1, left=6), Convolution(kernel=4, stride=2, left=2)]) == (8, 0)


@pytest.mark.parametrize("piece_frames", [3, 7, 20])
@pytest.mark.parametrize("num_samples", [RATIO, 5 * RATIO, 61 * RATIO])
@torch.inference_mode()
def test_pieces_give_what_the_whole_gives(piece_frames: int, num_samples: int) -> None:
    torch.manual_seed(0)
    down, up, lstm = encoder(), decoder(), nn.LSTM(3, 3)
    samples = torch.randn(1, 1, num_samples)

    def remember(latents: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = lstm(latents.permute(2, 0, 1), state)
        return output.permute(1, 2, 0), state

    before, after = (-(-steps // RATIO) for steps in reach(convolutions(down)))
    first = Stage(run=down, steps_in=RATIO, before=before, after=after)
    before, after = reach(convolutions(up))
    second = Stage(run=up, steps_out=RATIO, before=before, after=after)
    pieces = list(in_pieces(samples, first, remember, second, piece_frames=piece_frames))
    assert len(pieces) <= max(num_samples // RATIO // piece_frames, 1)
    expected = up(remember(down(samples), None)[0])
    torch.testing.assert_close(torch.cat(pieces, dim=-1), expected, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_too_short_a_reach_would_be_noticed() -> None:
    torch.manual_seed(0)
    down, samples = encoder(), torch.randn(1, 1, 60 * RATIO)
    stage = Stage(run=down, steps_in=RATIO, before=0, after=0)
    identity = Stage(run=lambda latents: latents, before=0, after=0)
    pieces = in_pieces(samples, stage, lambda latents, state: (latents, state), identity, piece_frames=10)
    assert not torch.allclose(torch.cat(list(pieces), dim=-1), down(samples), atol=1e-3)
