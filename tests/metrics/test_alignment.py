import numpy as np
import pytest
from oracles.correlation import best_delay

from tokbench.metrics.alignment import Alignment, align, find_alignment


@pytest.mark.parametrize("delay", [-30, -1, 0, 1, 30])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_delay_and_an_inversion_are_found_and_undone(rng: np.random.Generator, delay: int, sign: int) -> None:
    reference = rng.standard_normal(500).astype(np.float32)
    late = np.concatenate([np.zeros(max(delay, 0), np.float32), sign * reference])
    degraded = late[max(-delay, 0) :]

    found = find_alignment(reference, degraded, 40)

    assert (found.delay_samples, found.inverted) == (delay, sign < 0)
    assert found.length_difference == delay
    assert found.correlation == pytest.approx(sign, abs=0.05)
    restored = align(reference, degraded, found)
    lost = max(-delay, 0)
    np.testing.assert_array_equal(restored[lost:], reference[lost:])
    np.testing.assert_array_equal(restored[:lost], 0)


@pytest.mark.parametrize("lengths", [(60, 60), (60, 71), (60, 20), (5, 60), (1, 1)])
def test_the_peak_is_that_of_a_loop_over_delays(rng: np.random.Generator, lengths: tuple[int, int]) -> None:
    reference, degraded = (rng.standard_normal(length).astype(np.float32) for length in lengths)
    found = find_alignment(reference, degraded, 25)
    delay, correlation = best_delay(reference, degraded, 25)
    assert found.delay_samples == delay
    assert found.correlation == pytest.approx(correlation, abs=1e-5)


def test_audio_that_fits_a_little_better_upside_down_is_upright(rng: np.random.Generator) -> None:
    reference = rng.standard_normal(16000).astype(np.float32)
    later = np.roll(reference, 17)
    found = find_alignment(reference, 0.59 * reference - 0.72 * later, 40)
    assert (found.delay_samples, found.inverted) == (0, False)
    assert found.correlation == pytest.approx(0.63, abs=0.02)
    far = find_alignment(reference, 0.3 * reference - 0.9 * later, 40)
    assert (far.delay_samples, far.inverted) == (17, True)


def test_without_room_for_a_delay_only_polarity_is_looked_at(rng: np.random.Generator) -> None:
    reference = rng.standard_normal(100).astype(np.float32)
    found = find_alignment(reference, -np.roll(reference, 3), 0)
    assert found.delay_samples == 0
    assert find_alignment(reference, -reference, 0).inverted


def test_a_chance_peak_is_reported_but_not_believed(rng: np.random.Generator) -> None:
    reference, unrelated = rng.standard_normal((2, 16000)).astype(np.float32)
    found = find_alignment(reference, unrelated, 1600)
    assert 0 < abs(found.correlation) < 0.1
    assert found.credible == Alignment(0, inverted=False, correlation=found.correlation, length_difference=0)
    np.testing.assert_array_equal(align(reference, unrelated, found.credible), unrelated)


def test_a_credible_finding_stands() -> None:
    found = Alignment(7, inverted=True, correlation=-0.5, length_difference=2)
    assert found.credible is found
    assert found.none == Alignment(0, inverted=False, correlation=-0.5, length_difference=2)


@pytest.mark.parametrize("silent", [0, 1])
def test_silence_has_no_alignment(rng: np.random.Generator, silent: int) -> None:
    signals = [rng.standard_normal(50).astype(np.float32), rng.standard_normal(60).astype(np.float32)]
    signals[silent][:] = 0
    assert find_alignment(signals[0], signals[1], 5) == Alignment(
        0, inverted=False, correlation=0.0, length_difference=10
    )


@pytest.mark.parametrize("delay", [-100, 100])
def test_a_shift_beyond_the_signal_leaves_silence(delay: int) -> None:
    alignment = Alignment(delay, inverted=False, correlation=1.0, length_difference=0)
    reference = np.ones(10, np.float32)
    np.testing.assert_array_equal(align(reference, reference, alignment), np.zeros(10, np.float32))
