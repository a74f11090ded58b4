"""Encoding and decoding a user's files: one file per worker at a time, the codec loaded once in each."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokbench.allocator import keep_freed_memory
from tokbench.codecs.registry import CodecReference, load
from tokbench.errors import NotSupportedError
from tokbench.run.executor import LocalExecutor, completed
from tokbench.runners.base import Failure, attempt

if TYPE_CHECKING:
    from tokbench.codecs.base import Tokenizer

__all__ = ["Coded", "FileJob", "decode_file", "encode_file", "process"]

TIMEOUT_S = 24 * 3600.0
"""Files may be hours long; what ends a job is the user."""


@dataclass(frozen=True)
class FileJob:
    """One file to encode or decode."""

    file: Path
    folder: Path
    """Where the result goes."""
    codec: CodecReference
    name: str
    """The codec as it was asked for; stored beside the codes."""
    device: str
    weights: Path | None
    decodes: bool = False


@dataclass(frozen=True)
class Coded:
    """What came of a file."""

    path: Path
    duration_s: float
    sample_rate_hz: int
    shapes: str = ""
    """``K x F`` per stream."""
    num_tokens: int = 0
    bitrate_bps: float = 0.0


_loaded: tuple[tuple[object, ...], "Tokenizer"] | None = None
"""The codec that this process has loaded, and what it was loaded for."""


def _tokenizer(job: FileJob) -> "Tokenizer":
    global _loaded  # noqa: PLW0603  (the cache of this process)
    key = (job.codec.label, job.codec.adapter, job.device, job.weights)
    if _loaded is None or _loaded[0] != key:
        _loaded = None
        _loaded = (key, load(job.codec, device=job.device, weights=job.weights))
    return _loaded[1]


def encode_file(job: FileJob) -> Coded:
    """Write the codes of an audio file; raises what reading, loading and encoding raise."""
    from tokbench.audio import Audio  # noqa: PLC0415  (imports torch; the parent does not)
    from tokbench.store import CodesFile  # noqa: PLC0415

    tokenizer = _tokenizer(job)
    info = tokenizer.info
    audio = Audio.read(job.file).to_channels(info.num_channels).resample(info.sample_rate_hz)
    codes = tokenizer.encode(audio)
    path = job.folder / f"{job.file.stem}.safetensors"
    CodesFile(job.name, codes).write(path)
    shapes = " + ".join(f"{stream.num_codebooks} x {stream.num_frames}" for stream in codes.streams)
    return Coded(path, codes.duration_s, info.sample_rate_hz, shapes, codes.num_tokens, codes.bitrate_bps)


def decode_file(job: FileJob) -> Coded:
    """Write the audio of a file of codes; raises :class:`NotSupportedError` for a codec that only encodes."""
    from tokbench.codecs.base import Codec  # noqa: PLC0415  (as above)
    from tokbench.store import CodesFile  # noqa: PLC0415

    tokenizer = _tokenizer(job)
    if not isinstance(tokenizer, Codec):
        raise NotSupportedError(tokenizer.info.name, "decoding")
    audio = tokenizer.decode(CodesFile.read(job.file).codes)
    path = job.folder / f"{job.file.stem}.decoded.wav"
    audio.write(path)
    return Coded(path, audio.duration_s, audio.sample_rate_hz)


def _attempt(job: FileJob) -> Coded | Failure:
    return attempt(lambda: decode_file(job) if job.decodes else encode_file(job))


def process(jobs: Iterable[FileJob], *, num_workers: int) -> Iterator[tuple[int, Coded | Failure]]:
    """Yield the index of each job with its outcome, as they finish.

    One worker is this process itself, which may use every core for one file.
    """
    if num_workers == 1:
        keep_freed_memory()
        yield from ((index, _attempt(job)) for index, job in enumerate(jobs))
        return
    with LocalExecutor(num_workers) as executor:

        def start(item: tuple[int, FileJob]) -> Future[Any]:
            return executor.submit(_attempt, item[1], timeout_s=TIMEOUT_S)

        for (index, _), outcome in completed(executor, enumerate(jobs), start, timeout_s=TIMEOUT_S):
            yield index, outcome
