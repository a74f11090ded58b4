"""The ceiling: 16-bit linear PCM. Each sample is a code, so no codec of 16-bit audio can be closer to its input."""

import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

__all__ = ["Identity"]

_FULL_SCALE = 1 << 15
_LEVELS = 1 << 16


class Identity(Codec):
    """16-bit PCM; lossless for 16-bit audio at the codec's rate, rounded and clipped to full scale otherwise."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(1, _LEVELS, sample_rate_hz),),
            causal=True,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        # Resampling leaves the 16-bit grid and may overshoot full scale.
        levels = torch.round(samples * _FULL_SCALE).clamp(-_FULL_SCALE, _FULL_SCALE - 1)
        return [levels.to(torch.int64) + _FULL_SCALE]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return (streams[0] - _FULL_SCALE).to(torch.float32) / _FULL_SCALE
