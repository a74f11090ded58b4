"""HiFi-GAN over units: the vocoder of textless speech (Polyak et al. 2021, arXiv:2104.00355).

The generator of HiFi-GAN (Kong et al. 2020, arXiv:2010.05646, V1) with embeddings of units in the place of a
spectrogram. Where it was trained on several speakers or styles, an embedding of each is put beside every unit's.
Modules are called as in the checkpoints of speech-resynthesis, fairseq and textlesslib.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

__all__ = ["UnitHifiGan", "UnitHifiGanConfig"]

_SLOPE = 0.1
"""Of the activations within; the last one has PyTorch's usual slope of 0.01."""


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


class UnitHifiGan(nn.Module):
    """Units to a waveform, a fixed number of samples for each."""

    def __init__(self, config: UnitHifiGanConfig) -> None:
        super().__init__()
        self.dict = nn.Embedding(config.num_embeddings, config.embedding_dim)
        self.spkr = nn.Embedding(config.num_speakers, config.embedding_dim) if config.num_speakers else None
        self.style = nn.Embedding(config.num_styles, config.embedding_dim) if config.num_styles else None
        channels = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(config.model_in_dim, channels, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        self.hop_length = 1
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2))
            channels //= 2
            self.hop_length *= rate
            kernels = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
            self.resblocks.extend(_ResidualBlock(channels, size, dilations) for size, dilations in kernels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, units: Tensor, *, speaker: int = 0, style: int = 0) -> Tensor:
        """Return [1, F * hop_length] of int64 ``units`` [F]."""
        embedded = [self.dict(units)]
        for table, index in ((self.spkr, speaker), (self.style, style)):
            if table is not None:
                embedded.append(table.weight[index].expand(len(units), -1))
        signal = self.conv_pre(torch.cat(embedded, dim=1).T[None])
        # Each layer is followed by blocks of several widths, whose outputs are averaged.
        num_widths = len(self.resblocks) // len(self.ups)
        for index, upsample in enumerate(self.ups):
            signal = upsample(leaky_relu(signal, _SLOPE))
            blocks = [block(signal) for block in self.resblocks[index * num_widths : (index + 1) * num_widths]]
            signal = torch.stack(blocks).mean(dim=0)
        samples: Tensor = torch.tanh(self.conv_post(leaky_relu(signal)))[0]
        return samples


class _ResidualBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair added to what goes in."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(convolution(1) for _ in dilations)

    def forward(self, signal: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            signal = signal + plain(leaky_relu(dilated(leaky_relu(signal, _SLOPE)), _SLOPE))
        return signal
