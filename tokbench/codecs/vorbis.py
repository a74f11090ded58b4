"""Vorbis I (Xiph.Org, 2000), as libvorbis encodes it at a chosen quality: the codes are the bytes of its packets.

A stream begins with three headers, among them the codebooks, about 4 kB: they follow from rate, channels and
quality alone, so that the decoder makes them itself, as a receiver would that agreed on a setting beforehand. Pages
and checksums of the Ogg file are not counted; the sizes of the packets are, as lacing values.
"""

import io

import av
import numpy as np
import soundfile
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import PACKETS, join_packets, split_packets
from tokbench.codecs.ffmpeg import decode_packets

__all__ = ["Vorbis"]

_SAMPLE_RATE_HZ = 16000
_BLOCK_S = 2048 / _SAMPLE_RATE_HZ
"""The longest block at this rate."""
_SAMPLES_AT_ONCE = 2**20


class Vorbis(Codec):
    """libsndfile's libvorbis as encoder, and FFmpeg's decoder. The bitrate varies with the signal."""

    def __init__(self, *, quality: float) -> None:
        self._quality = quality
        self.info = TokenizerInfo(sample_rate_hz=_SAMPLE_RATE_HZ, streams=PACKETS, causal=True, latency_s=_BLOCK_S)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        _, packets = _packets(samples, self._quality)
        return join_packets(packets)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        header, _ = _packets(torch.zeros(1, 1), self._quality)
        return torch.from_numpy(decode_packets("vorbis", split_packets(streams), header=header))


def _packets(samples: Tensor, quality: float) -> tuple[bytes, list[bytes]]:
    """Return the headers and the packets of float32 ``samples`` [1, T]; ``quality`` is 0 to 1."""
    file, clipped = io.BytesIO(), np.clip(samples[0].cpu().numpy(), -1.0, 1.0)
    options = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1.0 - quality}
    with soundfile.SoundFile(file, "w", _SAMPLE_RATE_HZ, channels=1, **options) as writer:
        # The library lays out what it gets at once on its stack, which two minutes are too long for.
        for first in range(0, len(clipped), _SAMPLES_AT_ONCE):
            writer.write(clipped[first : first + _SAMPLES_AT_ONCE])
    with av.open(io.BytesIO(file.getvalue()), "r") as container:
        header = container.streams.audio[0].codec_context.extradata or b""
        return header, [bytes(packet) for packet in container.demux(audio=0) if packet.size]
