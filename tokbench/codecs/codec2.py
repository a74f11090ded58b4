"""Codec 2 (Rowe 2010 to 2023), the codec of digital amateur radio: a sinusoidal vocoder at 700 to 3200 bit/s.

The decoder draws the phases of unvoiced harmonics from a random generator that belongs to the process, not to the
decoder. Each utterance is therefore decoded by a copy of the library that is loaded for it alone, so that the
generator starts where it starts in a new process, and the same codes give the same samples.
"""

import _ctypes
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL, c_void_p
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.bits import bits_of_frames, frames_of_bits, streams_of_bits
from tokbench.codecs.ffmpeg import pcm16
from tokbench.errors import MissingPackageError

__all__ = ["Codec2"]

_SAMPLE_RATE_HZ = 8000
_MODES = {"3200": 0, "2400": 1, "1600": 2, "1400": 3, "1300": 4, "1200": 5, "700C": 8}
"""Numbers of the modes in ``codec2.h``."""
_DELAY = 160
"""Samples from the input to the middle of the window that is analysed, and half a synthesis window more."""
_DELAY_700C = 240
"""The same where amplitudes are interpolated over frames of 40 ms; where envelopes and ESTOI agree best."""


class Codec2(Codec):
    """The library inside of the package pycodec2, in one of its ``mode`` s."""

    def __init__(self, *, mode: str) -> None:
        self._path = _library_path()
        self._mode = _MODES[mode]
        self._delay = _DELAY_700C if mode == "700C" else _DELAY
        with _fresh(self._path, self._mode) as (library, state):
            self._num_bits: int = library.codec2_bits_per_frame(state)
            self._frame_length: int = library.codec2_samples_per_frame(state)
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=streams_of_bits(self._num_bits, _SAMPLE_RATE_HZ / self._frame_length),
            causal=True,
            latency_s=self._delay / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        num_samples = samples.shape[1] + self._delay
        padded = np.pad(pcm16(samples), (0, self._delay + -num_samples % self._frame_length))
        speech = padded.reshape(-1, self._frame_length)
        packets = np.zeros((len(speech), -(-self._num_bits // 8)), np.uint8)
        with _fresh(self._path, self._mode) as (library, state):
            for packet, frame in zip(packets, speech, strict=True):
                library.codec2_encode(state, c_void_p(packet.ctypes.data), c_void_p(frame.ctypes.data))
        return frames_of_bits(map(bytes, packets), self._num_bits)

    def _decode(self, streams: list[Tensor]) -> Tensor:
        packets = [np.frombuffer(frame, np.uint8) for frame in bits_of_frames(streams, self._num_bits)]
        speech = np.zeros((len(packets), self._frame_length), np.int16)
        with _fresh(self._path, self._mode) as (library, state):
            for packet, frame in zip(packets, speech, strict=True):
                library.codec2_decode(state, c_void_p(frame.ctypes.data), c_void_p(packet.ctypes.data))
        decoded = speech.reshape(1, -1)[:, self._delay :].astype(np.float32) / 32768
        return torch.from_numpy(decoded)


@contextmanager
def _fresh(path: Path, mode: int) -> Iterator[tuple[CDLL, c_void_p]]:
    """Load a copy of the library, and make a coder in it; two files of the same content are two libraries."""
    with tempfile.TemporaryDirectory() as folder:
        library = CDLL(shutil.copy(path, folder))
    library.codec2_create.restype = c_void_p
    state = c_void_p(library.codec2_create(mode))
    try:
        yield library, state
    finally:
        library.codec2_destroy(state)
        _ctypes.dlclose(library._handle)  # noqa: SLF001  (ctypes has no other way to unload)


def _library_path() -> Path:
    """Return where the package keeps its shared library, beside itself."""
    found = importlib.util.find_spec("pycodec2")
    if found is not None and found.origin is not None:
        site_packages = Path(found.origin).parent.parent
        for pattern in ("pycodec2.libs/libcodec2*", "pycodec2/.dylibs/libcodec2*"):
            for path in sorted(site_packages.glob(pattern)):
                return path
    raise MissingPackageError("codec2", ["pycodec2"])
