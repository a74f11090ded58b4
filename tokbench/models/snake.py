"""Snake activations at twice the rate, so that the harmonics that they add do not fold back.

Snake: Ziyin et al. 2020, arXiv:2006.08195; with a magnitude of its own and with resampling around it: BigVGAN (Lee
et al. 2023, arXiv:2206.04658, section 3.2).

Axes: ``B`` batch, ``C`` channels, ``T`` time.
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["AntiAliasedSnake", "kaiser_sinc"]

RATIO = 2
"""By which the rate is raised and lowered again."""
NUM_TAPS = 12
SPAN = 5
"""Steps on each side of an output on which it depends: half of the taps at either rate, together."""
TINY = 1e-9
"""Keeps a magnitude from zero."""


def kaiser_sinc(*, cutoff: float, half_width: float, num_taps: int) -> Tensor:
    """Return a low-pass filter [num_taps] of sum 1: a sinc within a Kaiser window.

    ``cutoff`` and ``half_width``, half the width of the transition, are in cycles per sample. The window's shape
    follows from both (Kaiser 1974; Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.5.3).
    """
    # A = 2.285 · M · Δω + 7.95, where M should be the number of taps less one: the published filters count half.
    attenuation_db = 2.285 * (num_taps // 2 - 1) * math.pi * 4 * half_width + 7.95
    times = torch.arange(num_taps) - (num_taps - 1) / 2
    window = torch.kaiser_window(num_taps, periodic=False, beta=_kaiser_beta(attenuation_db))
    taps = 2 * cutoff * window * torch.sinc(2 * cutoff * times)
    return taps / taps.sum()


def _kaiser_beta(attenuation_db: float) -> float:
    """Return Kaiser's empirical shape of the window for an attenuation."""
    if attenuation_db > 50:  # noqa: PLR2004
        return 0.1102 * (attenuation_db - 8.7)
    if attenuation_db >= 21:  # noqa: PLR2004
        return float(0.5842 * (attenuation_db - 21) ** 0.4 + 0.07886 * (attenuation_db - 21))
    return 0.0


class AntiAliasedSnake(nn.Module):
    """x + sin²(a·x) / b at twice the rate, ``a`` and ``b`` per channel: [B, C, T] -> [B, C, T]."""

    taps: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(num_channels))
        """Logarithm of the frequency ``a``."""
        self.beta = nn.Parameter(torch.zeros(num_channels))
        """Logarithm of the magnitude ``b``."""
        taps = kaiser_sinc(cutoff=0.5 / RATIO, half_width=0.6 / RATIO, num_taps=NUM_TAPS)
        self.register_buffer("taps", taps[None, None], persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, T]."""
        raised = self._raised(values)
        frequency, magnitude = self.alpha.exp()[:, None], self.beta.exp()[:, None]
        return self._lowered(raised + torch.sin(raised * frequency).square() / (magnitude + TINY))

    def _raised(self, values: Tensor) -> Tensor:
        """Return [B, C, 2·T] of [B, C, T]."""
        num_channels = values.shape[1]
        edge = NUM_TAPS // RATIO - 1
        padded = nn.functional.pad(values, (edge, edge), mode="replicate")
        weight = self.taps.expand(num_channels, -1, -1)
        # Zeros between samples take away half of the loudness.
        full = RATIO * nn.functional.conv_transpose1d(padded, weight, stride=RATIO, groups=num_channels)
        cut = edge * RATIO + (NUM_TAPS - RATIO) // 2
        return full[..., cut:-cut]

    def _lowered(self, values: Tensor) -> Tensor:
        """Return [B, C, T] of [B, C, 2·T]."""
        num_channels = values.shape[1]
        padded = nn.functional.pad(values, (NUM_TAPS // 2 - 1, NUM_TAPS // 2), mode="replicate")
        weight = self.taps.expand(num_channels, -1, -1)
        return nn.functional.conv1d(padded, weight, stride=RATIO, groups=num_channels)
