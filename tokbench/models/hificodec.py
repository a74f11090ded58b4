"""HiFi-Codec (Yang et al. 2023, arXiv:2305.02765): a convolutional encoder and group-residual vector quantization.

Its decoder is the generator of HiFi-GAN. The encoder normalizes over all of time, so that every frame depends on
every sample: it cannot stream.

Axes: ``B`` batch, ``C`` channels, ``D`` features, ``F`` frames, ``K`` codebooks, ``T`` time, ``V`` codebook size.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from tokbench.models.hifigan import OUTER_KERNEL_SIZE, SLOPE, ResidualBlock
from tokbench.models.residual_vq import ResidualCoder, VectorCoder
from tokbench.models.weight_norm import weight_normalized
from tokbench.specs.networks import HifiCodec

__all__ = ["GroupResidualQuantizer", "HifiCodecEncoder"]

LAST_SLOPE = 0.01
"""Of the rectifier before the last convolution: the default of PyTorch, in the published code."""
CHANNELS_PER_GROUP = 16
"""Of the group normalizations, with ``EPSILON``: published code."""
EPSILON = 1e-6
OUTPUT_DEVIATION = 0.01
"""Of the first weights of the last convolution: published code, which asks for it everywhere, but the weight
normalization of the other convolutions overwrites it there."""


class HifiCodecEncoder(nn.Module):
    """[B, 1, T] -> [B, D, floor(T / product of the strides)].

    What does not fill a frame at the end is dropped, as in the published code, unless it ``is_completed`` by zeros.
    """

    def __init__(
        self, network: HifiCodec, *, dimension: int, strides: tuple[int, ...], is_completed: bool = False
    ) -> None:
        super().__init__()
        width = network.num_filters
        self.input_conv = nn.Conv1d(1, width, OUTER_KERNEL_SIZE, padding=OUTER_KERNEL_SIZE // 2)
        self.downsamples = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stride, kernel_size in network.strided(strides):
            padding = (kernel_size - stride) // 2
            self.downsamples.append(nn.Conv1d(width, 2 * width, kernel_size, stride, padding))
            width *= 2
            self.stages.append(NormalizedFields(width, network.fields))
        if network.norm == "weight":
            weight_normalized(self)
        # After the normalizations: this one has none, and begins small.
        self.output_conv = nn.Conv1d(width, dimension, 3, padding=1)
        nn.init.normal_(self.output_conv.weight, std=OUTPUT_DEVIATION)
        self.step = math.prod(strides) if is_completed else 1

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [B, D, F] of ``samples`` [B, 1, T]."""
        values = self.input_conv(nn.functional.pad(samples, (0, -samples.shape[-1] % self.step)))
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            values = stage(downsample(leaky_relu(values, SLOPE)))
        latents: Tensor = self.output_conv(leaky_relu(values, LAST_SLOPE))
        return latents


class NormalizedFields(nn.Module):
    """Residual blocks of several kernel sizes, summed and normalized in turn: [B, C, T] -> [B, C, T]."""

    def __init__(self, num_channels: int, fields: Sequence[tuple[int, tuple[int, ...]]]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(num_channels, *field) for field in fields)
        groups = num_channels // CHANNELS_PER_GROUP
        self.norms = nn.ModuleList(nn.GroupNorm(groups, num_channels, eps=EPSILON) for _ in fields)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        total = torch.zeros_like(values)
        # The sum is normalized after each block, with what the blocks before it have left in it.
        for block, norm in zip(self.blocks, self.norms, strict=True):
            total = norm(total + block(values))
        return total / len(self.blocks)


class GroupResidualQuantizer(ResidualCoder):
    """GRVQ: the features are cut into groups, and each group has residual codebooks of its own."""

    def __init__(
        self, *, dimension: int, num_groups: int = 2, num_layers: int = 2, codebook_size: int = 1024
    ) -> None:
        width = dimension // num_groups
        coders = (EmbeddingCodebook(codebook_size, width) for _ in range(num_layers * num_groups))
        super().__init__(coders, num_groups=num_groups)


class EmbeddingCodebook(VectorCoder):
    """``V`` vectors that are parameters."""

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, dimension))

    def _nearest(self, vectors: Tensor) -> Tensor:
        table = self.weight
        # |x - e|² = |x|² + |e|² - 2 x·e. |x|² decides nothing, but rounds the sum as in the published model.
        distances = vectors.pow(2).sum(1, keepdim=True) + table.pow(2).sum(1) - 2 * vectors @ table.T
        return distances.argmin(dim=1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the vectors [..., D] of int64 ``indices`` [...]."""
        return nn.functional.embedding(indices, self.weight)
