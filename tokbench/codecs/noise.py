"""The floor: white noise at the level of speech, whatever went in. A metric that rewards it measures nothing."""

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

__all__ = ["Noise"]

_SAMPLE_RATE_HZ = 16000
_FRAME_RATE_HZ = 50
_FRAME_LENGTH = _SAMPLE_RATE_HZ // _FRAME_RATE_HZ
_RMS = 10 ** (-26 / 20)
"""-26 dBov, the nominal level of speech in ITU-T P.56 measurements (ITU-T G.191)."""
_SEED = 0


class Noise(Codec):
    """Transmits the number of frames and nothing else: one codebook of one code, 0 bit/s."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ, streams=(StreamInfo(1, 1, _FRAME_RATE_HZ),), causal=True
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        num_frames = -(-samples.shape[1] // _FRAME_LENGTH)
        return [torch.zeros(1, num_frames, dtype=torch.int64)]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        generator = np.random.default_rng(_SEED)
        noise = generator.standard_normal((1, streams[0].shape[1] * _FRAME_LENGTH), dtype=np.float32)
        return torch.from_numpy(_RMS * noise)
