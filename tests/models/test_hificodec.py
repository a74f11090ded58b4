"""HiFi-Codec's networks, against sums written out one by one."""

import torch

from tokbench.models.hificodec import GroupResidualQuantizer, HifiCodecEncoder, NormalizedFields
from tokbench.models.hifigan import HifiGanConfig


def nearest(vector: list[float], table: list[list[float]]) -> int:
    distances = [sum((x - y) ** 2 for x, y in zip(vector, row, strict=True)) for row in table]
    return distances.index(min(distances))


@torch.no_grad()
def test_the_quantizer_against_loops() -> None:
    torch.manual_seed(0)
    quantizer = GroupResidualQuantizer(dimension=6, num_groups=2, num_layers=2, codebook_size=16)
    for codebook in quantizer.codebooks:
        torch.nn.init.normal_(codebook.weight)
    latents = torch.randn(1, 6, 9)
    codes = quantizer.encode(latents)
    decoded = quantizer.decode(codes)
    tables = [codebook.weight.tolist() for codebook in quantizer.codebooks]
    for frame in range(9):
        vector = latents[0, :, frame].tolist()
        expected: dict[int, int] = {}
        total = [0.0] * 6
        for group in range(2):
            rest = vector[3 * group : 3 * group + 3]
            for layer in range(2):
                index = 2 * layer + group
                expected[index] = nearest(rest, tables[index])
                chosen = tables[index][expected[index]]
                rest = [x - y for x, y in zip(rest, chosen, strict=True)]
                for axis in range(3):
                    total[3 * group + axis] += chosen[axis]
        assert codes[0, :, frame].tolist() == [expected[index] for index in range(4)]
        torch.testing.assert_close(decoded[0, :, frame], torch.tensor(total), atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_sum_of_blocks_is_normalized_after_each() -> None:
    torch.manual_seed(0)
    stage = NormalizedFields(32, [(5, (1, 2)), (3, (1,))]).double()
    values = torch.randn(1, 32, 20, dtype=torch.float64)

    def normalized(total: torch.Tensor) -> torch.Tensor:
        groups = total.reshape(2, 16 * 20)
        centred = groups - groups.mean(dim=1, keepdim=True)
        return (centred / (centred.pow(2).mean(dim=1, keepdim=True) + 1e-6).sqrt()).reshape(1, 32, 20)

    expected = normalized(normalized(stage.blocks[0](values)) + stage.blocks[1](values)) / 2
    torch.testing.assert_close(stage(values), expected)


@torch.no_grad()
def test_the_encoder_mirrors_the_decoder() -> None:
    config = HifiGanConfig(
        in_channels=24,
        channels=16,
        strides=(4, 3, 2),
        kernel_sizes=(8, 7, 4),
        block_kernel_sizes=(3, 5),
        block_dilations=((1, 2), (1,)),
    )
    encoder = HifiCodecEncoder(config, channels=8)
    assert [conv.stride[0] for conv in encoder.downsamples] == [2, 3, 4]
    assert [block.convs1[0].kernel_size[0] for block in encoder.stages[0].blocks] == [5, 3]
    assert encoder(torch.randn(2, 1, 24 * 7 + 5)).shape == (2, 24, 7)
