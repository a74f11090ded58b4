"""Noise, rooms, and sounds on top of each other.

Axes: ``T`` samples.
"""

import numpy as np

__all__ = ["coloured_noise", "drawn_response", "from_peak", "mixed_at"]


def mixed_at(samples: np.ndarray, other: np.ndarray, ratio_db: float) -> np.ndarray:
    """Return ``samples`` [T] and ``other`` [T] together, of which the first have ``ratio_db`` more energy.

    Silence adds nothing.
    """
    energy = float(np.square(other, dtype=np.float64).sum())
    if energy == 0.0:
        return samples
    wanted = float(np.square(samples, dtype=np.float64).sum()) / 10 ** (ratio_db / 10)
    return samples + other * np.float32(np.sqrt(wanted / energy))


def coloured_noise(num_samples: int, exponent: float, generator: np.random.Generator) -> np.ndarray:
    """Return noise float32 [T] with a power of 1/f^``exponent``: 0 white, 1 pink, 2 brown; without a mean."""
    spectrum = np.fft.rfft(generator.standard_normal(num_samples))
    bins = np.arange(1, len(spectrum), dtype=np.float64)
    spectrum[0] = 0.0
    spectrum[1:] *= bins ** (-exponent / 2)
    return np.fft.irfft(spectrum, num_samples).astype(np.float32)


def drawn_response(
    sample_rate_hz: int, rt60_s: float, direct_db: float, generator: np.random.Generator
) -> np.ndarray:
    """Return an impulse response float32 [rt60]: 1 at once, then noise that falls by 60 dB in ``rt60_s``.

    The 1 has ``direct_db`` more energy than what follows (Polack's model of a diffuse field).
    """
    time_s = np.arange(1, max(round(rt60_s * sample_rate_hz), 2)) / sample_rate_hz
    tail = generator.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    tail *= np.sqrt(10 ** (-direct_db / 10) / np.square(tail).sum())
    return np.concatenate([[1.0], tail]).astype(np.float32)


def from_peak(response: np.ndarray) -> np.ndarray:
    """Return a recorded response [T] from its largest sample on, the direct sound, which becomes 1."""
    start = int(np.abs(response).argmax())
    scaled: np.ndarray = response[start:] / response[start]
    return scaled
