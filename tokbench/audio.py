"""Audio: samples with their rate. The only place where tokbench reads, writes, resamples or mixes audio.

Axes, here and everywhere: ``B`` batch, ``C`` channels, ``T`` samples, ``K`` codebooks, ``F`` frames,
``D`` features, ``V`` codebook size.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from tokbench.errors import (
    AudioFileError,
    ChannelsError,
    EmptyAudioError,
    NonFiniteAudioError,
    NonFiniteFeaturesError,
)
from tokbench.paths import atomic_write

__all__ = ["RESAMPLER", "Audio", "AudioSize", "Features"]

RESAMPLER = f"soxr {soxr.__version__} HQ"
"""Name, version and quality of the one resampler; copied into every record."""

_NUM_AXES = 2
_UNKNOWN_LENGTH = 2**62
"""At least: what libsndfile says where a header says nothing."""
_UNKNOWN_SIZE = 0xFFFFFFFF - 2**16
"""At least: headers of unknown length hold the largest number, some without what comes before the data."""
_ROUNDING_S = 0.01
"""By which a segment may end after its file: lists round to hundredths of a second."""


@dataclass(frozen=True)
class AudioSize:
    """How much there is in a file."""

    num_samples: int
    sample_rate_hz: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the header of the file ``path`` alone; raises :class:`AudioFileError` with the reason."""
        try:
            with soundfile.SoundFile(path) as file:
                _expect_whole(path, file)
                return cls(int(file.frames), int(file.samplerate))
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise AudioFileError(path, "no such file" if not path.exists() else str(error).rstrip(".")) from error

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz


def _expect_whole(path: Path, opened: soundfile.SoundFile) -> None:
    """Raise :class:`AudioFileError` for a file of unknown length, and for a WAV file that ends too early.

    Of that, libsndfile reads what is there.
    """
    if opened.frames >= _UNKNOWN_LENGTH:
        reason = "its header does not say how long it is, as of FLAC from a pipe: ffmpeg -i IN OUT mends that"
        raise AudioFileError(path, reason)
    if opened.format not in {"WAV", "WAVEX"}:
        return
    with path.open("rb") as file:
        if file.read(12)[:4] != b"RIFF":
            return
        while len(chunk := file.read(8)) == 8:  # noqa: PLR2004
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                num_there = path.stat().st_size - file.tell()
                # Who writes into a pipe does not know, and says 0 or the largest number.
                if num_there < size < _UNKNOWN_SIZE:
                    raise AudioFileError(path, f"truncated: {num_there} of {size} bytes")
                return
            file.seek(size + size % 2, os.SEEK_CUR)


def _extent(path: Path, opened: soundfile.SoundFile, start_s: float, duration_s: float | None) -> tuple[int, int]:
    """Return the first sample that is asked for, and the one after the last.

    Raises :class:`AudioFileError` for samples that the file does not have.
    """
    rate_hz, num_there = int(opened.samplerate), int(opened.frames)
    first = round(start_s * rate_hz)
    last = max(first, num_there) if duration_s is None else first + round(duration_s * rate_hz)
    if last > num_there + _ROUNDING_S * rate_hz:
        asked = f"{start_s:g} s and what follows" if duration_s is None else f"{start_s:g} to {last / rate_hz:g} s"
        raise AudioFileError(path, f"its row asks for {asked} of a file of {num_there / rate_hz:g} s")
    return min(first, num_there), min(last, num_there)


