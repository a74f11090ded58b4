"""Encoder and decoder of FreqCodec (Du et al. 2023, arXiv:2309.07405, sec. 2.3): a SEANet on a spectrogram.

The spectrogram has a frame on the first sample of each of its hops, and none on the end of the last: so many
samples come back as went in. The published code has that one too, whose own samples lie beyond the end.

Axes: ``B`` batch, ``D`` features, ``F`` frames, ``T`` samples.
"""

import math

from torch import Tensor, nn

from tokbench.models.freq_seanet import FreqSeanetDecoder, FreqSeanetEncoder
from tokbench.models.phase_spectrogram import PhaseSpectrogram
from tokbench.specs.networks import FreqSeanet

__all__ = ["FreqCodecDecoder", "FreqCodecEncoder"]


class FreqCodecEncoder(nn.Module):
    """[B, 1, T] -> [B, D, ceil(T / product of the strides)]; the first stride is that of the spectrogram."""

    def __init__(self, network: FreqSeanet, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.spectrogram = PhaseSpectrogram(n_fft=network.window_length, hop_length=strides[0], phase=network.phase)
        self.network = FreqSeanetEncoder(network, dimension=dimension, strides=strides[1:])
        self.hop_length = math.prod(strides)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the latents [B, D, F] of ``samples`` [B, 1, T]; a last frame is completed by zeros."""
        whole = nn.functional.pad(samples, (0, -samples.shape[-1] % self.hop_length))
        spectrogram = self.spectrogram(whole.squeeze(1))[..., : whole.shape[-1] // self.spectrogram.hop_length]
        latents: Tensor = self.network(spectrogram)
        return latents


class FreqCodecDecoder(nn.Module):
    """[B, D, F] -> [B, 1, F · product of the strides]; the last stride is that of the spectrogram."""

    def __init__(self, network: FreqSeanet, *, dimension: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.spectrogram = PhaseSpectrogram(
            n_fft=network.window_length, hop_length=strides[-1], phase=network.phase
        )
        self.network = FreqSeanetDecoder(network, dimension=dimension, strides=strides[:-1])
        self.hop_length = math.prod(strides)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the waveform [B, 1, T] of ``latents`` [B, D, F]."""
        samples = self.spectrogram.inverse(self.network(latents), latents.shape[-1] * self.hop_length)
        return samples[:, None]
