"""What the contract does to the networks of an adapter."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tokbench.audio import Audio
from tokbench.codecs.base import ContinuousTokenizer, TokenizerInfo


class Mixes(ContinuousTokenizer):
    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.info = TokenizerInfo(sample_rate_hz=16000, num_channels=3, streams=(), name="mixes")

    def _latents(self, samples: Tensor) -> Tensor:
        return self.network(samples[None])[0].T


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_single_tap_computes_the_same_however_it_is_run(num_threads: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv1d(3, 5, 1)
    samples = torch.rand(3, 40)
    weight, bias, values = layer.weight.detach().numpy(), layer.bias.detach().numpy(), samples.numpy()
    expected = np.zeros((40, 5))
    for frame in range(40):
        for output in range(5):
            terms = [weight[output, channel, 0] * values[channel, frame] for channel in range(3)]
            expected[frame, output] = sum(terms) + bias[output]
    torch.set_num_threads(num_threads)
    try:
        latents = Mixes(nn.Sequential(layer)).to("cpu").latents(Audio(samples, 16000)).values
    finally:
        torch.set_num_threads(1)
    assert layer.dilation == (2,)
    np.testing.assert_allclose(latents.numpy(), expected, atol=1e-6)


def test_other_convolutions_are_left_alone() -> None:
    layer = nn.Conv1d(3, 5, 3, dilation=4)
    Mixes(nn.Sequential(layer)).to("cpu")
    assert layer.dilation == (4,)
