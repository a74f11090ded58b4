"""The decoder of WavTokenizer: frames through attention and ConvNeXt blocks to a spectrogram, and to a waveform.

Vocos (Siuzdak 2023, arXiv:2306.00814) gives the ConvNeXt blocks and the inverse STFT; WavTokenizer (Ji et al. 2024,
arXiv:2408.16532, sec. 3.3) puts residual blocks and an attention layer in front. Attributes are called as in the
published code, so that its tensors load under their names.

Axes: ``B`` batch, ``D`` features, ``F`` frames, ``T`` samples.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = [
    "AdaptiveLayerNorm",
    "ConvNextBlock",
    "FrameAttention",
    "InverseStftHead",
    "VocosBackbone",
    "VocosConfig",
]

_NORM_GROUPS = 32
_QUERIES_AT_A_TIME = 1024
_LARGEST_MAGNITUDE = 1e2
"""Magnitudes are exponentials; those above this are clipped."""


@dataclass(frozen=True, kw_only=True)
class VocosConfig:
    """Sizes of a backbone."""

    input_channels: int
    dim: int
    intermediate_dim: int
    num_layers: int
    adanorm_num_embeddings: int
    """Conditions that each normalization has a scale and a shift for."""


class AdaptiveLayerNorm(nn.Module):
    """A layer normalization whose scale and shift are those of a condition: of the first, when coding."""

    def __init__(self, num_conditions: int, dim: int) -> None:
        super().__init__()
        self.scale = nn.Embedding(num_conditions, dim)
        self.shift = nn.Embedding(num_conditions, dim)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, values: Tensor, condition: int = 0) -> Tensor:
        """Return [B, F, D] of [B, F, D]."""
        normed = nn.functional.layer_norm(values, values.shape[-1:], eps=1e-6)
        return normed * self.scale.weight[condition] + self.shift.weight[condition]


class ConvNextBlock(nn.Module):
    """A depthwise convolution over frames, then two layers over features, added to the input; [B, D, F] -> same."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        dim = config.dim
        self.dwconv = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = AdaptiveLayerNorm(config.adanorm_num_embeddings, dim)
        self.pwconv1 = nn.Linear(dim, config.intermediate_dim)
        self.pwconv2 = nn.Linear(config.intermediate_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1 / config.num_layers))

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, D, F] of [B, D, F]."""
        hidden: Tensor = self.norm(self.dwconv(values).transpose(1, 2))
        hidden = self.gamma * self.pwconv2(nn.functional.gelu(self.pwconv1(hidden)))
        return values + hidden.transpose(1, 2)


def _group_norm(dim: int) -> nn.GroupNorm:
    return nn.GroupNorm(_NORM_GROUPS, dim, eps=1e-6)


class _ResidualBlock(nn.Module):
    """Two convolutions of kernel 3, each after a normalization over all frames and a swish; [B, D, F] -> same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _group_norm(dim), _group_norm(dim)
        self.conv1, self.conv2 = nn.Conv1d(dim, dim, 3, padding=1), nn.Conv1d(dim, dim, 3, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        hidden: Tensor = self.conv1(nn.functional.silu(self.norm1(values)))
        output: Tensor = values + self.conv2(nn.functional.silu(self.norm2(hidden)))
        return output


class FrameAttention(nn.Module):
    """One head of attention of every frame to all, added to the input; [B, D, F] -> same.

    Frames ask some at a time: all against all of an hour would not fit into memory.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = _group_norm(dim)
        self.q, self.k, self.v, self.proj_out = (nn.Conv1d(dim, dim, 1) for _ in range(4))

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, D, F] of [B, D, F]."""
        normed = self.norm(values)
        query, key, value = (layer(normed).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))
        asked = query.split(_QUERIES_AT_A_TIME, dim=2)
        attended = [nn.functional.scaled_dot_product_attention(some, key, value) for some in asked]
        output: Tensor = values + self.proj_out(torch.cat(attended, dim=2)[:, 0].transpose(1, 2))
        return output


class VocosBackbone(nn.Module):
    """[B, C, F] -> [B, F, D]."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        dim = config.dim
        self.embed = nn.Conv1d(config.input_channels, dim, 7, padding=3)
        blocks = [_ResidualBlock(dim), _ResidualBlock(dim), FrameAttention(dim), *map(_ResidualBlock, (dim, dim))]
        self.pos_net = nn.Sequential(*blocks, _group_norm(dim))
        self.norm = AdaptiveLayerNorm(config.adanorm_num_embeddings, dim)
        self.convnext = nn.ModuleList(ConvNextBlock(config) for _ in range(config.num_layers))
        self.final_layer_norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, latents: Tensor) -> Tensor:
        """Return features [B, F, D] of ``latents`` [B, C, F]."""
        return self.refine(self.attend(latents))

    def attend(self, latents: Tensor) -> Tensor:
        """Return [B, D, F] of ``latents`` [B, C, F]; every frame depends on all."""
        attended: Tensor = self.pos_net(self.embed(latents))
        return attended

    def refine(self, values: Tensor) -> Tensor:
        """Return features [B, F, D] of ``values`` [B, D, F]; a frame depends on ``reach`` on either side."""
        values = self.norm(values.transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            values = block(values)
        features: Tensor = self.final_layer_norm(values.transpose(1, 2))
        return features

    @property
    def reach(self) -> int:
        """Frames on either side of a frame on which :meth:`refine` depends, by its kernels of 7."""
        return 3 * len(self.convnext)


class InverseStftHead(nn.Module):
    """Log magnitudes and phases of each frame to a waveform of a hop per frame; [B, F, D] -> [B, F · hop]."""

    window: Tensor

    def __init__(self, dim: int, *, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.out = nn.Linear(dim, n_fft + 2)
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def reach(self) -> int:
        """Frames on either side of a frame whose windows overlap its hop."""
        return math.ceil((self.n_fft - self.hop_length) / 2 / self.hop_length)

    def forward(self, features: Tensor) -> Tensor:
        """Return samples [B, F · hop] of ``features`` [B, F, D]."""
        log_magnitudes, phases = self.out(features).transpose(1, 2).chunk(2, dim=1)
        magnitudes = torch.exp(log_magnitudes).clip(max=_LARGEST_MAGNITUDE)
        spectra = magnitudes * (torch.cos(phases) + 1j * torch.sin(phases))
        frames = torch.fft.irfft(spectra, self.n_fft, dim=1) * self.window[:, None]
        weights = self.window.square()[None, :, None].expand(1, -1, frames.shape[-1])
        # Both are cut alike, so that a frame is centred on its hop: the ends, where windows fade, are gone.
        return self._overlap_add(frames) / self._overlap_add(weights)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Return [B, F · hop] of windowed frames [B, n_fft, F]."""
        num_samples = (frames.shape[-1] - 1) * self.hop_length + self.n_fft
        size, stride = (1, self.n_fft), (1, self.hop_length)
        summed = nn.functional.fold(frames, (1, num_samples), size, stride=stride)[:, 0, 0]
        cut = (self.n_fft - self.hop_length) // 2
        return summed[:, cut : num_samples - cut]
