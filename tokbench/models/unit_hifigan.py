"""HiFi-GAN over units: the vocoder of textless speech (Polyak et al. 2021, arXiv:2104.00355).

The generator of HiFi-GAN (Kong et al. 2020, arXiv:2010.05646, V1) with embeddings of units in the place of a
spectrogram. Where it was trained on several speakers or styles, an embedding of each is put beside every unit's.
Source of the names and of the shapes: the checkpoints of speech-resynthesis, fairseq and textlesslib.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from tokbench.models.hifigan import HifiGanGenerator
from tokbench.specs.networks import HifiGan

__all__ = ["UnitHifiGan", "UnitHifiGanConfig"]

_LAST_SLOPE = 0.01
"""Of the last activation: PyTorch's usual one, and not the 0.1 of the others."""


@dataclass(frozen=True, kw_only=True)
class UnitHifiGanConfig:
    """The keys of ``config.json`` that shape the generator."""

    num_embeddings: int
    """Units."""
    embedding_dim: int
    model_in_dim: int
    """Channels of all embeddings together."""
    upsample_rates: Sequence[int]
    upsample_kernel_sizes: Sequence[int]
    upsample_initial_channel: int
    resblock_kernel_sizes: Sequence[int]
    resblock_dilation_sizes: Sequence[Sequence[int]]
    num_speakers: int = 0
    num_styles: int = 0

    @cached_property
    def generator(self) -> HifiGan:
        """What makes a waveform of the embeddings."""
        return HifiGan(
            kind="hifigan",
            num_filters=self.upsample_initial_channel // 2 ** len(self.upsample_rates),
            kernel_sizes=tuple(self.upsample_kernel_sizes),
            block_kernel_sizes=tuple(self.resblock_kernel_sizes),
            block_dilations=tuple(map(tuple, self.resblock_dilation_sizes)),
            last_slope=_LAST_SLOPE,
        )

    def own_name(self, published: str) -> str:
        """Return what the tensor is called here that checkpoints call ``published``."""
        part, *rest = published.split(".")
        if part == "resblocks":
            stage, width = divmod(int(rest[0]), len(self.resblock_kernel_sizes))
            return ".".join(["generator", "blocks", str(stage), "blocks", str(width), *rest[1:]])
        return ".".join([_PARTS.get(part, part), *rest])


_PARTS: Mapping[str, str] = {
    "conv_pre": "generator.input_conv",
    "ups": "generator.upsamples",
    "conv_post": "generator.output_conv",
}
"""What the parts of the generator are called here that checkpoints call so."""


class UnitHifiGan(nn.Module):
    """Units to a waveform, a fixed number of samples for each."""

    def __init__(self, config: UnitHifiGanConfig) -> None:
        super().__init__()
        self.config = config
        self.dict = nn.Embedding(config.num_embeddings, config.embedding_dim)
        self.spkr = nn.Embedding(config.num_speakers, config.embedding_dim) if config.num_speakers else None
        self.style = nn.Embedding(config.num_styles, config.embedding_dim) if config.num_styles else None
        strides = tuple(config.upsample_rates)
        self.generator = HifiGanGenerator(config.generator, dimension=config.model_in_dim, strides=strides)
        self.hop_length = math.prod(strides)

    def forward(self, units: Tensor, *, speaker: int = 0, style: int = 0) -> Tensor:
        """Return [1, F * hop_length] of int64 ``units`` [F]."""
        embedded = [self.dict(units)]
        for table, index in ((self.spkr, speaker), (self.style, style)):
            if table is not None:
                embedded.append(table.weight[index].expand(len(units), -1))
        samples: Tensor = self.generator(torch.cat(embedded, dim=1).T[None])[0]
        return samples
