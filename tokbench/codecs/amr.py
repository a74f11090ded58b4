"""AMR, the codec of GSM and UMTS telephony, in its narrow and its wide band: ACELP in frames of 20 ms.

A packet is a byte that names the mode and then the speech bits, the most sensitive first (RFC 4867, 5.3): the codes
are the speech bits, since the mode is the setting. Discontinuous transmission is off.
"""

from collections.abc import Iterator
from ctypes import CDLL, c_void_p, create_string_buffer

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import Encoder, decode_packets, pcm16
from tokbench.codecs.libraries import shared_library

__all__ = ["AmrNb", "AmrWb"]

_FRAME_RATE_HZ = 50
_NB_BITS = (95, 103, 118, 134, 148, 159, 204, 244)
"""Speech bits per frame of the modes 4.75 to 12.2 (3GPP TS 26.101, table 2)."""
_WB_BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477)
"""Speech bits per frame of the modes 6.6 to 23.85 (3GPP TS 26.201, table 2)."""
_HAS_QUALITY = 0b100
"""The flag of a header byte that says that the frame is not damaged."""


class AmrNb(Codec):
    """AMR narrow-band at 8 kHz: OpenCORE's encoder and decoder, which are those of 3GPP TS 26.073 bit for bit."""

    _SAMPLE_RATE_HZ = 8000
    _DELAY = 40
    """Look-ahead of the linear prediction: 5 ms."""

    def __init__(self, *, mode: int) -> None:
        self._mode = mode
        self._num_bits = _NB_BITS[mode]
        self._encoder = Encoder(
            name="libopencore_amrnb",
            sample_rate_hz=self._SAMPLE_RATE_HZ,
            frame_length=160,
            bitrate_bps=self._num_bits * _FRAME_RATE_HZ,
        )
        self.info = _info(self._SAMPLE_RATE_HZ, self._num_bits, self._DELAY)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        padded = torch.nn.functional.pad(samples, (0, self._DELAY))
        num_frames = -(-padded.shape[1] // 160)
        # Closing the encoder emits one more packet, for audio that the decoder delays.
        packets = list(self._encoder.packets(padded))[:num_frames]
        return frames_of_bits([packet[1:] for packet in packets], self._num_bits)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = _with_header(self._mode, bits_of_frames(streams, self._num_bits))
        decoded = decode_packets("libopencore_amrnb", packets, sample_rate_hz=self._SAMPLE_RATE_HZ)
        return torch.from_numpy(decoded[:, self._DELAY :])


class AmrWb(Codec):
    """AMR wide-band (G.722.2) at 16 kHz: VisualOn's encoder, a library of the system, and OpenCORE's decoder."""

    _SAMPLE_RATE_HZ = 16000
    _FRAME_LENGTH = 320
    _DELAY = 95
    """Look-ahead of the linear prediction, 5 ms, and the filters to 12.8 kHz and back, 15 samples."""

    def __init__(self, *, mode: int) -> None:
        self._mode = mode
        self._num_bits = _WB_BITS[mode]
        self._library = shared_library(
            "amr-wb", "vo-amrwbenc", package="libvo-amrwbenc0", constructors=("E_IF_init",)
        )
        self.info = _info(self._SAMPLE_RATE_HZ, self._num_bits, self._DELAY)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        num_samples = samples.shape[1] + self._DELAY
        padded = np.pad(pcm16(samples), (0, self._DELAY + -num_samples % self._FRAME_LENGTH))
        packets = _wb_packets(self._library, padded.reshape(-1, self._FRAME_LENGTH), self._mode)
        return frames_of_bits([packet[1:] for packet in packets], self._num_bits)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = _with_header(self._mode, bits_of_frames(streams, self._num_bits))
        decoded = decode_packets("libopencore_amrwb", packets, sample_rate_hz=self._SAMPLE_RATE_HZ)
        return torch.from_numpy(decoded[:, self._DELAY :])


def _info(sample_rate_hz: int, num_bits: int, delay: int) -> TokenizerInfo:
    return TokenizerInfo(
        sample_rate_hz=sample_rate_hz,
        streams=streams_of_bits(num_bits, _FRAME_RATE_HZ),
        causal=True,
        latency_s=delay / sample_rate_hz,
    )


def _with_header(mode: int, frames: Iterator[bytes]) -> Iterator[bytes]:
    header = bytes([mode << 3 | _HAS_QUALITY])
    return (header + frame for frame in frames)


def _wb_packets(library: CDLL, frames: np.ndarray, mode: int) -> Iterator[bytes]:
    """Yield the packets of int16 ``frames`` [F, 320], from a fresh encoder."""
    state = c_void_p(library.E_IF_init())
    try:
        packet = create_string_buffer(1 + -(-_WB_BITS[mode] // 8))
        for frame in frames:
            size = library.E_IF_encode(state, mode, c_void_p(frame.ctypes.data), packet, 0)
            yield packet.raw[:size]
    finally:
        library.E_IF_exit(state)
