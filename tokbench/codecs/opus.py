"""Opus, the standard codec of the internet, as FFmpeg carries it: the codes are the bytes of its packets.

At a constant bitrate every 20 ms packet has the same number of bytes, so that the bytes form one stream of
``K = bitrate / 50 / 8`` codebooks of 256 entries, and the bitrate derived from the codes is the transmitted one.

Audio is 16 kHz: speech corpora are, and Opus itself codes speech at these rates in wideband or below.
The application is ``audio``, which stays closest to the input; ``voip`` adds a high-pass filter (RFC 6716, 2.1).
"""

import struct

import torch
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import Encoder, decode_packets

__all__ = ["Opus"]

_SAMPLE_RATE_HZ = 16000
_FRAME_RATE_HZ = 50
_FRAME_LENGTH = _SAMPLE_RATE_HZ // _FRAME_RATE_HZ
_LOOK_AHEAD = 104
"""Samples by which libopus delays 16 kHz audio (``OPUS_GET_LOOKAHEAD``: 6.5 ms)."""
_DECODER_RATE_HZ = 48000
"""An Opus decoder always runs at 48 kHz (RFC 7845, 5.1)."""
_OPTIONS = {
    "application": "audio",
    "compression_level": "10",
    "dtx": "0",
    "frame_duration": "20",
    "vbr": "off",
}
_HEADER = struct.pack(
    "<8sBBHIhB", b"OpusHead", 1, 1, _LOOK_AHEAD * _DECODER_RATE_HZ // _SAMPLE_RATE_HZ, _SAMPLE_RATE_HZ, 0, 0
)
"""Identification header (RFC 7845, 5.1): version, channels, pre-skip, input rate, gain, mapping family."""


class Opus(Codec):
    """libopus at a hard constant bitrate, with a fresh encoder and a fresh decoder for each utterance."""

    def __init__(self, *, bitrate_bps: int) -> None:
        self._num_bits = bitrate_bps // _FRAME_RATE_HZ
        self._encoder = Encoder(
            name="libopus",
            sample_rate_hz=_SAMPLE_RATE_HZ,
            frame_length=_FRAME_LENGTH,
            bitrate_bps=bitrate_bps,
            sample_format="flt",
            options=_OPTIONS,
        )
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=streams_of_bits(self._num_bits, _FRAME_RATE_HZ),
            causal=True,
            latency_s=_LOOK_AHEAD / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        # The packets must reach beyond the last sample by the look-ahead, which the decoder drops at the start.
        padded = torch.nn.functional.pad(samples, (0, _LOOK_AHEAD))
        num_frames = -(-padded.shape[1] // _FRAME_LENGTH)
        # Closing the encoder emits one more packet, in which there is nothing to hear.
        return frames_of_bits(list(self._encoder.packets(padded))[:num_frames], self._num_bits)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = bits_of_frames(streams, self._num_bits)
        decoded = decode_packets("libopus", packets, header=_HEADER, options={"request_sample_fmt": "flt"})
        return Audio.from_numpy(decoded, _DECODER_RATE_HZ).resample(_SAMPLE_RATE_HZ).samples
