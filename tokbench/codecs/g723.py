"""ITU-T G.723.1 (1996) at 6.3 kbit/s, the codec of the first video telephones: MP-MLQ in frames of 30 ms.

A packet is 24 bytes, the lowest bit of each first. Of its 192 bits the first two name the rate and bit 96 is not
used: all three are 0 here, and the 189 others are the codes.
"""

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import Encoder, decode_packets

__all__ = ["G7231"]

_SAMPLE_RATE_HZ = 8000
_FRAME_LENGTH = 240
_DELAY = 60
"""Look-ahead of the linear prediction: 7.5 ms."""
_NUM_BITS = 189
_UNUSED = (0, 1, 96)


class G7231(Codec):
    """FFmpeg's encoder and decoder, the former of which has the higher of the two rates alone."""

    def __init__(self) -> None:
        self._encoder = Encoder(
            name="g723_1", sample_rate_hz=_SAMPLE_RATE_HZ, frame_length=_FRAME_LENGTH, bitrate_bps=6300
        )
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=streams_of_bits(_NUM_BITS, _SAMPLE_RATE_HZ / _FRAME_LENGTH),
            causal=True,
            latency_s=_DELAY / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        packets = list(self._encoder.packets(torch.nn.functional.pad(samples, (0, _DELAY))))
        content = np.frombuffer(b"".join(packets), np.uint8).reshape(len(packets), -1)
        bits = np.delete(np.unpackbits(content, axis=1, bitorder="little"), _UNUSED, axis=1)
        return frames_of_bits(map(bytes, np.packbits(bits, axis=1)), _NUM_BITS)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        content = np.frombuffer(b"".join(bits_of_frames(streams, _NUM_BITS)), np.uint8)
        bits = np.unpackbits(content.reshape(streams[0].shape[1], -1), axis=1, count=_NUM_BITS)
        used = np.insert(bits, [unused - index for index, unused in enumerate(_UNUSED)], 0, axis=1)
        packets = map(bytes, np.packbits(used, axis=1, bitorder="little"))
        decoded = decode_packets("g723_1", packets, sample_rate_hz=_SAMPLE_RATE_HZ)
        return torch.from_numpy(decoded[:, _DELAY:])
