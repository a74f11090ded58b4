"""AAC-LC (MPEG-4 Audio, ISO/IEC 14496-3) at an average bitrate: the codes are its packets' bytes, and their sizes.

What a file repeats around them is not counted: ADTS headers, or the tables of MP4. The AudioSpecificConfig, which
says "AAC-LC, 16 kHz, mono", follows from the settings, and the decoder makes it itself.
"""

import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import PACKETS, join_packets, split_packets
from tokbench.codecs.ffmpeg import Encoder, decode_packets

__all__ = ["Aac"]

_SAMPLE_RATE_HZ = 16000
_FRAME_LENGTH = 1024
"""Samples of a packet, and as many by which the encoder is ahead: the transform's windows overlap by half."""


class Aac(Codec):
    """FFmpeg's encoder and decoder. Packets vary in size with the signal, and the bitrate with them."""

    def __init__(self, *, bitrate_bps: int) -> None:
        self._encoder = Encoder(
            name="aac",
            sample_rate_hz=_SAMPLE_RATE_HZ,
            frame_length=_FRAME_LENGTH,
            bitrate_bps=bitrate_bps,
            sample_format="fltp",
        )
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=PACKETS,
            causal=True,
            latency_s=_FRAME_LENGTH / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return join_packets(self._encoder.packets(torch.nn.functional.pad(samples, (0, _FRAME_LENGTH))))

    def _decode(self, streams: list[Tensor]) -> Tensor:
        decoded = decode_packets(
            "aac", split_packets(streams), sample_rate_hz=_SAMPLE_RATE_HZ, header=self._encoder.header()
        )
        return torch.from_numpy(decoded[:, _FRAME_LENGTH:])
