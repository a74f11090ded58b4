"""HiFi-GAN's generator, against convolutions written out as sums, and where its samples come from."""

import torch
from torch.nn.functional import leaky_relu

from tokbench.models.hifigan import GroupedFields, HifiGan, HifiGanConfig, ReceptiveFields, ResidualBlock


def config(**changes: object) -> HifiGanConfig:
    sizes = {
        "in_channels": 6,
        "channels": 16,
        "strides": (4, 3),
        "kernel_sizes": (8, 7),
        "block_kernel_sizes": (3, 5),
        "block_dilations": ((1, 3), (1, 2)),
    }
    return HifiGanConfig(**{**sizes, **changes})


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
    fields = ReceptiveFields(4, config()).double()
    values = torch.randn(1, 4, 50, dtype=torch.float64)
    expected = (fields.blocks[0](values) + fields.blocks[1](values)) / 2
    torch.testing.assert_close(fields(values), expected)


@torch.no_grad()
def test_groups_are_blocks_side_by_side() -> None:
    """Each group alone, with its part of the weights, and the mixture of the three."""
    torch.manual_seed(0)
    sizes = {"block_kernel_sizes": (3,), "block_dilations": ((1, 3),)}
    grouped = GroupedFields(4, config(num_groups=3, is_causal=True, **sizes)).double()
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
        samples = HifiGan(config(is_causal=is_causal))(100 * torch.randn(2, 6, 5))
        assert samples.shape == (2, 1, 5 * 12)
        assert float(samples.abs().max()) <= 1.0


@torch.no_grad()
def test_a_causal_generator_looks_back_as_far_as_it_says() -> None:
    torch.manual_seed(0)
    generator = HifiGan(config(is_causal=True)).double()
    latents = torch.randn(1, 6, 40, dtype=torch.float64)
    for frame in (7, 20):
        changed = latents.clone()
        changed[..., frame] += 1
        differs = (generator(changed) != generator(latents))[0, 0].nonzero()[:, 0]
        assert int(differs.min()) == 12 * frame
        assert int(differs.max()) // 12 == frame + generator.reach
