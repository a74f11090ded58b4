"""Tone contours: the F0 of a syllable, before and after a codec.

Pitch is in semitones above a reference, such as the median of the speaker: ``12 log2(f0 / reference)``, so that
tones of low and of high voices are the same. It is compared frame by frame, in the frames that are voiced in both
signals; how many of the voiced ones are left is a measure of its own.

Axes: ``F`` frames, ``N`` syllables, ``P`` places in a syllable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokbench.metrics.base import Score

__all__ = ["NUM_PLACES", "Syllable", "contours", "correlation", "kept_frames", "squared_error"]

NUM_PLACES = 10
"""Places of a syllable at which its pitch is taken."""

LEVEL_SEMITONES = 0.1
"""Pitch whose standard deviation is below this, half a percent of F0, is level: what moves is the tracker."""

_FEWEST_FRAMES = 3
"""Frames of which a correlation says anything: through two there is always a line."""


@dataclass(frozen=True, eq=False)
class Syllable:
    """What became of one syllable."""

    reference: np.ndarray
    """float64 [F], semitones before the codec; NaN where unvoiced."""
    degraded: np.ndarray
    """float64 [F], semitones after it, above the same reference."""

    @property
    def both(self) -> np.ndarray:
        """Bool [F], the frames that are voiced in both."""
        voiced: np.ndarray = ~np.isnan(self.reference) & ~np.isnan(self.degraded)
        return voiced


def squared_error(syllable: Syllable) -> Score:
    """Return the squared error of the pitch in semitones², and the frames voiced in both, to be pooled as "rms"."""
    error = (syllable.degraded - syllable.reference)[syllable.both]
    return Score(float(error @ error), error.size)


def correlation(syllable: Syllable) -> Score:
    """Return Pearson's correlation of the pitch over the frames voiced in both, weighted by their number.

    0 for a movement that became level. Weight 0, no value, for a tone that is level in the reference, where there
    is no movement to be kept, or fewer than three frames.
    """
    both = syllable.both
    before, after = syllable.reference[both], syllable.degraded[both]
    if before.size < _FEWEST_FRAMES or before.std() < LEVEL_SEMITONES:
        return Score(0.0, 0)
    if after.std() < LEVEL_SEMITONES:
        return Score(0.0, before.size)
    return Score(float(np.clip(np.corrcoef(before, after)[0, 1], -1.0, 1.0)) * before.size, before.size)


def kept_frames(syllable: Syllable) -> Score:
    """Return how many of the voiced frames of the reference are still voiced, and how many there were."""
    return Score(int(syllable.both.sum()), int((~np.isnan(syllable.reference)).sum()))


def contours(pitches: Sequence[np.ndarray]) -> np.ndarray:
    """Return the pitch at ten places of each of ``pitches`` [F], from its first frame to its last, float64 [N, P].

    Between voiced frames pitch is a straight line, before the first and after the last it is theirs. A syllable
    with fewer than two voiced frames has no contour, and NaN everywhere.
    """
    found = np.full((len(pitches), NUM_PLACES), np.nan)
    for row, pitch in enumerate(pitches):
        voiced = np.flatnonzero(~np.isnan(pitch))
        if len(voiced) > 1:
            found[row] = np.interp(np.linspace(0, len(pitch) - 1, NUM_PLACES), voiced, pitch[voiced])
    return found
