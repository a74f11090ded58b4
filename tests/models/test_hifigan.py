"""HiFi-GAN's generator, against convolutions written out as sums, and where its samples come from."""

import math

import pytest
import torch
from torch.nn.functional import leaky_relu

from tokbench.models.hifigan import GroupedFields, HifiGanGenerator, ReceptiveFields, ResidualBlock
from tokbench.specs.networks import HifiGan


def network(**changes: object) -> HifiGan:
    sizes = {"num_filters": 4, "block_kernel_sizes": (3, 5), "block_dilations": ((1, 3), (1, 2))}
    return HifiGan.model_validate({"kind": "hifigan", **sizes, **changes})


def convolved(values: torch.Tensor, conv: torch.nn.Conv1d, first: int) -> torch.Tensor:
    """Return [C', T] of [C, T] by sums over channels and taps; tap 0 is ``first`` steps before its output."""
    weight, bias, (dilation,) = conv.weight, conv.bias, conv.dilation
    length = values.shape[1]
    out = torch.zeros(weight.shape[0], length, dtype=values.dtype)
    for time in range(length):
        for tap in range(weight.shape[2]):
            source = time - first + tap * dilation
            if 0 <= source < length:
                out[:, time] += weight[:, :, tap] @ values[:, source]
    return out + bias[:, None]


@torch.no_grad()
def test_a_residual_block_against_sums() -> None:
    torch.manual_seed(0)
    values = torch.randn(4, 30, dtype=torch.float64)
    for is_causal in (False, True):
        block = ResidualBlock(4, 5, (1, 3), is_causal=is_causal).double()
        expected = values
        for dilated, plain in zip(block.convs1, block.convs2, strict=True):
            share = 1 if is_causal else 2
            inner = convolved(leaky_relu(expected, 0.1), dilated, 4 * dilated.dilation[0] // share)
            expected = expected + convolved(leaky_relu(inner, 0.1), plain, 4 // share)
        torch.testing.assert_close(block(values[None])[0], expected)
        assert block.span == 4 * (1 + 3) + 4 * 2


@torch.no_grad()
def test_fields_are_the_mean_of_their_blocks() -> None:
    torch.manual_seed(0)
    fields = ReceptiveFields(4, network()).double()
    values = torch.randn(1, 4, 50, dtype=torch.float64)
    expected = (fields.blocks[0](values) + fields.blocks[1](values)) / 2
    torch.testing.assert_close(fields(values), expected)


@torch.no_grad()
def test_groups_are_blocks_side_by_side() -> None:
    """Each group alone, with its part of the weights, and the mixture of the three."""
    torch.manual_seed(0)
    sizes = {"block_kernel_sizes": (3,), "block_dilations": ((1, 3),)}
    grouped = GroupedFields(4, network(num_groups=3, causal=True, **sizes)).double()
    values = torch.randn(1, 4, 20, dtype=torch.float64)
    outputs = []
    for group in range(3):
        block = ResidualBlock(4, 3, (1, 3), is_causal=True).double()
        state = grouped.state_dict()
        block.load_state_dict({k: v[4 * group : 4 * group + 4] for k, v in state.items() if "conv_out" not in k})
        outputs.append(block(values))
    mixture = grouped.conv_out.weight[:, :, 0] @ torch.cat(outputs, dim=1)
    torch.testing.assert_close(grouped(values), mixture)


@torch.no_grad()
def test_frames_become_samples_between_minus_one_and_one() -> None:
    torch.manual_seed(0)
    for is_causal in (False, True):
        generator = HifiGanGenerator(network(causal=is_causal), dimension=6, strides=(4, 3))
        samples = generator(100 * torch.randn(2, 6, 5))
        assert samples.shape == (2, 1, 5 * 12)
        assert float(samples.abs().max()) <= 1.0


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("strides", [((4, 3), (8, 7)), ((5, 2), (11, 4)), ((8, 5, 4, 2), (16, 11, 8, 4))])
def test_a_generator_looks_as_far_as_it_says(
    strides: tuple[tuple[int, ...], tuple[int, ...]], *, is_causal: bool
) -> None:
    torch.manual_seed(0)
    sizes = network(num_filters=16 // 2 ** len(strides[0]), causal=is_causal, kernel_sizes=strides[1])
    generator = HifiGanGenerator(sizes, dimension=6, strides=strides[0]).double()
    hop, frame = math.prod(strides[0]), 30
    touched = []
    for sample in (hop * frame, hop * frame + hop - 1):
        latents = torch.randn(1, 6, 60, dtype=torch.float64, requires_grad=True)
        generator(latents)[0, 0, sample].backward()
        assert latents.grad is not None
        touched += latents.grad[0].any(dim=0).nonzero()[:, 0].tolist()
    assert min(touched) == frame - generator.reach.before
    assert max(touched) == frame + generator.reach.after
    assert not is_causal or generator.reach.after == 0
