"""GSM 06.10 full rate (1989), the codec of the first digital mobile telephones: RPE-LTP at 13 kbit/s.

libsndfile carries libgsm. A frame of 20 ms is 33 bytes, of which the first four bits are a signature: the other 260
bits are the codes.
"""

import io

import numpy as np
import soundfile
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import pcm16

__all__ = ["Gsm"]

_SAMPLE_RATE_HZ = 8000
_FRAME_LENGTH = 160
_FRAME_RATE_HZ = 50
_FRAME_BYTES = 33
_NUM_BITS = 260
_SIGNATURE = 0xD
_FILE = {"samplerate": _SAMPLE_RATE_HZ, "format": "RAW", "subtype": "GSM610"}


class Gsm(Codec):
    """libgsm's encoder and decoder, which have no look-ahead and no delay."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ, streams=streams_of_bits(_NUM_BITS, _FRAME_RATE_HZ), causal=True
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        values = pcm16(samples)
        file = io.BytesIO()
        soundfile.write(file, np.pad(values, (0, -len(values) % _FRAME_LENGTH)), **_FILE)
        frames = np.frombuffer(file.getvalue(), np.uint8).reshape(-1, _FRAME_BYTES)
        bits = np.unpackbits(frames, axis=1)[:, -_NUM_BITS:]
        return frames_of_bits(map(bytes, np.packbits(bits, axis=1)), _NUM_BITS)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        content = np.frombuffer(b"".join(bits_of_frames(streams, _NUM_BITS)), np.uint8)
        bits = np.unpackbits(content.reshape(-1, _FRAME_BYTES), axis=1, count=_NUM_BITS)
        signature = np.unpackbits(np.full((len(bits), 1), _SIGNATURE, np.uint8), axis=1)[:, -4:]
        frames = np.packbits(np.concatenate([signature, bits], axis=1), axis=1)
        decoded, _ = soundfile.read(io.BytesIO(frames.tobytes()), channels=1, dtype="float32", **_FILE)
        return torch.from_numpy(decoded)[None]
