"""The spectrogram of FreqCodec: log magnitude, and phase as a point on a circle (arXiv:2309.07405, sec. 2.3).

Axes: ``B`` batch, ``H`` frequencies, ``F`` frames, ``T`` samples.
"""

import torch
from torch import Tensor, nn

__all__ = ["PhaseSpectrogram"]

_SMALLEST_MAGNITUDE = 1e-6


class PhaseSpectrogram(nn.Module):
    """To three channels: log magnitude, real and imaginary part of the phase; and back."""

    window: Tensor

    def __init__(self, *, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return [B, 3, H, F] of ``samples`` [B, T], with frames centred on every ``hop_length``-th sample.

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
        phase = spectrum / magnitude
        return torch.stack([magnitude.log(), phase.real, phase.imag], dim=1)

    def inverse(self, channels: Tensor) -> Tensor:
        """Return samples [B, (F - 1) · hop_length] of ``channels`` [B, 3, H, F].

        The first makes the magnitude, by a softplus; the others multiply it, and need not lie on the circle.
        """
        magnitude, real, imaginary = channels.unbind(dim=1)
        spectrum = nn.functional.softplus(magnitude) * torch.complex(real, imaginary)
        return torch.istft(spectrum, self.n_fft, self.hop_length, window=self.window)
