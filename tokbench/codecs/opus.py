"""Opus, the standard codec of the internet, as FFmpeg carries it: the codes are the bytes of its packets.

At a constant bitrate every 20 ms packet has the same number of bytes, so that the bytes form one stream of
``K = bitrate / 50 / 8`` codebooks of 256 entries, and the bitrate derived from the codes is the transmitted one.

Audio is 16 kHz: speech corpora are, and Opus itself codes speech at these rates in wideband or below.
The application is ``audio``, which stays closest to the input; ``voip`` adds a high-pass filter (RFC 6716, 2.1).
"""

import struct
from collections.abc import Iterator

import numpy as np
import torch
from av import AudioCodecContext, AudioFrame, CodecContext, Packet
from torch import Tensor

from tokbench.audio import Audio
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

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
        self._bitrate_bps = bitrate_bps
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=(StreamInfo(bitrate_bps // (8 * _FRAME_RATE_HZ), 256, _FRAME_RATE_HZ),),
            causal=True,
            latency_s=_LOOK_AHEAD / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        # The packets must reach beyond the last sample by the look-ahead, which the decoder drops at the start.
        num_frames = -(-(samples.shape[1] + _LOOK_AHEAD) // _FRAME_LENGTH)
        padding = num_frames * _FRAME_LENGTH - samples.shape[1]
        padded = np.pad(samples.cpu().numpy(), ((0, 0), (0, padding)))
        packets = b"".join(_packets(padded, self._bitrate_bps))
        # Closing the encoder emits one more packet, in which there is nothing to hear.
        content = np.frombuffer(packets, np.uint8).reshape(-1, self.info.streams[0].num_codebooks)[:num_frames]
        return [torch.from_numpy(content.T.astype(np.int64))]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = streams[0].cpu().numpy().astype(np.uint8).T
        decoder = AudioCodecContext.create("libopus", "r")
        decoder.extradata = _HEADER
        decoder.options = {"request_sample_fmt": "flt"}
        decoder.layout = "mono"
        frames = [frame for packet in packets for frame in decoder.decode(Packet(packet.tobytes()))]
        decoded = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
        return Audio.from_numpy(decoded, _DECODER_RATE_HZ).resample(_SAMPLE_RATE_HZ).samples


def _packets(samples: np.ndarray, bitrate_bps: int) -> Iterator[bytes]:
    """Yield the packets of float32 ``samples`` [1, T], T a multiple of the frame length."""
    encoder = CodecContext.create("libopus", "w")
    encoder.sample_rate = _SAMPLE_RATE_HZ
    encoder.layout = "mono"
    encoder.format = "flt"
    encoder.bit_rate = bitrate_bps
    encoder.options = _OPTIONS
    for start in range(0, samples.shape[1], _FRAME_LENGTH):
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[:, start : start + _FRAME_LENGTH]), format="flt", layout="mono"
        )
        frame.sample_rate = _SAMPLE_RATE_HZ
        frame.pts = start
        yield from map(bytes, encoder.encode(frame))
    yield from map(bytes, encoder.encode(None))
