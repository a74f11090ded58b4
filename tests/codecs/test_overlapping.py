"""Convolutions on overlapping pieces: the result is that of the whole, and no piece is longer than it must be."""

import pytest
import torch
from torch import Tensor, nn

from tokbench.codecs.overlapping import in_overlapping_pieces
from tokbench.codecs.pieces import convolutions, reach

HOP = 6


def encoder() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv1d(1, 4, 7, padding=3)
    return nn.Sequential(first, nn.Conv1d(4, 4, 4, 2, padding=1), nn.Conv1d(4, 2, 6, 3, padding=2)).double()


def decoder() -> nn.Sequential:
    torch.manual_seed(0)
    last = nn.Conv1d(4, 1, 7, padding=3)
    layers = nn.ConvTranspose1d(2, 4, 6, 3, padding=2, output_padding=1), nn.ConvTranspose1d(4, 4, 4, 2, padding=1)
    return nn.Sequential(*layers, last).double()


class Longest:
    """Remember the longest piece."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.steps = network, 0

    def __call__(self, inputs: Tensor) -> Tensor:
        self.steps = max(self.steps, inputs.shape[-1])
        outputs: Tensor = self.network(inputs)
        return outputs


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 9, 40])
@pytest.mark.parametrize("piece_frames", [1, 4])
@torch.inference_mode()
def test_pieces_give_what_the_whole_gives(num_frames: int, piece_frames: int) -> None:
    samples = torch.randn(1, 1, num_frames * HOP, dtype=torch.float64)
    network = Longest(encoder())
    before, after = (-(-steps // HOP) for steps in reach(convolutions(network.network)))
    encoded = in_overlapping_pieces(
        network, samples, reach=(before, after), piece_frames=piece_frames, steps_in=HOP
    )
    torch.testing.assert_close(encoded, network.network(samples))
    assert network.steps <= (piece_frames + before + after) * HOP

    network = Longest(decoder())
    before, after = reach(convolutions(network.network))
    decoded = in_overlapping_pieces(
        network, encoded, reach=(before, after), piece_frames=piece_frames, steps_out=HOP
    )
    torch.testing.assert_close(decoded, network.network(encoded))
    assert decoded.shape[-1] == num_frames * HOP
    assert network.steps <= piece_frames + before + after


@torch.inference_mode()
def test_with_less_reach_the_pieces_give_something_else() -> None:
    network, latents = decoder(), torch.randn(1, 2, 20, dtype=torch.float64)
    before, after = reach(convolutions(network))
    less = in_overlapping_pieces(network, latents, reach=(before - 1, after), piece_frames=4, steps_out=HOP)
    assert not torch.allclose(less, network(latents))
