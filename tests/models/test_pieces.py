"""A network in pieces makes what it makes of the whole."""

import pytest
import torch
from torch import nn

from tokbench.models.pieces import Reach, in_pieces


@pytest.mark.parametrize("num_frames", [1, 4, 5, 13, 40])
@torch.no_grad()
def test_pieces_make_what_the_whole_makes(num_frames: int) -> None:
    torch.manual_seed(0)
    down = nn.Sequential(nn.Conv1d(1, 3, 5, padding=2), nn.Conv1d(3, 3, 8, stride=4, padding=2)).double()
    up = nn.Sequential(nn.ConvTranspose1d(3, 1, 8, stride=4, padding=2), nn.Conv1d(1, 1, 5, padding=2)).double()
    lengths = []

    def network(values: torch.Tensor) -> torch.Tensor:
        lengths.append(values.shape[-1])
        return down(values) if values.shape[1] == 1 else up(values)

    samples = torch.randn(2, 1, 4 * num_frames, dtype=torch.float64)
    frames = down(samples)
    reach = Reach(1, 1)
    torch.testing.assert_close(in_pieces(network, samples, reach=reach, num_frames=3, in_step=4), frames)
    assert max(lengths) <= 4 * 5
    torch.testing.assert_close(in_pieces(network, frames, reach=reach, num_frames=3, out_step=4), up(frames))


@torch.no_grad()
def test_too_short_a_reach_is_seen() -> None:
    torch.manual_seed(0)
    conv = nn.Conv1d(1, 1, 5, padding=2)
    values = torch.randn(1, 1, 30)
    pieces = in_pieces(conv, values, reach=Reach(1, 2), num_frames=4)
    differs = ((pieces - conv(values)).abs() > 1e-5)[0, 0].nonzero()[:, 0]
    assert differs.tolist() == [4, 8, 12, 16, 20, 24, 28]
