"""Another speaker of the same words: formants and pitch shifted by Praat, and a drawn equalizer.

What Spin (Chang et al. 2023, arXiv:2305.11072, section 2.1) takes from ContentVec (Qian et al. 2022,
arXiv:2204.09224) and NANSY (Choi et al. 2021, arXiv:2110.14513). The words stay where they are in time.
"""

from dataclasses import dataclass

import numpy as np
import parselmouth
from parselmouth import praat
from scipy.signal import sosfilt

from tokbench.specs.spin import Equalizer, Perturbation

__all__ = ["SpeakerPerturbation", "band_filters", "disguised"]

_PERIODS_OF_PITCH = 3
"""Of the lowest pitch that Praat needs to find one."""


@dataclass(frozen=True)
class SpeakerPerturbation:
    """Draws a disguise for each crop."""

    spec: Perturbation

    def __call__(self, samples: np.ndarray, sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
        """Return float32 [T], a disguise of ``samples`` float32 [T], within full scale."""
        spec = self.spec
        # What stands in for the pulses of unvoiced sounds, Praat draws by itself.
        praat.run(f"random_initializeWithSeedUnsafelyButPredictably ({generator.integers(2**31)})")
        formants, pitch, pitch_range = (
            _ratio(largest, generator) for largest in (spec.formant_ratio, spec.pitch_ratio, spec.pitch_range_ratio)
        )
        changed = disguised(samples, sample_rate_hz, spec, formants=formants, pitch=pitch, pitch_range=pitch_range)
        filtered = sosfilt(_drawn_filters(spec.equalizer, sample_rate_hz, generator), changed)
        limited: np.ndarray = filtered / max(np.abs(filtered).max(), 1.0)
        return limited.astype(np.float32)


def disguised(
    samples: np.ndarray,
    sample_rate_hz: int,
    spec: Perturbation,
    *,
    formants: float,
    pitch: float,
    pitch_range: float,
) -> np.ndarray:
    """Return float64 [T]: ``samples`` [T] with the formants, the median and the range of the pitch multiplied.

    It is Praat's *Change gender*. Audio without pitch comes back as it is, for Praat needs pulses to work with; no
    pitch is moved below half of the floor by a wider range.
    """
    if len(samples) < _PERIODS_OF_PITCH / spec.pitch_floor_hz * sample_rate_hz + 1:
        return samples.astype(np.float64)
    sound = parselmouth.Sound(samples.astype(np.float64), sampling_frequency=sample_rate_hz)
    found = sound.to_pitch_ac(
        time_step=0.8 / spec.pitch_floor_hz, pitch_floor=spec.pitch_floor_hz, pitch_ceiling=spec.pitch_ceiling_hz
    )
    frequencies = found.selected_array["frequency"]
    voiced = frequencies[frequencies > 0]
    if not len(voiced):
        return samples.astype(np.float64)
    median_hz, lowest_hz = float(np.median(voiced)) * pitch, float(voiced.min()) * pitch
    # Around the median, a wide range ends below 0 Hz, where Praat waits for a next period for ever.
    if lowest_hz < median_hz:
        widest = (median_hz - spec.pitch_floor_hz / 2) / (median_hz - lowest_hz)
        pitch_range = min(pitch_range, max(widest, 1.0))
    changed = praat.call([sound, found], "Change gender", formants, median_hz, pitch_range, 1.0).values[0]
    # Praat works in periods, of which the last may end a little early or late.
    return np.pad(changed, (0, max(len(samples) - len(changed), 0)))[: len(samples)]


def _ratio(largest: float, generator: np.random.Generator) -> float:
    ratio = generator.uniform(1, largest)
    return ratio if generator.random() < 0.5 else 1 / ratio  # noqa: PLR2004  (one half: either way)


def _drawn_filters(spec: Equalizer, sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    shares = generator.random(spec.num_bands)
    return band_filters(
        spec,
        sample_rate_hz,
        gains_db=generator.uniform(-spec.gain_db, spec.gain_db, spec.num_bands),
        qualities=spec.min_quality * (spec.max_quality / spec.min_quality) ** shares,
    )


def band_filters(
    spec: Equalizer, sample_rate_hz: int, *, gains_db: np.ndarray, qualities: np.ndarray
) -> np.ndarray:
    """Return second-order sections float64 [bands, 6] with ``gains_db`` [bands] and ``qualities`` [bands].

    The filters of R. Bristow-Johnson's *Cookbook formulae for audio equalizer biquad filter coefficients*, of which
    A = 10^(gain / 40) and w = 2 pi f / rate. A band beyond half of the sample rate is left out.
    """
    middles_hz = np.geomspace(spec.min_hz, spec.max_hz, spec.num_bands)
    sections = []
    for index, (middle_hz, gain_db, quality) in enumerate(zip(middles_hz, gains_db, qualities, strict=True)):
        if middle_hz >= sample_rate_hz / 2:
            continue
        omega, root = 2 * np.pi * middle_hz / sample_rate_hz, 10 ** (gain_db / 40)
        if index in {0, spec.num_bands - 1}:
            sections.append(_shelf(omega, root, quality, sign=1 if index == 0 else -1))
        else:
            sections.append(_peak(omega, root, quality))
    return np.array([np.array(section) / section[3] for section in sections])


def _peak(omega: float, root: float, quality: float) -> tuple[float, ...]:
    """Return (1 + a A, -2 cos w, 1 - a A) and (1 + a / A, -2 cos w, 1 - a / A), of which a = sin w / (2 Q)."""
    alpha, cosine = np.sin(omega) / (2 * quality), np.cos(omega)
    return (
        *(1 + alpha * root, -2 * cosine, 1 - alpha * root),
        *(1 + alpha / root, -2 * cosine, 1 - alpha / root),
    )


def _shelf(omega: float, root: float, quality: float, *, sign: int) -> tuple[float, ...]:
    """Return a low shelf, or a high one for a negative ``sign``: its mirror, in which cos w changes sign."""
    cosine, slope = sign * np.cos(omega), np.sin(omega) / quality * np.sqrt(root)
    above, below = root + 1, root - 1
    return (
        root * (above - below * cosine + slope),
        sign * 2 * root * (below - above * cosine),
        root * (above - below * cosine - slope),
        above + below * cosine + slope,
        sign * -2 * (below + above * cosine),
        above + below * cosine - slope,
    )
