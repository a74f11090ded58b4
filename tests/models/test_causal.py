"""Causal convolutions against sums, and the reach of stacks of them against what they depend on."""

import pytest
import torch
from torch import nn

from tokbench.models.causal import CausalConv1d, CausalConvTranspose1d, downsampled_reach, upsampled_reach


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(7, 1, 1), (3, 1, 9), (6, 3, 1), (10, 5, 1)])
@torch.no_grad()
def test_a_causal_convolution_against_sums(kernel_size: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    conv = CausalConv1d(2, 3, kernel_size, stride=stride, dilation=dilation).double()
    for length in (1, stride, 23):
        values = torch.randn(2, length, dtype=torch.float64)
        frames = -(-length // stride)
        expected = conv.bias[:, None].repeat(1, frames)
        for frame in range(frames):
            for tap in range(kernel_size):
                source = frame * stride - (kernel_size - 1 - tap) * dilation
                if source >= 0:
                    expected[:, frame] += conv.weight[:, :, tap] @ values[:, source]
        torch.testing.assert_close(conv(values[None])[0], expected)


@pytest.mark.parametrize("stride", [2, 3, 5])
@torch.no_grad()
def test_a_causal_transposed_convolution_against_sums(stride: int) -> None:
    torch.manual_seed(0)
    conv = CausalConvTranspose1d(2, 3, stride=stride).double()
    values = torch.randn(2, 4, dtype=torch.float64)
    expected = conv.bias[:, None].repeat(1, 4 * stride)
    for frame in range(4):
        before = values[:, max(frame - 1, 0)]
        for step in range(stride):
            sample = frame * stride + step
            expected[:, sample] += values[:, frame] @ conv.weight[:, :, step]
            expected[:, sample] += before @ conv.weight[:, :, stride + step]
    torch.testing.assert_close(conv(values[None])[0], expected)


@torch.no_grad()
def test_reach_of_downsampling() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(
        CausalConv1d(1, 1, 5, dilation=2), CausalConv1d(1, 1, 6, stride=3), CausalConv1d(1, 1, 3)
    )
    layers.double()
    reach = downsampled_reach([(8, 1), (5, 3), (2, 1)])
    samples = torch.randn(1, 1, 99, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        layers(samples)[0, 0, 20].backward()
    touched = samples.grad[0, 0].nonzero()[:, 0]
    assert int(touched.max()) == 60
    assert int(touched.min()) == 60 - reach == 60 - (8 + 5 + 2 * 3)


@torch.no_grad()
def test_reach_of_upsampling() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(
        CausalConv1d(1, 1, 3),
        CausalConvTranspose1d(1, 1, stride=3),
        CausalConv1d(1, 1, 5),
        CausalConvTranspose1d(1, 1, stride=2),
        CausalConv1d(1, 1, 7),
    ).double()
    reach = upsampled_reach([(2, 1), (4, 3), (0, 2), (6, 1)])
    frames = torch.randn(1, 1, 30, dtype=torch.float64)
    outputs = layers(frames)
    changed = frames.clone()
    changed[..., 10] += 1
    differs = (layers(changed) != outputs)[0, 0].nonzero()[:, 0]
    assert int(differs.min()) == 10 * 6
    assert int(differs.max()) // 6 == 10 + reach
