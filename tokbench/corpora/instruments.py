"""Instruments made of harmonics, and scores played on them.

A note is a sum of harmonics of its pitch (440 Hz for MIDI note 69, equal temperament) under one envelope.

Axes: ``C`` channels, ``T`` samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

__all__ = ["INSTRUMENTS", "Instrument", "Note", "frequency_hz", "played"]

_A4, _A4_HZ, _SEMITONES = 69, 440.0, 12


@dataclass(frozen=True)
class Note:
    """One note of a score."""

    pitch: int
    """As in MIDI: 60 is the middle C."""
    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """When it is let go."""
        return self.start_s + self.duration_s


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A timbre."""

    levels: tuple[float, ...]
    """Of the harmonics, the fundamental first."""
    attack_s: float
    decay_s: float | None = None
    """In which a held note falls to 1/e; None for one that stays as it is."""
    brightness_decay: float = 0.0
    """How much faster each higher harmonic falls, as a share of the fall of the fundamental."""
    release_s: float = 0.04
    vibrato_cents: float = 0.0

    def note(self, pitch: int, duration_s: float, rate_hz: int) -> np.ndarray:
        """Return float64 [T] of one note with its release."""
        time_s = np.arange(round((duration_s + self.release_s) * rate_hz)) / rate_hz
        wobble = self.vibrato_cents * np.sin(2 * np.pi * _VIBRATO_HZ * time_s) * np.clip(time_s / 0.2, 0.0, 1.0)
        phase = 2 * np.pi * np.cumsum(frequency_hz(pitch + wobble / 100)) / rate_hz
        samples = np.zeros(len(time_s))
        for harmonic, level in enumerate(self.levels, start=1):
            if harmonic * frequency_hz(pitch + 1) < rate_hz / 2:
                samples += level * self._fall(harmonic, time_s) * np.sin(harmonic * phase)
        attack = np.clip(time_s / self.attack_s, 0.0, 1.0)
        release = np.clip((duration_s + self.release_s - time_s) / self.release_s, 0.0, 1.0)
        return np.asarray(samples * attack * release / sum(self.levels))

    def _fall(self, harmonic: int, time_s: np.ndarray) -> np.ndarray | float:
        if self.decay_s is None:
            return 1.0
        fall: np.ndarray = np.exp(-time_s / self.decay_s * (1 + self.brightness_decay * (harmonic - 1)))
        return fall


_VIBRATO_HZ = 5.5

INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        "piano": Instrument(
            levels=(1.0, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.08), attack_s=0.005, decay_s=0.7, brightness_decay=0.5
        ),
        "organ": Instrument(levels=(1.0, 0.8, 0.0, 0.6, 0.0, 0.0, 0.0, 0.4), attack_s=0.02),
        "flute": Instrument(levels=(1.0, 0.25, 0.08, 0.02), attack_s=0.06, vibrato_cents=20.0, release_s=0.06),
        "strings": Instrument(
            levels=tuple(1 / harmonic for harmonic in range(1, 15)), attack_s=0.1, vibrato_cents=12.0, release_s=0.1
        ),
    }
)
"""By name."""


def frequency_hz(pitch: "float | np.ndarray") -> np.ndarray:
    """Return the frequency in Hz of a MIDI pitch, which need not be whole; of an array, one each.

    >>> float(frequency_hz(69)), round(float(frequency_hz(60)), 2)
    (440.0, 261.63)
    """
    return np.asarray(_A4_HZ * 2.0 ** ((np.asarray(pitch) - _A4) / _SEMITONES))


def played(notes: Sequence[Note], instrument: Instrument, *, duration_s: float, rate_hz: int) -> np.ndarray:
    """Return float64 [T] of ``duration_s``: the notes on top of each other, what is later cut off."""
    num_samples = round(duration_s * rate_hz)
    samples = np.zeros(num_samples)
    for note in notes:
        first = round(note.start_s * rate_hz)
        sound = instrument.note(note.pitch, note.duration_s, rate_hz)[: max(num_samples - first, 0)]
        samples[first : first + len(sound)] += sound
    return samples
