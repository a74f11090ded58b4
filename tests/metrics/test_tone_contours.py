"""Pitch of tones: analytic contours, and a loop over frames."""

import math

import numpy as np
import pytest

from tokbench.metrics.tone_contours import NUM_PLACES, Syllable, contours, correlation, kept_frames, squared_error

RISING = np.linspace(0.0, 4.0, 9)


def with_gaps(pitch: np.ndarray, *frames: int) -> np.ndarray:
    pitch = pitch.copy()
    pitch[list(frames)] = np.nan
    return pitch


def test_a_constant_shift_is_the_error_and_no_other_movement() -> None:
    moved = Syllable(RISING, RISING + 1.5)
    assert squared_error(moved).value("rms") == pytest.approx(1.5)
    assert correlation(moved).value() == pytest.approx(1.0)
    assert kept_frames(moved).value() == 1.0


def test_a_mirrored_tone_moves_the_other_way() -> None:
    assert correlation(Syllable(RISING, -RISING)).value() == pytest.approx(-1.0)


def test_frames_that_lost_their_voice_are_counted_and_not_compared() -> None:
    lost = Syllable(with_gaps(RISING, 0), with_gaps(RISING + 2.0, 3, 4))
    assert (kept_frames(lost).total, kept_frames(lost).weight) == (6, 8)
    assert squared_error(lost).value("rms") == pytest.approx(2.0)
    assert squared_error(lost).weight == 6


def test_movement_that_became_level_is_lost_and_a_level_tone_has_none() -> None:
    level = np.full(9, 1.0)
    assert (correlation(Syllable(RISING, level)).value(), correlation(Syllable(RISING, level)).weight) == (0.0, 9)
    assert correlation(Syllable(level, RISING)).value() is None
    assert correlation(Syllable(RISING[:2], RISING[:2])).value() is None


def test_nothing_is_compared_where_nothing_is_left() -> None:
    silent = Syllable(RISING, np.full(9, np.nan))
    assert squared_error(silent).value("rms") is None
    assert correlation(silent).value() is None
    assert kept_frames(silent).value() == 0.0


def test_as_a_loop_over_frames(rng: np.random.Generator) -> None:
    before, after = rng.normal(0, 3, 40), rng.normal(0, 3, 40)
    syllable = Syllable(with_gaps(before, 3, 17), with_gaps(after, 3, 20))
    pairs = [(before[frame], after[frame]) for frame in range(40) if frame not in {3, 17, 20}]
    errors = [(one - other) ** 2 for one, other in pairs]
    assert squared_error(syllable).value("rms") == pytest.approx(math.sqrt(sum(errors) / len(errors)))
    means = [sum(side) / len(pairs) for side in zip(*pairs, strict=True)]
    product = sum((one - means[0]) * (other - means[1]) for one, other in pairs)
    norms = [sum((pair[side] - means[side]) ** 2 for pair in pairs) for side in (0, 1)]
    assert correlation(syllable).value() == pytest.approx(product / math.sqrt(norms[0] * norms[1]))


def test_a_contour_is_the_same_however_long_the_syllable_is() -> None:
    found = contours([np.linspace(-1, 1, 12), np.linspace(-1, 1, 31)])
    np.testing.assert_allclose(found, np.tile(np.linspace(-1, 1, NUM_PLACES), (2, 1)))


def test_gaps_are_bridged_and_ends_are_held() -> None:
    pitch = np.arange(10.0)  # a place is a frame here
    (found,) = contours([with_gaps(pitch, 0, 1, 5, 8, 9)])
    np.testing.assert_allclose(found, [2, 2, 2, 3, 4, 5, 6, 7, 7, 7])


def test_without_voice_there_is_no_contour() -> None:
    found = contours([np.full(9, np.nan), with_gaps(RISING, *range(8)), RISING])
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2]).all()
