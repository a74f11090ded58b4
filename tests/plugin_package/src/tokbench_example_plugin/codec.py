"""Linear PCM with few bits."""

import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo


class Linear(Codec):
    """Linear PCM at 16 kHz."""

    def __init__(self, *, bits: int = 8) -> None:
        self._highest = 2**bits - 1
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(1, 2**bits, 16000),))

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [((samples.clamp(-1, 1) + 1) / 2 * self._highest).round().to(torch.int64)]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return streams[0] / self._highest * 2 - 1
