"""The short-time Fourier transform through which gradients pass, with frames as published codecs lay them.

Axes: ``B`` batch, ``T`` samples, ``N`` bins, ``F`` frames.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from tokbench.models.convolutions import reflect_pad

__all__ = ["Framing", "Stft"]

Framing = Literal["inside", "centred", "aligned", "completed", "stretched"]
"""Where frames lie.

``inside``: the first begins with the first sample, and none goes beyond the last (EnCodec's discriminator).
``centred``: their middles are multiples of the hop, both ends reflected (librosa).
``aligned``: one per whole hop, both ends reflected by half of what a window is longer than a hop (HiFi-GAN).
``completed``: the same, zeros having completed the last hop after the reflection (audiocraft).
``stretched``: the same, by reflection alone (DAC's discriminator).
"""


class Stft(nn.Module):
    """Complex spectra under a Hann window, in single precision whatever the precision around it."""

    window: Tensor

    def __init__(
        self,
        window_length: int,
        hop_length: int,
        *,
        fft_size: int | None = None,
        framing: Framing = "centred",
        normalized: bool = False,
    ) -> None:
        super().__init__()
        window = torch.hann_window(window_length)
        # Scaling the window scales the spectrum, at no cost.
        self.register_buffer("window", window / window.norm() if normalized else window, persistent=False)
        self.fft_size = fft_size or window_length
        self.hop_length, self.framing = hop_length, framing
        self.key = (window_length, hop_length, self.fft_size, framing, normalized)
        """Equal for two that return the same."""

    def forward(self, samples: Tensor) -> Tensor:
        """Return complex64 [B, N, F] of ``samples`` [B, T]."""
        return torch.stft(
            self._padded(samples.float()),
            self.fft_size,
            self.hop_length,
            len(self.window),
            self.window,
            center=self.framing == "centred",
            return_complex=True,
        )

    def _padded(self, samples: Tensor) -> Tensor:
        if self.framing in {"inside", "centred"}:
            return samples
        span = (self.fft_size - self.hop_length) // 2
        if self.framing == "stretched":
            return reflect_pad(samples, span, span + -samples.shape[-1] % self.hop_length)
        padded = reflect_pad(samples, span, span)
        missing = -(padded.shape[-1] - self.fft_size) % self.hop_length if self.framing == "completed" else 0
        return nn.functional.pad(padded, (0, missing))
