"""MP3 (MPEG-2 Audio Layer III, ISO/IEC 13818-3) at constant bitrates: the codes are the bytes of its frames.

At 16 kHz a frame stands for 576 samples, and every multiple of 8 kbit/s gives frames of a whole number of bytes,
all of one size. What a frame does not need it lends to later ones (the bit reservoir), within that size.
"""

import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import Encoder, decode_packets

__all__ = ["Mp3"]

_SAMPLE_RATE_HZ = 16000
_FRAME_LENGTH = 576
_DELAY = 1105
"""Samples by which LAME (576) and a decoder (529: its filter banks) delay the output."""


class Mp3(Codec):
    """LAME's encoder and FFmpeg's decoder."""

    def __init__(self, *, bitrate_bps: int) -> None:
        self._num_bits = bitrate_bps * _FRAME_LENGTH // _SAMPLE_RATE_HZ
        self._encoder = Encoder(
            name="libmp3lame",
            sample_rate_hz=_SAMPLE_RATE_HZ,
            frame_length=_FRAME_LENGTH,
            bitrate_bps=bitrate_bps,
            sample_format="fltp",
        )
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=streams_of_bits(self._num_bits, _SAMPLE_RATE_HZ / _FRAME_LENGTH),
            causal=True,
            latency_s=_DELAY / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        padded = torch.nn.functional.pad(samples, (0, _DELAY))
        num_frames = -(-padded.shape[1] // _FRAME_LENGTH)
        return frames_of_bits(list(self._encoder.packets(padded))[:num_frames], self._num_bits)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        decoded = decode_packets("mp3float", bits_of_frames(streams, self._num_bits))
        return torch.from_numpy(decoded[:, _DELAY:])
