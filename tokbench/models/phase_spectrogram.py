"""The spectrogram of FreqCodec: log magnitude, and phase (Du et al. 2023, arXiv:2309.07405, sec. 2.3).

Axes: ``B`` batch, ``C`` channels, ``H`` frequencies, ``F`` frames, ``T`` samples.
"""

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Phase", "PhaseSpectrogram"]

Phase = Literal["point", "angle"]
"""The phase as a point on a circle, two channels, or as its angle, one."""
_SMALLEST_MAGNITUDE = 1e-6


class PhaseSpectrogram(nn.Module):
    """To the log magnitude and the phase of a short-time Fourier transform, and back."""

    window: Tensor

    def __init__(self, *, n_fft: int, hop_length: int, phase: Phase = "point") -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.phase = n_fft, hop_length, phase
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return [B, C, H, F] of ``samples`` [B, T], with frames centred on every ``hop_length``-th sample.

        Samples too few to be reflected by half a frame are extended by zeros.
        """
        missing = max(self.n_fft // 2 + 1 - samples.shape[-1], 0)
        spectrum = torch.stft(
            nn.functional.pad(samples, (0, missing)),
            self.n_fft,
            self.hop_length,
            window=self.window,
            pad_mode="reflect",
            return_complex=True,
        )
        magnitude = spectrum.abs().clamp(min=_SMALLEST_MAGNITUDE)
        if self.phase == "angle":
            return torch.stack([magnitude.log(), spectrum.angle()], dim=1)
        point = spectrum / magnitude
        return torch.stack([magnitude.log(), point.real, point.imag], dim=1)

    def inverse(self, channels: Tensor, num_samples: int | None = None) -> Tensor:
        """Return samples [B, T] of ``channels`` [B, C, H, F]: ``num_samples``, or (F - 1) · ``hop_length`` of them.

        The first channel makes the magnitude, by a softplus. The others multiply it, and need not lie on the
        circle; or the one other makes the angle, pi times its sine.
        """
        # There are no complex numbers in half precision.
        first, *others = channels.to(torch.promote_types(channels.dtype, torch.float32)).unbind(dim=1)
        magnitude = nn.functional.softplus(first)
        if self.phase == "angle":
            spectrum = torch.polar(magnitude, torch.pi * others[0].sin())
        else:
            spectrum = magnitude * torch.complex(*others)
        return torch.istft(spectrum, self.n_fft, self.hop_length, window=self.window, length=num_samples)
