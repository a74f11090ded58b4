"""The judge of tones hears movements, and nothing in what has none."""

import numpy as np

from tokbench.training.tone_judge import NOTHING, heard_tones

PLACES = np.linspace(0, 1, 10)
SHAPES = np.stack([0 * PLACES + 2, 4 * PLACES - 2, 8 * (PLACES - 0.5) ** 2 - 2, 2 - 4 * PLACES])
"""High, rising, dipping and falling tones, in semitones."""


def spoken(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    tones = rng.integers(0, len(SHAPES), number)
    return SHAPES[tones] + rng.normal(0, 0.5, (number, 1)) + rng.normal(0, 0.3, (number, 10)), tones


def test_what_was_learnt_of_originals_is_heard_in_others(rng: np.random.Generator) -> None:
    contours, tones = spoken(rng, 120)
    others, expected = spoken(rng, 80)
    (heard,) = heard_tones(contours, tones, others, num_seeds=2)
    assert heard.shape == (2, 80)
    assert (heard == expected).mean() > 0.95


def test_a_tone_that_was_turned_over_is_heard_as_what_it_became(rng: np.random.Generator) -> None:
    contours, tones = spoken(rng, 120)
    before, after = heard_tones(contours, tones, SHAPES[[1]], -SHAPES[[1]], num_seeds=3)
    assert before.ravel().tolist() == [1, 1, 1]
    assert after.ravel().tolist() == [3, 3, 3]


def test_nothing_is_heard_in_silence_and_nothing_is_learnt_from_it(rng: np.random.Generator) -> None:
    contours, tones = spoken(rng, 40)
    silent = np.full((3, 10), np.nan)
    with_silence = np.concatenate([contours, silent]), np.concatenate([tones, [0, 1, 2]])
    heard, others = heard_tones(*with_silence, silent, SHAPES, num_seeds=1)
    assert heard.tolist() == [[NOTHING] * 3]
    (alone,) = heard_tones(contours, tones, SHAPES, num_seeds=1)
    assert np.array_equal(others, alone)
    (deaf,) = heard_tones(silent, np.arange(3), SHAPES, num_seeds=1)
    assert deaf.tolist() == [[NOTHING] * 4]


def test_the_same_seed_hears_the_same(rng: np.random.Generator) -> None:
    contours, tones = spoken(rng, 40)
    others, _ = spoken(rng, 40)
    first, second = (heard_tones(contours, tones, others, num_seeds=1)[0] for _ in range(2))
    assert np.array_equal(first, second)
