"""LPC-10e (FED-STD-1015, 1984), the vocoder of secure telephones: 54 bits every 22.5 ms, by way of libspandsp.

Each frame has ten reflection coefficients, the pitch or that there is none, and the level; the decoder excites an
all-pole filter with pulses or noise. Nothing of the waveform is transmitted.
"""

from collections.abc import Callable
from ctypes import c_void_p

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import pcm16
from tokbench.codecs.libraries import shared_library

__all__ = ["Lpc10"]

_SAMPLE_RATE_HZ = 8000
_FRAME_LENGTH = 180
_NUM_BITS = 54
_PACKET_BYTES = 7
_NO_ERROR_CORRECTION = 0
_DELAY = 860
"""Samples by which envelopes are late, since the pitch is tracked over several frames; where ESTOI is highest."""


class Lpc10(Codec):
    """libspandsp's encoder and decoder, without the error correction of unvoiced frames."""

    def __init__(self) -> None:
        self._library = shared_library(
            "lpc10",
            "spandsp",
            package="libspandsp2",
            constructors=("lpc10_encode_init", "lpc10_decode_init"),
        )
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=streams_of_bits(_NUM_BITS, _SAMPLE_RATE_HZ / _FRAME_LENGTH),
            causal=True,
            latency_s=_DELAY / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        num_samples = samples.shape[1] + _DELAY
        speech = np.pad(pcm16(samples), (0, _DELAY + -num_samples % _FRAME_LENGTH))
        packets = np.zeros((len(speech) // _FRAME_LENGTH, _PACKET_BYTES), np.uint8)
        self._run("encode", packets, speech, len(speech))
        return frames_of_bits(map(bytes, packets), _NUM_BITS)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = np.frombuffer(b"".join(bits_of_frames(streams, _NUM_BITS)), np.uint8)
        speech = np.zeros(len(packets) // _PACKET_BYTES * _FRAME_LENGTH, np.int16)
        self._run("decode", speech, packets, len(packets))
        return torch.from_numpy(speech[None, _DELAY:].astype(np.float32) / 32768)

    def _run(self, direction: str, output: np.ndarray, values: np.ndarray, length: int) -> None:
        """Run a fresh coder over a whole utterance."""

        def call(name: str) -> Callable[..., int]:
            function: Callable[..., int] = getattr(self._library, f"lpc10_{direction}{name}")
            return function

        state = c_void_p(call("_init")(None, _NO_ERROR_CORRECTION))
        try:
            call("")(state, c_void_p(output.ctypes.data), c_void_p(values.ctypes.data), length)
        finally:
            call("_free")(state)
