"""Packets of an FFmpeg codec: audio in, packets out, and back. What the classical adapters have in common."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from av import AudioCodecContext, AudioFrame, CodecContext, Packet
from torch import Tensor

__all__ = ["Encoder", "decode_packets", "pcm16"]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """An encoder of FFmpeg for mono audio, with all that decides its packets. Each utterance gets a fresh one."""

    name: str
    sample_rate_hz: int
    frame_length: int
    """Samples that are handed over at a time; for most codecs one packet."""
    bitrate_bps: int | None = None
    sample_format: str = "s16"
    """``s16`` for 16-bit integers, ``flt`` or ``fltp`` for 32-bit floats."""
    options: Mapping[str, str] | None = None

    def packets(self, samples: Tensor) -> Iterator[bytes]:
        """Yield the packets of float32 ``samples`` [1, T], padded with silence to whole frames."""
        context = self._context()
        is_float = self.sample_format.startswith("flt")
        values = samples.cpu().numpy() if is_float else pcm16(samples)[None]
        padded = np.pad(values, ((0, 0), (0, -values.shape[1] % self.frame_length)))
        for start in range(0, padded.shape[1], self.frame_length):
            piece = np.ascontiguousarray(padded[:, start : start + self.frame_length])
            frame = AudioFrame.from_ndarray(piece, format=self.sample_format, layout="mono")
            frame.sample_rate = self.sample_rate_hz
            frame.pts = start
            yield from map(bytes, context.encode(frame))
        yield from map(bytes, context.encode(None))

    def header(self) -> bytes:
        """Return what a decoder must know beside the packets; it follows from the settings alone."""
        context = self._context()
        context.open()
        return bytes(context.extradata or b"")

    def _context(self) -> AudioCodecContext:
        context = _create(self.name, "w")
        context.sample_rate = self.sample_rate_hz
        context.layout = "mono"
        context.format = self.sample_format
        if self.bitrate_bps is not None:
            context.bit_rate = self.bitrate_bps
        if self.options is not None:
            context.options = dict(self.options)
        return context


def decode_packets(
    name: str,
    packets: Iterable[bytes],
    *,
    sample_rate_hz: int | None = None,
    header: bytes = b"",
    options: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Return float32 [1, T] of mono ``packets``, from a fresh decoder.

    ``sample_rate_hz`` is for formats that do not tell it, ``header`` for those that have one.
    """
    context = _create(name, "r")
    context.layout = "mono"
    if sample_rate_hz is not None:
        context.sample_rate = sample_rate_hz
    if header:
        context.extradata = header
    if options is not None:
        context.options = dict(options)
    frames = [frame.to_ndarray() for packet in packets for frame in context.decode(Packet(packet))]
    frames += [frame.to_ndarray() for frame in context.decode(None)]
    decoded = np.concatenate(frames, axis=1)
    return decoded.astype(np.float32) / 32768 if decoded.dtype == np.int16 else decoded


def pcm16(samples: Tensor) -> np.ndarray:
    """Return int16 [T], rounded and clipped, of float32 ``samples`` [1, T]."""
    scaled = np.rint(samples[0].cpu().numpy() * 32768.0)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def _create(name: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    return cast("AudioCodecContext", CodecContext.create(name, mode))
