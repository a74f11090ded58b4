"""Bitstreams: codes in a file of as few bytes as they take.

``TOKB``, a byte with the version, the length of the header (4 bytes, the lowest first), the header as JSON, and the
codes: with the numbers of ``ceil(log2 V)`` bits each, the highest bit first, frame by frame and one stream after
the other; or entropy coded (:mod:`tokbench.codecs.entropy`), for a codec of one stream that has a model for it.
"""

import json
import struct
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from tokbench.codecs.entropy import EntropyCoder
from tokbench.codes import Codes, CodeStream, checksum
from tokbench.errors import BitstreamError
from tokbench.paths import write_bytes
from tokbench.specs.base import StrictModel, problems

__all__ = ["MAGIC", "Bitstream"]

MAGIC = b"TOKB"
_VERSION = 1
_PREFIX = struct.Struct("<4sBI")


class _Stream(StrictModel):
    num_codebooks: int = Field(ge=0)
    codebook_size: int = Field(ge=1)
    num_frames: int = Field(ge=0)
    frame_rate_hz: float | None


class _Header(StrictModel):
    codec: str
    """The reference by which it was called: ``name:setting``."""
    num_samples: int = Field(ge=0)
    sample_rate_hz: int = Field(gt=0)
    streams: tuple[_Stream, ...]
    coder: Literal["fixed-width", "lm"]
    model_sha256: str = ""
    """Of the model by which the codes were coded."""
    crc32: int
    """Of the codes."""


class Bitstream:
    """A header and the bytes of codes."""

    def __init__(self, header: _Header, payload: bytes) -> None:
        self._header, self.payload = header, payload

    @property
    def codec(self) -> str:
        """The codec that made the codes, as it was asked for."""
        return self._header.codec

    @property
    def coder(self) -> str:
        """``fixed-width`` or ``lm``."""
        return self._header.coder

    @property
    def bitrate_bps(self) -> float:
        """Bits of the codes per second of audio; the header, which a call sends once, is not among them."""
        return 8 * len(self.payload) * self._header.sample_rate_hz / self._header.num_samples

    @classmethod
    def pack(cls, codec: str, codes: Codes, coder: EntropyCoder | None = None) -> Self:
        """Return the bitstream of ``codes``, entropy coded if there is a ``coder`` for them."""
        is_coded = coder is not None and len(codes.streams) == 1
        payload = coder.encode(codes.streams[0].indices) if coder is not None and is_coded else _packed(codes)
        streams = tuple(
            _Stream(
                num_codebooks=stream.num_codebooks,
                codebook_size=stream.codebook_size,
                num_frames=stream.num_frames,
                frame_rate_hz=stream.frame_rate_hz,
            )
            for stream in codes.streams
        )
        header = _Header(
            codec=codec,
            num_samples=codes.num_samples,
            sample_rate_hz=codes.sample_rate_hz,
            streams=streams,
            coder="lm" if is_coded else "fixed-width",
            model_sha256=coder.fingerprint if coder is not None and is_coded else "",
            crc32=checksum([stream.indices for stream in codes.streams]),
        )
        return cls(header, payload)

    def unpack(self, coder: EntropyCoder | None = None) -> Codes:
        """Return the codes.

        Raises :class:`BitstreamError` for an entropy coded stream without the model that it was made with, and for
        bytes that are not what was written.
        """
        header = self._header
        if header.coder == "lm":
            found = "" if coder is None else coder.fingerprint
            if coder is None or found != header.model_sha256:
                has = f"has {found[:12]}" if found else "has none"
                raise BitstreamError(
                    f"{header.codec} coded it by the model {header.model_sha256[:12]}; the codec here {has}"
                )
            (stream,) = header.streams
            size = {"num_codebooks": stream.num_codebooks, "num_frames": stream.num_frames}
            indices = [coder.decode(self.payload, **size)]
        else:
            indices = _unpacked(self.payload, header.streams)
        if checksum(indices) != header.crc32:
            raise BitstreamError(
                "the codes are not those that were written: damage, or a machine that rounds apart"
            )
        streams = (
            CodeStream(codes, stream.codebook_size, stream.frame_rate_hz)
            for codes, stream in zip(indices, header.streams, strict=True)
        )
        return Codes(tuple(streams), header.num_samples, header.sample_rate_hz)

    def to_bytes(self) -> bytes:
        """Return the content of a file."""
        header = json.dumps(self._header.model_dump(mode="json"), separators=(",", ":")).encode()
        return _PREFIX.pack(MAGIC, _VERSION, len(header)) + header + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` returned; raises :class:`BitstreamError` for anything else."""
        if len(data) < _PREFIX.size or not data.startswith(MAGIC):
            raise BitstreamError("no bitstream of tokbench")
        _, version, length = _PREFIX.unpack_from(data)
        if version != _VERSION:
            raise BitstreamError(f"a bitstream of version {version}, where {_VERSION} is known")
        end = _PREFIX.size + length
        try:
            header = _Header.model_validate_json(data[_PREFIX.size : end])
        except ValidationError as error:
            raise BitstreamError(f"a header that cannot be read: {'; '.join(problems(error))}") from error
        return cls(header, data[end:])

    def write(self, path: Path) -> None:
        """Write a file, atomically."""
        write_bytes(path, self.to_bytes())


def _num_bits(codebook_size: int) -> int:
    return (codebook_size - 1).bit_length()


def _packed(codes: Codes) -> bytes:
    bits = [np.zeros(0, np.uint8)]
    for stream in codes.streams:
        num_bits, values = _num_bits(stream.codebook_size), stream.indices.T.reshape(-1).numpy()
        own = np.empty((len(values), num_bits), np.uint8)
        for place in range(num_bits):  # one after another: a sample of PCM has as many bytes here as bits
            own[:, place] = (values >> (num_bits - 1 - place)) & 1
        bits.append(own.ravel())
    return np.packbits(np.concatenate(bits)).tobytes()


def _unpacked(payload: bytes, streams: tuple[_Stream, ...]) -> list[Tensor]:
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))
    indices, start = [], 0
    for stream in streams:
        num_bits = _num_bits(stream.codebook_size)
        end = start + stream.num_frames * stream.num_codebooks * num_bits
        if end > len(bits):
            raise BitstreamError(f"{len(payload)} bytes of codes, where more were written")
        own = bits[start:end].reshape(stream.num_frames, stream.num_codebooks, num_bits)
        values = np.zeros(own.shape[:2], np.int64)
        for place in range(num_bits):
            values = (values << 1) | own[:, :, place]
        indices.append(torch.from_numpy(values.T.copy()))
        start = end
    return indices
