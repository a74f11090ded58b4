"""A pseudo quadrature mirror filter bank: a waveform in bands of equal width, each at its own lower rate.

Sources: Nguyen 1994, "Near-perfect-reconstruction pseudo-QMF banks", IEEE Transactions on Signal Processing 42(1),
eq. 2; Lin and Vaidyanathan 1998, "A Kaiser window approach for the design of prototype filters of cosine modulated
filterbanks", IEEE Signal Processing Letters 5(6).

Axes: ``B`` batch, ``T`` samples, ``M`` bands.
"""

import math
from collections.abc import Mapping

import torch
from scipy.signal import firwin
from torch import Tensor, nn

__all__ = ["Pqmf"]

_NUM_TAPS = 63
_BETA = 9.0
_CUTOFFS: Mapping[int, float] = {2: 0.25, 4: 0.13, 6: 0.10032791, 8: 0.07949452}
"""By number of bands, in parts of half the sample rate: UniAudio, ``codec/modules/commons/pqmf.py``."""


class Pqmf(nn.Module):
    """The analysis half: [B, T] -> [B, M, ceil(T / M)]."""

    filters: Tensor

    def __init__(self, num_bands: int) -> None:
        super().__init__()
        self.num_bands = num_bands
        prototype = torch.from_numpy(firwin(_NUM_TAPS, _CUTOFFS[num_bands], window=("kaiser", _BETA), scale=False))
        time = torch.arange(_NUM_TAPS, dtype=torch.float64) - _NUM_TAPS // 2
        band = torch.arange(num_bands, dtype=torch.float64)[:, None]
        phase = math.pi / 4 * (-1) ** band
        filters = 2 * prototype * torch.cos((2 * band + 1) * math.pi / (2 * num_bands) * time + phase)
        self.register_buffer("filters", filters[:, None].float(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return [B, M, ceil(T / M)] of ``samples`` [B, T]."""
        return nn.functional.conv1d(samples[:, None], self.filters, stride=self.num_bands, padding=_NUM_TAPS // 2)