@dataclass(frozen=True)
class Audio:
    """A waveform.

    Raises :class:`EmptyAudioError` for 0 samples and :class:`NonFiniteAudioError` for NaN or infinity.
    """

    samples: Tensor
    """float32 [C, T], full scale is -1 .. 1."""
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.ndim != _NUM_AXES or self.samples.dtype != torch.float32:
            msg = f"samples must be float32 [C, T], got {self.samples.dtype} {list(self.samples.shape)}"
            raise TypeError(msg)
        if self.samples.numel() == 0:
            raise EmptyAudioError
        finite = torch.isfinite(self.samples)
        if not bool(finite.all()):
            raise NonFiniteAudioError("audio", num_bad=int((~finite).sum()), num_samples=self.num_samples)

    @classmethod
    def from_numpy(cls, samples: np.ndarray, sample_rate_hz: int) -> Self:
        """Wrap ``samples`` [T] or [C, T] of any float type."""
        array = np.atleast_2d(np.ascontiguousarray(samples, dtype=np.float32))
        return cls(torch.from_numpy(array), sample_rate_hz)

    @classmethod
    def read(cls, path: Path, *, start_s: float = 0.0, duration_s: float | None = None) -> Self:
        """Read a file, or ``duration_s`` seconds of it from ``start_s`` on.

        Any format of libsndfile: WAV, FLAC, MP3, Ogg. Raises :class:`AudioFileError` with the reason, also where
        the file ends before what is asked for, but for the hundredth of a second that lists are rounded to.
        """
        if not path.is_file():
            raise AudioFileError(path, "no such file" if not path.exists() else "not a file")
        if path.stat().st_size == 0:
            raise AudioFileError(path, "the file is empty")
        try:
            with soundfile.SoundFile(path) as file:
                _expect_whole(path, file)
                rate_hz = int(file.samplerate)
                first, last = _extent(path, file, start_s, duration_s)
                file.seek(first)
                wanted = last - first
                frames = file.read(wanted, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise AudioFileError(path, str(error).rstrip(".")) from error
        if len(frames) == 0:
            raise EmptyAudioError(str(path))
        if len(frames) < wanted:
            raise AudioFileError(path, f"truncated: {len(frames)} of {wanted} samples")
        num_bad = int((~np.isfinite(frames)).sum())
        if num_bad:
            raise NonFiniteAudioError(str(path), num_bad=num_bad, num_samples=len(frames))
        return cls.from_numpy(frames.T, rate_hz)

    def write(self, path: Path) -> None:
        """Write 16-bit FLAC or WAV (by the suffix of ``path``) atomically, clipped to full scale."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            data = np.clip(self.samples.numpy().T, -1.0, 1.0)
            soundfile.write(file, data, self.sample_rate_hz, subtype="PCM_16", format=path.suffix[1:].upper())

    @property
    def num_channels(self) -> int:
        """``C``."""
        return self.samples.shape[0]

    @property
    def num_samples(self) -> int:
        """``T``."""
        return self.samples.shape[1]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz

    @cached_property
    def sha256(self) -> str:
        """Hash of rate, shape and samples: what the token cache and the records know this audio by."""
        digest = hashlib.sha256(f"{self.sample_rate_hz} {self.num_channels} {self.num_samples} ".encode())
        digest.update(self.samples.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def mono(self) -> np.ndarray:
        """Return the mean over channels, float32 [T]."""
        return np.ascontiguousarray(self.to_channels(1).samples[0].numpy())

    def resample(self, sample_rate_hz: int) -> "Audio":
        """Return this audio at ``sample_rate_hz``; at least one sample, and ``self`` where nothing changes."""
        if sample_rate_hz == self.sample_rate_hz:
            return self
        frames = soxr.resample(self.samples.numpy().T, self.sample_rate_hz, sample_rate_hz, quality="HQ")
        if len(frames) == 0:
            frames = self.samples.numpy().T[:1]
        return Audio.from_numpy(frames.T, sample_rate_hz)

    def to_channels(self, num_channels: int) -> "Audio":
        """Return this audio with ``num_channels``: a mono mix, or mono repeated.

        Raises :class:`ChannelsError` for a conversion that would have to invent a channel layout.
        """
        if num_channels == self.num_channels:
            return self
        if num_channels == 1:
            return Audio(self.samples.mean(dim=0, keepdim=True), self.sample_rate_hz)
        if self.num_channels == 1:
            return Audio(self.samples.repeat(num_channels, 1), self.sample_rate_hz)
        raise ChannelsError("this conversion", expected=num_channels, actual=self.num_channels)


@dataclass(frozen=True)
class Features:
    """A sequence of vectors: latents before quantization, embeddings of codes, spectra.

    Raises :class:`NonFiniteFeaturesError` for NaN or infinity, to which distances and classifiers give an answer.
    """

    values: Tensor
    """float32 [F, D]."""
    frame_rate_hz: float

    def __post_init__(self) -> None:
        # A sum passes over all values without a copy; they are looked at where it is not finite.
        if bool(self.values.sum().isfinite()):
            return
        is_bad = ~self.values.isfinite().flatten(1).all(dim=1)
        if num_bad := int(is_bad.sum()):
            raise NonFiniteFeaturesError(num_bad=num_bad, num_frames=len(is_bad))
