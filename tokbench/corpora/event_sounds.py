"""Eight kinds of sound events, each with everything about it drawn at random within its kind.

Every function takes the number of samples, the rate and a generator, and returns float64 [T] with a peak of 1 or
less.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

__all__ = ["EVENTS", "event"]

Generator = np.random.Generator
_FADE_S = 0.01


def event(kind: str, num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    """Return an event of a kind of :data:`EVENTS`, float64 [``num_samples``] with a peak of 1, faded."""
    samples = EVENTS[kind](num_samples, rate_hz, generator)
    fade = np.clip(np.arange(num_samples) / (_FADE_S * rate_hz), 0.0, 1.0)
    samples = samples * np.minimum(fade, fade[::-1])
    return np.asarray(samples / max(float(np.abs(samples).max()), 1e-9))


def _pulsing_tone(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    carrier = _tone(np.full(num_samples, generator.uniform(400, 1200)), rate_hz)
    return carrier * (0.55 + 0.45 * _tone(np.full(num_samples, generator.uniform(3, 8)), rate_hz))


def _chirps(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    period = int(generator.uniform(0.2, 0.4) * rate_hz)
    low_hz, high_hz = generator.uniform(1500, 2500), generator.uniform(3500, 6000)
    place = np.arange(num_samples) % period / period
    return _tone(low_hz + (high_hz - low_hz) * place, rate_hz) * np.sin(np.pi * place)


def _clicks(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    period = int(rate_hz / generator.uniform(4, 10))
    click = np.exp(-np.arange(period) / (0.002 * rate_hz)) * generator.standard_normal(period)
    return np.resize(click, num_samples)


def _hiss(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    low_hz = generator.uniform(2500, 4000)
    return _band(generator.standard_normal(num_samples), rate_hz, low_hz, low_hz + generator.uniform(2000, 3500))


def _rain(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    drops = (generator.random(num_samples) < generator.uniform(150, 400) / rate_hz) * generator.random(num_samples)
    drop = np.exp(-np.arange(int(0.004 * rate_hz)) / (0.0006 * rate_hz))
    pattering = np.convolve(drops, drop)[:num_samples]
    return np.asarray(pattering * generator.standard_normal(num_samples))


def _siren(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    middle_hz, depth = generator.uniform(700, 1100), generator.uniform(0.25, 0.4)
    swing = _tone(np.full(num_samples, generator.uniform(0.8, 2.0)), rate_hz)
    return _tone(middle_hz * (1 + depth * swing), rate_hz)


def _hum(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    mains_hz = generator.choice([50.0, 60.0])
    levels = generator.uniform(0.2, 1.0, size=8)
    tones = (
        level * _tone(np.full(num_samples, harmonic * mains_hz), rate_hz)
        for harmonic, level in enumerate(levels, start=1)
    )
    return np.asarray(np.sum(list(tones), axis=0))


def _engine(num_samples: int, rate_hz: int, generator: Generator) -> np.ndarray:
    speed_hz = generator.uniform(20, 45) * (1 + 0.05 * np.cumsum(generator.standard_normal(num_samples)) / rate_hz)
    strokes = np.diff(np.floor(np.cumsum(speed_hz) / rate_hz), prepend=0.0)
    return _band(strokes * generator.uniform(0.7, 1.0, num_samples), rate_hz, 0.0, generator.uniform(500, 900))


EVENTS: Mapping[str, Callable[[int, int, Generator], np.ndarray]] = MappingProxyType(
    {
        "pulsing tone": _pulsing_tone,
        "chirps": _chirps,
        "clicks": _clicks,
        "hiss": _hiss,
        "rain": _rain,
        "siren": _siren,
        "hum": _hum,
        "engine": _engine,
    }
)
"""By name."""


def _tone(frequency_hz: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return a sine of ``frequency_hz`` [T], which may change."""
    tone: np.ndarray = np.sin(2 * np.pi * np.cumsum(frequency_hz) / rate_hz)
    return tone


def _band(samples: np.ndarray, rate_hz: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Return what ``samples`` have between two frequencies."""
    spectrum = np.fft.rfft(samples)
    bins_hz = np.arange(len(spectrum)) * rate_hz / len(samples)
    spectrum[(bins_hz < low_hz) | (bins_hz > high_hz)] = 0.0
    return np.fft.irfft(spectrum, len(samples))
