"""Codes on disk: files that a user writes and reads, and the token cache.

In the cache codes are computed once per (codec, audio), and every task reuses them. One safetensors file per
entry, written atomically, so that any number of processes may read and write at once; the entries that were not
used for longest go when the folder outgrows its limit.
"""

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import safetensors
import safetensors.torch
import torch

from tokbench.codes import Codes, CodeStream, checksum
from tokbench.errors import CodesFileError
from tokbench.paths import cache_dir, write_bytes

__all__ = ["CodeStore", "CodesFile", "StoredCodes"]

DEFAULT_LIMIT_BYTES = 10 * 2**30
_EVICT_TO = 0.8
"""Share of the limit that eviction leaves, so that it runs seldom."""
_CHECK_EVERY = 256
"""Writes between two looks at the size of the folder."""


@dataclass(frozen=True)
class StoredCodes:
    """Codes with the time that it took to compute them."""

    codes: Codes
    encode_s: float


class CodeStore:
    """Codes on disk, by the fingerprint of the codec, the hash of the audio, and the kind of device.

    Kinds of devices round differently, so that their codes differ where two codewords are about as near.
    """

    def __init__(self, folder: Path | None = None, *, device: str = "cpu", limit_bytes: int | None = None) -> None:
        self.folder = folder or cache_dir() / "codes"
        self.device = device.partition(":")[0]
        configured = os.environ.get("TOKBENCH_CACHE_BYTES")
        self.limit_bytes = limit_bytes or (int(configured) if configured else DEFAULT_LIMIT_BYTES)
        self._num_writes = 0

    def _path(self, fingerprint: str, audio_sha256: str) -> Path:
        device = "" if self.device == "cpu" else f" {self.device} in full precision"
        key = hashlib.sha256(f"{fingerprint} {audio_sha256}{device}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.safetensors"

    def get(self, fingerprint: str, audio_sha256: str) -> StoredCodes | None:
        """Return what was stored, None where there is nothing (or only a damaged file, which is removed)."""
        path = self._path(fingerprint, audio_sha256)
        try:
            codes, facts = _unpack(path.read_bytes())
            with contextlib.suppress(OSError):  # another user's, in a folder that is shared, or read-only
                os.utime(path)
        except FileNotFoundError:
            return None
        except _DAMAGE:
            with contextlib.suppress(OSError):  # as above
                path.unlink(missing_ok=True)
            return None
        return StoredCodes(codes, facts["encode_s"])

    def put(self, fingerprint: str, audio_sha256: str, stored: StoredCodes) -> None:
        """Store codes. A full disk costs the entry, not the run."""
        with contextlib.suppress(OSError):
            data = _pack(stored.codes, {"encode_s": stored.encode_s})
            write_bytes(self._path(fingerprint, audio_sha256), data)
        if self._num_writes % _CHECK_EVERY == 0:
            self.evict()
        self._num_writes += 1

    def evict(self) -> None:
        """Remove the entries that were not used for longest until the folder is within its limit."""
        entries = sorted(self._entries())
        size = sum(num_bytes for _, num_bytes, _ in entries)
        if size <= self.limit_bytes:
            return
        for _, num_bytes, path in entries:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            size -= num_bytes
            if size <= _EVICT_TO * self.limit_bytes:
                return

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield (time of last use, bytes, path); entries that vanish meanwhile are passed over."""
        for path in self.folder.glob("*/*.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path


@dataclass(frozen=True)
class CodesFile:
    """Codes in a file of the user's, with the reference of the codec that made them."""

    codec: str
    codes: Codes

    def write(self, path: Path) -> None:
        """Write a safetensors file, atomically."""
        write_bytes(path, _pack(self.codes, {"codec": self.codec}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote; raises :class:`CodesFileError` for any other file."""
        try:
            codes, facts = _unpack(path.read_bytes())
            return cls(str(facts["codec"]), codes)
        except (OSError, *_DAMAGE) as error:
            raise CodesFileError(path, str(error)) from error


_DAMAGE = (safetensors.SafetensorError, ValueError, KeyError, TypeError, struct.error)
"""What reading a file that is no file of codes may raise."""


def _pack(codes: Codes, facts: Mapping[str, Any]) -> bytes:
    tensors = {
        str(index): stream.indices.to(_smallest_dtype(stream.codebook_size)).contiguous()
        for index, stream in enumerate(codes.streams)
    }
    header = {
        "num_samples": codes.num_samples,
        "sample_rate_hz": codes.sample_rate_hz,
        "streams": [[stream.codebook_size, stream.frame_rate_hz] for stream in codes.streams],
        "crc32": _checked(codes.streams),
        **facts,
    }
    return safetensors.torch.save(tensors, metadata={"tokbench": json.dumps(header)})


def _unpack(data: bytes) -> tuple[Codes, dict[str, Any]]:
    (header_size,) = struct.unpack("<Q", data[:8])
    header = json.loads(json.loads(data[8 : 8 + header_size])["__metadata__"]["tokbench"])
    tensors = safetensors.torch.load(data)
    streams = tuple(
        CodeStream(tensors[str(index)].to(torch.int64), size, rate_hz)
        for index, (size, rate_hz) in enumerate(header["streams"])
    )
    if header.get("crc32", found := _checked(streams)) != found:
        msg = "its codes are not those that were written"
        raise ValueError(msg)
    return Codes(streams, header["num_samples"], header["sample_rate_hz"]), header


def _checked(streams: Iterable[CodeStream]) -> str:
    return f"{checksum(stream.indices for stream in streams):08x}"


def _smallest_dtype(codebook_size: int) -> torch.dtype:
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if codebook_size - 1 <= torch.iinfo(dtype).max:
            return dtype
    return torch.int64
