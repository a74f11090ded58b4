"""Speex (Xiph.Org 2003), the free CELP codec that was Opus' predecessor, by way of the system's libspeex.

At a constant bitrate each quality has frames of its own number of bits, every 20 ms: those are the codes.
The wide band is the narrow band with a second layer above 4 kHz.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL, Structure, byref, c_char_p, c_int, c_void_p, create_string_buffer
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import pcm16
from tokbench.codecs.libraries import shared_library

__all__ = ["Speex"]

_FRAME_RATE_HZ = 50
_BANDS = {"narrow": (0, 8000), "wide": (1, 16000)}
"""``speex_lib_get_mode`` and sample rate of each band."""
# Requests of ``speex_encoder_ctl`` (speex/speex.h).
_SET_QUALITY = 4
_SET_COMPLEXITY = 16
_GET_BITRATE = 19
_GET_LOOK_AHEAD = 39
_COMPLEXITY = 10
_MAX_BYTES = 200


class _Bits(Structure):
    """``SpeexBits`` of speex/speex_bits.h."""

    _fields_ = (
        ("chars", c_char_p),
        ("num_bits", c_int),
        ("char_ptr", c_int),
        ("bit_ptr", c_int),
        ("owner", c_int),
        ("overflow", c_int),
        ("buffer_size", c_int),
        ("reserved1", c_int),
        ("reserved2", c_void_p),
    )


class Speex(Codec):
    """libspeex at a constant bitrate and the highest complexity, with the decoder's enhancement, its default."""

    def __init__(self, *, band: Literal["narrow", "wide"], quality: int) -> None:
        self._library = shared_library(
            "speex",
            "speex",
            package="libspeex1",
            constructors=("speex_lib_get_mode", "speex_encoder_init", "speex_decoder_init"),
        )
        number, sample_rate_hz = _BANDS[band]
        self._mode = c_void_p(self._library.speex_lib_get_mode(number))
        self._quality = quality
        self._frame_length = sample_rate_hz // _FRAME_RATE_HZ
        with self._encoder() as encoder, self._decoder() as decoder:
            self._num_bits = self._ask("encoder", encoder, _GET_BITRATE) // _FRAME_RATE_HZ
            looks = self._ask("encoder", encoder, _GET_LOOK_AHEAD), self._ask("decoder", decoder, _GET_LOOK_AHEAD)
        self._delay = sum(looks)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=streams_of_bits(self._num_bits, _FRAME_RATE_HZ),
            causal=True,
            latency_s=self._delay / sample_rate_hz,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        num_samples = samples.shape[1] + self._delay
        padded = np.pad(pcm16(samples), (0, self._delay + -num_samples % self._frame_length))
        return frames_of_bits(self._packets(padded.reshape(-1, self._frame_length)), self._num_bits)

    def _packets(self, frames: np.ndarray) -> Iterator[bytes]:
        packet = create_string_buffer(_MAX_BYTES)
        with self._encoder() as encoder, _bits(self._library) as bits:
            for frame in frames:
                self._library.speex_bits_reset(byref(bits))
                self._library.speex_encode_int(encoder, c_void_p(frame.ctypes.data), byref(bits))
                size = self._library.speex_bits_write(byref(bits), packet, _MAX_BYTES)
                yield packet.raw[:size]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = list(bits_of_frames(streams, self._num_bits))
        speech = np.zeros((len(packets), self._frame_length), np.int16)
        with self._decoder() as decoder, _bits(self._library) as bits:
            for packet, frame in zip(packets, speech, strict=True):
                self._library.speex_bits_read_from(byref(bits), packet, len(packet))
                self._library.speex_decode_int(decoder, byref(bits), c_void_p(frame.ctypes.data))
        decoded = speech.reshape(1, -1)[:, self._delay :].astype(np.float32) / 32768
        return torch.from_numpy(decoded)

    @contextmanager
    def _encoder(self) -> Iterator[c_void_p]:
        state = c_void_p(self._library.speex_encoder_init(self._mode))
        try:
            for request, value in ((_SET_QUALITY, self._quality), (_SET_COMPLEXITY, _COMPLEXITY)):
                self._library.speex_encoder_ctl(state, request, byref(c_int(value)))
            yield state
        finally:
            self._library.speex_encoder_destroy(state)

    @contextmanager
    def _decoder(self) -> Iterator[c_void_p]:
        state = c_void_p(self._library.speex_decoder_init(self._mode))
        try:
            yield state
        finally:
            self._library.speex_decoder_destroy(state)

    def _ask(self, coder: str, state: c_void_p, request: int) -> int:
        answer = c_int()
        getattr(self._library, f"speex_{coder}_ctl")(state, request, byref(answer))
        return answer.value


@contextmanager
def _bits(library: CDLL) -> Iterator[_Bits]:
    bits = _Bits()
    library.speex_bits_init(byref(bits))
    try:
        yield bits
    finally:
        library.speex_bits_destroy(byref(bits))
