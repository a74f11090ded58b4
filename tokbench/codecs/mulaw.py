"""Logarithmic PCM: the mu-law characteristic of telephony, in its continuous form, with a chosen number of bits.

With F the compressed amplitude of x in -1 .. 1 (ITU-T G.711 approximates it by 15 straight segments):

    F(x) = sign(x) · ln(1 + mu·|x|) / ln(1 + mu),    x = sign(F) · ((1 + mu)^|F| - 1) / mu,    mu = 255
"""

import math

import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

__all__ = ["MuLaw"]

_SAMPLE_RATE_HZ = 16000
_MU = 255.0


class MuLaw(Codec):
    """Quantizes F(x) uniformly to ``2 ** bits`` levels, the outermost of which are full scale."""

    def __init__(self, *, bits: int) -> None:
        self._highest = 2**bits - 1
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ, streams=(StreamInfo(1, 2**bits, _SAMPLE_RATE_HZ),), causal=True
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        clipped = samples.clamp(-1.0, 1.0)
        compressed = clipped.sign() * torch.log1p(_MU * clipped.abs()) / math.log1p(_MU)
        return [torch.floor((compressed + 1) / 2 * self._highest + 0.5).to(torch.int64)]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        compressed = streams[0].to(torch.float32) * (2 / self._highest) - 1
        expanded: Tensor = compressed.sign() * torch.expm1(compressed.abs() * math.log1p(_MU)) / _MU
        return expanded
