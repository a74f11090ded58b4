"""Other voices, rooms and noise, added to crops as a spec declares it.

Everything is drawn from the generator that is handed in, so that a crop is what its number makes it.

Axes: ``T`` samples.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve

from tokbench.corpora.acoustics import coloured_noise, drawn_response, from_peak, mixed_at
from tokbench.specs.augmentation import Augmentation, Mixing, Noise, Reverberation

__all__ = ["Augmenter"]

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
