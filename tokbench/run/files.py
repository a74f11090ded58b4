"""Encoding and decoding a user's files: one file per worker at a time, the codec loaded once in each."""

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokbench.allocator import keep_freed_memory
from tokbench.codecs.registry import CodecReference, load
from tokbench.errors import NotSupportedError, UsageError
from tokbench.run.executor import LocalExecutor, completed
from tokbench.runners.base import Failure, attempt

if TYPE_CHECKING:
    from tokbench.codecs.base import Tokenizer
    from tokbench.codes import Codes

__all__ = ["Coded", "FileJob", "codec_of_file", "decode_file", "encode_file", "process"]

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
    entropy: bool = False
    """Whether codes are written as a bitstream."""


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
    """At fixed length: nominal."""
    coder: str = ""
    """What wrote the bitstream, if it is one."""
    coded_bitrate_bps: float = 0.0
    """Of its codes, as they were written."""


_Source = tuple[CodecReference, str, Path | None]
"""A codec, its device, and where its weights are if not in their usual place."""
_loaded: tuple[_Source, "Tokenizer"] | None = None
"""The codec that this process has loaded, and what it was loaded for."""


def _tokenizer(job: FileJob) -> "Tokenizer":
    global _loaded  # noqa: PLW0603  (the cache of this process)
    source = (job.codec, job.device, job.weights)
    if _loaded is None or _loaded[0] != source:
        _loaded = None
        _loaded = (source, load(job.codec, device=job.device, weights=job.weights))
    return _loaded[1]


def encode_file(job: FileJob) -> Coded:
    """Write the codes of an audio file; raises what reading, loading and encoding raise.

    And :class:`UsageError` where the folder refuses the write.
    """
    from tokbench.audio import Audio  # noqa: PLC0415  (imports torch; the parent does not)

    tokenizer = _tokenizer(job)
    info = tokenizer.info
    audio = Audio.read(job.file).to_channels(info.num_channels).resample(info.sample_rate_hz)
    codes = tokenizer.encode(audio)
    path, coder, coded_bitrate_bps = _write(job, codes)
    return Coded(
        path,
        codes.duration_s,
        info.sample_rate_hz,
        shapes=" + ".join(f"{stream.num_codebooks} x {stream.num_frames}" for stream in codes.streams),
        num_tokens=codes.num_tokens,
        bitrate_bps=codes.bitrate_bps,
        coder=coder,
        coded_bitrate_bps=coded_bitrate_bps,
    )


def _write(job: FileJob, codes: "Codes") -> tuple[Path, str, float]:
    """Write ``codes`` as ``job`` asks for; return the file and, of a bitstream, its coder and its rate in bit/s."""
    from tokbench.codecs.bitstream import Bitstream  # noqa: PLC0415  (imports torch; the parent does not)
    from tokbench.store import CodesFile  # noqa: PLC0415

    if not job.entropy:
        path = job.folder / f"{job.file.stem}.safetensors"
        with _writing(path):
            CodesFile(job.name, codes).write(path)
        return path, "", 0.0
    path = job.folder / f"{job.file.stem}.tokb"
    stream = Bitstream.pack(job.name, codes, _tokenizer(job).entropy_coder)
    with _writing(path):
        stream.write(path)
    return path, stream.coder, stream.bitrate_bps


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise :class:`UsageError` where ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}. Free some space or choose another --out DIR"
        raise UsageError(msg) from error


def decode_file(job: FileJob) -> Coded:
    """Write the audio of a file of codes.

    Raises :class:`NotSupportedError` for a codec that only encodes, and :class:`UsageError` where the folder
    refuses the write.
    """
    from tokbench.codecs.base import Codec  # noqa: PLC0415  (as above)

    tokenizer = _tokenizer(job)
    if not isinstance(tokenizer, Codec):
        raise NotSupportedError(tokenizer.info.name, "decoding")
    audio = tokenizer.decode(_read(job.file, tokenizer))
    path = job.folder / f"{job.file.stem}.decoded.wav"
    with _writing(path):
        audio.write(path)
    return Coded(path, audio.duration_s, audio.sample_rate_hz)


def _read(file: Path, tokenizer: "Tokenizer") -> "Codes":
    """Return the codes in a file of either format."""
    from tokbench.codecs.bitstream import Bitstream  # noqa: PLC0415  (as above)
    from tokbench.store import CodesFile  # noqa: PLC0415

    if not _is_bitstream(file):
        return CodesFile.read(file).codes
    stream = Bitstream.from_bytes(file.read_bytes())
    return stream.unpack(tokenizer.entropy_coder if stream.coder == "lm" else None)


def codec_of_file(file: Path) -> str:
    """Return the codec that a file of codes names.

    Raises :class:`tokbench.errors.CodesFileError` or :class:`tokbench.errors.BitstreamError` for another file.
    """
    from tokbench.codecs.bitstream import Bitstream  # noqa: PLC0415  (as above)
    from tokbench.store import CodesFile  # noqa: PLC0415

    if _is_bitstream(file):
        return Bitstream.from_bytes(file.read_bytes()).codec
    return CodesFile.read(file).codec


def _is_bitstream(file: Path) -> bool:
    from tokbench.codecs.bitstream import MAGIC  # noqa: PLC0415  (as above)

    if not file.is_file():
        return False  # whoever reads it says so
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def _attempt(job: FileJob) -> Coded | Failure:
    return attempt(lambda: decode_file(job) if job.decodes else encode_file(job), is_last=True)


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
