"""Other voices, rooms and noise, added to crops as a spec declares it.

Everything is drawn from the generator that is handed in, so that a crop is what its number makes it.

Axes: ``T`` samples.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve

from tokbench.specs.augmentation import Augmentation, Mixing, Noise, Reverberation

__all__ = ["Augmenter", "coloured_noise", "drawn_response", "from_peak", "mixed_at"]

Source = Callable[[np.random.Generator], np.ndarray]
"""Returns samples float32 [T] of another crop, or of a noise."""
_BROWN = 2.0


class Augmenter:
    """What ``spec`` does to crops at ``sample_rate_hz``.

    ``noises`` yields crops of the corpus of noises, and ``responses`` impulse responses, where the spec names one.
    """

    def __init__(
        self,
        spec: Augmentation,
        *,
        sample_rate_hz: int,
        noises: Source | None = None,
        responses: Source | None = None,
    ) -> None:
        self.spec = spec
        self.sample_rate_hz = sample_rate_hz
        self._noises, self._responses = noises, responses

    def __call__(
        self, samples: np.ndarray, another: Source, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return what is to come out and what goes in, float32 [T], and whether the first is cleaner.

        ``another`` draws a second crop of the corpus.
        """
        samples = self._loudened(self._with_another(samples, another, generator), generator)
        inputs = self._noisy(self._in_a_room(samples, generator), generator)
        wants_clean = self._wants_clean(generator)
        wanted = samples if wants_clean else inputs
        scale = np.float32(1 / max(float(np.abs(inputs).max()), float(np.abs(wanted).max()), 1.0))
        if scale < 1:
            wanted, inputs = (wanted * scale,) * 2 if wanted is inputs else (wanted * scale, inputs * scale)
        return wanted, inputs, wants_clean

    def _wants_clean(self, generator: np.random.Generator) -> bool:
        target = self.spec.target
        return target == "clean" or (target == "either" and bool(generator.integers(2)))

    def _with_another(self, samples: np.ndarray, another: Source, generator: np.random.Generator) -> np.ndarray:
        mixing: Mixing | None = self.spec.mixing
        if mixing is None or generator.random() >= mixing.probability:
            return samples
        return mixed_at(samples, another(generator), -generator.uniform(*mixing.level_db))

    def _loudened(self, samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        low, high = self.spec.gain_db
        if low == high == 0.0:
            return samples
        gain = np.float32(10 ** (generator.uniform(low, high) / 20))
        loudened: np.ndarray = samples * gain
        return loudened

    def _in_a_room(self, samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        room: Reverberation | None = self.spec.reverberation
        if room is None or generator.random() >= room.probability:
            return samples
        if self._responses is not None:
            response = from_peak(self._responses(generator))
        else:
            rt60_s, direct_db = generator.uniform(*room.rt60_s), generator.uniform(*room.direct_db)
            response = drawn_response(self.sample_rate_hz, rt60_s, direct_db, generator)
        heard: np.ndarray = fftconvolve(samples, response)[: len(samples)]
        return heard.astype(np.float32)

    def _noisy(self, samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        noise: Noise | None = self.spec.noise
        if noise is None or generator.random() >= noise.probability:
            return samples
        if self._noises is not None:
            drawn = self._noises(generator)
        else:
            drawn = coloured_noise(len(samples), generator.uniform(0.0, _BROWN), generator)
        return mixed_at(samples, drawn, generator.uniform(*noise.snr_db))


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
    """Return a recorded response from its largest sample on, the direct sound, which becomes 1."""
    start = int(np.abs(response).argmax())
    scaled: np.ndarray = response[start:] / response[start]
    return scaled
