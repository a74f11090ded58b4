"""HiFi-Codec (Yang et al. 2023, arXiv:2305.02765): a convolutional encoder and group-residual vector quantization.

Its decoder is the generator of HiFi-GAN. The encoder normalizes over all of time, so that every frame depends on
every sample: it cannot stream.

Axes: ``B`` batch, ``C`` channels, ``D`` features, ``F`` frames, ``K`` codebooks, ``T`` time, ``V`` codebook size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from tokbench.models.hifigan import OUTER_KERNEL_SIZE, SLOPE, HifiGanConfig, ResidualBlock

__all__ = ["GroupResidualQuantizer", "HifiCodecEncoder"]

LAST_SLOPE = 0.01
"""Of the rectifier before the last convolution: the default of PyTorch, in the published code."""
CHANNELS_PER_GROUP = 16
"""Of the group normalizations, with ``EPSILON``: published code."""
EPSILON = 1e-6


class HifiCodecEncoder(nn.Module):
    """[B, 1, T] -> [B, D, floor(T / product of the strides)].

    ``decoder`` is the generator that it mirrors; its first convolution makes ``channels``, and each stage doubles
    them up to the ``D`` features of the generator.
    """

    def __init__(self, decoder: HifiGanConfig, *, channels: int = 32) -> None:
        super().__init__()
        strides, kernel_sizes = decoder.strides[::-1], decoder.kernel_sizes[::-1]
        fields = list(zip(decoder.block_kernel_sizes, decoder.block_dilations, strict=True))[::-1]
        self.input_conv = nn.Conv1d(1, channels, OUTER_KERNEL_SIZE, padding=OUTER_KERNEL_SIZE // 2)
        self.downsamples = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stride, kernel_size in zip(strides, kernel_sizes, strict=True):
            padding = (kernel_size - stride) // 2
            self.downsamples.append(nn.Conv1d(channels, 2 * channels, kernel_size, stride, padding))
            channels *= 2
            self.stages.append(NormalizedFields(channels, fields))
        self.output_conv = nn.Conv1d(channels, decoder.in_channels, 3, padding=1)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [B, D, F] of ``samples`` [B, 1, T]."""
        values = self.input_conv(samples)
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


class GroupResidualQuantizer(nn.Module):
    """GRVQ: the features are cut into groups, and each group has residual codebooks of its own.

    The codes of a frame are ordered by layer, then by group: layer 1 of group 1, layer 1 of group 2, layer 2 of
    group 1, and so on. The codebooks are learnt by gradients.
    """

    def __init__(
        self, *, dimension: int, num_groups: int = 2, num_layers: int = 2, codebook_size: int = 1024
    ) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.codebooks = nn.ModuleList(
            nn.Embedding(codebook_size, dimension // num_groups) for _ in range(num_layers * num_groups)
        )
        for codebook in self._codebooks():
            nn.init.uniform_(codebook.weight, -1 / codebook_size, 1 / codebook_size)

    def encode(self, latents: Tensor) -> Tensor:
        """Return int64 codes [B, K, F] of ``latents`` [B, D, F]."""
        residuals = list(latents.transpose(1, 2).chunk(self.num_groups, dim=-1))
        codes = []
        for index, codebook in enumerate(self._codebooks()):
            group = index % self.num_groups
            codes.append(_nearest(residuals[group], codebook.weight))
            residuals[group] = residuals[group] - codebook(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return [B, D, F] of int64 ``codes`` [B, K, F]; a group without a chosen codebook is zero."""
        first = self._codebooks()[0].weight
        shape = (codes.shape[0], codes.shape[2], first.shape[1])
        groups = [first.new_zeros(shape) for _ in range(self.num_groups)]
        for index in range(len(self.codebooks))[codebooks]:
            group = index % self.num_groups
            groups[group] = groups[group] + self.codebooks[index](codes[:, index])
        return torch.cat(groups, dim=-1).transpose(1, 2)

    def _codebooks(self) -> list[nn.Embedding]:
        return [codebook for codebook in self.codebooks if isinstance(codebook, nn.Embedding)]


def _nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """Return int64 [...], the index of the row of ``table`` [V, D] nearest to each of ``vectors`` [..., D]."""
    flat = vectors.flatten(0, -2)
    # |x - e|² = |x|² + |e|² - 2 x·e. |x|² decides nothing, but rounds the sum as in the published model.
    distances = flat.pow(2).sum(1, keepdim=True) + table.pow(2).sum(1) - 2 * flat @ table.T
    return distances.argmin(dim=1).view(vectors.shape[:-1])
