"""What may happen to speech without another word being said: noise, a room, another pitch or pace, another level.

All functions take and return mono audio at its own rate. Nothing is clipped: what leaves full scale is for the
tokenizer to deal with, as any loud recording is.
"""

import functools
import hashlib
from typing import TYPE_CHECKING

import numpy as np

from tokbench.corpora.acoustics import coloured_noise, drawn_response, mixed_at
from tokbench.errors import NotApplicableError, NotSupportedError

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.codecs.base import Codec

__all__ = ["at_gain", "at_pitch", "at_tempo", "generator_for", "in_a_room", "in_noise", "through_codecs"]

_DIRECT_DB = 0.0
"""Energy of the direct sound in that of all that follows: as much, a talker at the critical distance."""
_LOWEST_PITCH_HZ, _HIGHEST_PITCH_HZ = 75.0, 600.0
"""Range in which pitch is looked for: the defaults of Praat."""


def generator_for(utterance_id: str, what: str) -> np.random.Generator:
    """Return the generator of ``what`` happens to an utterance: the same for every tokenizer and in any process."""
    digest = hashlib.sha256(f"{what} {utterance_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def in_noise(audio: "Audio", snr_db: float, exponent: float, generator: np.random.Generator) -> "Audio":
    """Return ``audio`` with noise of a power of 1/f^``exponent``, ``snr_db`` below it over the whole utterance.

    Raises :class:`NotApplicableError` for silence, below which nothing is.
    """
    samples = audio.mono()
    if not samples.any():
        msg = "silence has no signal-to-noise ratio"
        raise NotApplicableError(msg)
    return _like(audio, mixed_at(samples, coloured_noise(len(samples), exponent, generator), snr_db))


def in_a_room(audio: "Audio", rt60_s: float, generator: np.random.Generator) -> "Audio":
    """Return ``audio`` in a room whose sound falls by 60 dB in ``rt60_s``, cut to its length; no delay is added."""
    from scipy.signal import fftconvolve  # noqa: PLC0415  (the planner knows runners without scipy)

    response = drawn_response(audio.sample_rate_hz, rt60_s, _DIRECT_DB, generator)
    return _like(audio, fftconvolve(audio.mono(), response)[: audio.num_samples])


def at_pitch(audio: "Audio", semitones: float, generator: np.random.Generator) -> "Audio":
    """Return ``audio`` with a pitch ``semitones`` higher, its formants and its timing as they were.

    It is Praat's *Change gender*, which moves pitch periods (PSOLA). Raises :class:`NotApplicableError` where no
    pitch is found.
    """
    from tokbench.specs.spin import Perturbation  # noqa: PLC0415  (as above)
    from tokbench.training.perturbation import disguised  # noqa: PLC0415

    samples = audio.mono()
    _seed_praat(generator)
    spec = Perturbation(pitch_floor_hz=_LOWEST_PITCH_HZ, pitch_ceiling_hz=_HIGHEST_PITCH_HZ)
    pitch = 2 ** (semitones / 12)
    changed = disguised(samples, audio.sample_rate_hz, spec, formants=1.0, pitch=pitch, pitch_range=1.0)
    if np.array_equal(changed, samples):
        msg = "no pitch was found that could be changed"
        raise NotApplicableError(msg)
    return _like(audio, changed)


def at_tempo(audio: "Audio", factor: float, generator: np.random.Generator) -> "Audio":
    """Return ``audio`` ``factor`` times as fast, its pitch as it was: Praat's *Lengthen (overlap-add)*.

    Raises :class:`NotApplicableError` for audio shorter than the three longest periods that Praat needs.
    """
    import parselmouth  # noqa: PLC0415  (as above)

    if audio.duration_s * _LOWEST_PITCH_HZ <= _PERIODS_OF_PITCH:
        msg = f"a change of tempo needs {_PERIODS_OF_PITCH / _LOWEST_PITCH_HZ:g} s of audio"
        raise NotApplicableError(msg)
    _seed_praat(generator)
    sound = parselmouth.Sound(audio.mono().astype(np.float64), sampling_frequency=audio.sample_rate_hz)
    command = "Lengthen (overlap-add)"
    changed = parselmouth.praat.call(sound, command, _LOWEST_PITCH_HZ, _HIGHEST_PITCH_HZ, 1 / factor)
    return _like(audio, changed.values[0])


_PERIODS_OF_PITCH = 3


def at_gain(audio: "Audio", gain_db: float) -> "Audio":
    """Return ``audio`` ``gain_db`` louder."""
    return _like(audio, audio.mono() * 10 ** (gain_db / 20))


def through_codecs(audio: "Audio", codecs: str) -> "Audio":
    """Return what ``codecs``, such as ``opus:12kbps`` or ``gsm > opus:6kbps`` in turn, make of ``audio``.

    It has the rate of the last of them.
    """
    for name in codecs.split(">"):
        codec = _load(name.strip())
        prepared = audio.to_channels(codec.info.num_channels).resample(codec.info.sample_rate_hz)
        audio = codec.decode(codec.encode(prepared))
    return audio


@functools.cache
def _load(name: str) -> "Codec":
    from tokbench.codecs.base import Codec  # noqa: PLC0415  (imports torch)
    from tokbench.codecs.registry import load, one  # noqa: PLC0415

    codec = load(one(name))
    if not isinstance(codec, Codec):
        raise NotSupportedError(name, "decoding")
    return codec


def _seed_praat(generator: np.random.Generator) -> None:
    """Let Praat draw the same: it has a generator of its own for what stands in for pulses of unvoiced sounds."""
    from parselmouth import praat  # noqa: PLC0415  (as above)

    praat.run(f"random_initializeWithSeedUnsafelyButPredictably ({generator.integers(2**31)})")


def _like(audio: "Audio", samples: np.ndarray) -> "Audio":
    from tokbench.audio import Audio  # noqa: PLC0415  (imports torch)

    return Audio.from_numpy(samples, audio.sample_rate_hz)
