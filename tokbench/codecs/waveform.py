"""The waveform coders of telephony: one code for each sample, or for two of them.

G.711 (1972) quantizes each sample; the ADPCM coders quantize its difference from a prediction with a step that
adapts: IMA by a table, G.726 by a predictor of two poles and six zeros, G.722 in two sub-bands of 4 kHz.
Their coders carry state from sample to sample, so that an utterance is one run from a fresh start.
"""

import io
from typing import Literal

import av
import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.ffmpeg import Encoder, decode_packets
from tokbench.codes import StreamInfo

__all__ = ["G711", "G722", "G726", "ImaAdpcm"]

_TELEPHONE_RATE_HZ = 8000
_BYTE = 8


class G711(Codec):
    """ITU-T G.711 at 8 kHz: 8 bits per sample, by the law ``mulaw`` or ``alaw``."""

    def __init__(self, *, law: Literal["mulaw", "alaw"]) -> None:
        self._name = f"pcm_{law}"
        self._encoder = Encoder(name=self._name, sample_rate_hz=_TELEPHONE_RATE_HZ, frame_length=2048)
        self.info = TokenizerInfo(
            sample_rate_hz=_TELEPHONE_RATE_HZ, streams=(StreamInfo(1, 256, _TELEPHONE_RATE_HZ),), causal=True
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [_codes(b"".join(self._encoder.packets(samples)), 8, samples.shape[1])]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        decoded = decode_packets(self._name, [_bytes(streams[0], 8)], sample_rate_hz=_TELEPHONE_RATE_HZ)
        return torch.from_numpy(decoded)


class ImaAdpcm(Codec):
    """IMA ADPCM (1992): 4 bits per sample; codes alone, without the block headers of WAV files."""

    def __init__(self, *, sample_rate_hz: int) -> None:
        # The variant of which a packet is nothing but codes, and which starts from 0.
        self._encoder = Encoder(name="adpcm_ima_ssi", sample_rate_hz=sample_rate_hz, frame_length=2048)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz, streams=(StreamInfo(1, 16, sample_rate_hz),), causal=True
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [_codes(b"".join(self._encoder.packets(samples)), 4, samples.shape[1])]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packet = _bytes(streams[0], 4)
        return torch.from_numpy(decode_packets("adpcm_ima_ssi", [packet], sample_rate_hz=self.info.sample_rate_hz))


class G726(Codec):
    """ITU-T G.726 (1990) at 8 kHz, with 2 to 5 bits per sample.

    Signals are coded at half their level: FFmpeg's decoder lets what overshoots full scale wrap around. The step
    adapts to the level, so that the codes are about as good at any.
    """

    _LEVEL = 0.5

    def __init__(self, *, bits: int) -> None:
        self._bits = bits
        self._encoder = Encoder(
            name="g726",
            sample_rate_hz=_TELEPHONE_RATE_HZ,
            frame_length=2048,
            bitrate_bps=bits * _TELEPHONE_RATE_HZ,
        )
        self.info = TokenizerInfo(
            sample_rate_hz=_TELEPHONE_RATE_HZ, streams=(StreamInfo(1, 2**bits, _TELEPHONE_RATE_HZ),), causal=True
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        packets = self._encoder.packets(self._LEVEL * samples)
        return [_codes(b"".join(packets), self._bits, samples.shape[1])]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        # The decoder learns the number of bits from a demuxer alone.
        file = io.BytesIO(_bytes(streams[0], self._bits))
        options = {"code_size": str(self._bits), "sample_rate": str(_TELEPHONE_RATE_HZ)}
        with av.open(file, "r", format="g726", options=options) as container:
            frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        decoded = np.concatenate(frames, axis=1).astype(np.float32) / 32768
        return torch.from_numpy(decoded / self._LEVEL).clamp(-1.0, 1.0)


class G722(Codec):
    """ITU-T G.722 (1988) at 16 kHz: a byte per two samples, 6 bits of the lower sub-band and 2 of the upper.

    The coder is embedded: 56 and 48 kbit/s are the same bytes without the last one or two bits of the lower
    sub-band, which G.722 lends to other data.
    """

    _DELAY = 22
    """Samples by which the two filter banks of 24 taps delay the output."""
    _SAMPLE_RATE_HZ = 16000

    def __init__(self, *, bits: int) -> None:
        self._bits = bits
        self._encoder = Encoder(name="g722", sample_rate_hz=self._SAMPLE_RATE_HZ, frame_length=320)
        self.info = TokenizerInfo(
            sample_rate_hz=self._SAMPLE_RATE_HZ,
            streams=(StreamInfo(1, 2**bits, self._SAMPLE_RATE_HZ / 2),),
            causal=True,
            latency_s=self._DELAY / self._SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        padded = torch.nn.functional.pad(samples, (0, self._DELAY))
        codes = _codes(b"".join(self._encoder.packets(padded)), 8, -(-padded.shape[1] // 2))
        return [codes >> (8 - self._bits)]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packet = _bytes(streams[0] << (8 - self._bits), 8)
        decoded = decode_packets(
            "g722",
            [packet],
            sample_rate_hz=self._SAMPLE_RATE_HZ,
            options={"bits_per_codeword": str(self._bits)},
        )
        return torch.from_numpy(decoded[:, self._DELAY :])


def _codes(content: bytes, num_bits: int, num_codes: int) -> Tensor:
    """Return int64 [1, F], the first codes of a row of bytes, the highest bit first."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8), count=num_bits * num_codes)
    values = np.packbits(np.pad(bits.reshape(num_codes, num_bits), ((0, 0), (_BYTE - num_bits, 0))), axis=1)
    return torch.from_numpy(values.astype(np.int64).T)


def _bytes(codes: Tensor, num_bits: int) -> bytes:
    """Return the row of bytes of ``codes`` [1, F], filled up with zeros to a whole byte."""
    bits = np.unpackbits(codes.cpu().numpy().astype(np.uint8).T, axis=1)
    return np.packbits(bits[:, _BYTE - num_bits :]).tobytes()
