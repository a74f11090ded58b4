"""HiFi-Codec's networks, against sums written out one by one."""

import torch

from tokbench.models.hificodec import GroupResidualQuantizer, HifiCodecEncoder, NormalizedFields
from tokbench.specs.networks import HifiCodec


def nearest(vector: list[float], table: list[list[float]]) -> int:
    distances = [sum((x - y) ** 2 for x, y in zip(vector, row, strict=True)) for row in table]
    return distances.index(min(distances))


@torch.no_grad()
def test_the_quantizer_against_loops() -> None:
    torch.manual_seed(0)
    quantizer = GroupResidualQuantizer(dimension=6, num_groups=2, num_layers=2, codebook_size=16)
    for codebook in quantizer.layers:
        torch.nn.init.normal_(codebook.weight)
    latents = torch.randn(1, 6, 9)
    codes = quantizer.encode(latents)
    decoded = quantizer.decode(codes)
    tables = [codebook.weight.tolist() for codebook in quantizer.layers]
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
def test_the_encoder_drops_an_incomplete_frame_or_completes_it() -> None:
    network = HifiCodec(
        kind="hificodec",
        num_filters=8,
        kernel_sizes=(4, 7, 8),
        block_kernel_sizes=(5, 3),
        block_dilations=((1,), (1, 2)),
    )
    torch.manual_seed(0)
    encoder = HifiCodecEncoder(network, dimension=24, strides=(2, 3, 4))
    samples = torch.randn(2, 1, 24 * 7 + 5)
    assert encoder(samples).shape == (2, 24, 7)
    completing = HifiCodecEncoder(network, dimension=24, strides=(2, 3, 4), is_completed=True)
    completing.load_state_dict(encoder.state_dict())
    whole = torch.nn.functional.pad(samples, (0, 19))
    torch.testing.assert_close(completing(samples), encoder(whole))
    torch.testing.assert_close(completing(whole), encoder(whole))
