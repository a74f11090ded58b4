import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_noise_ratio

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics.base import SignalPair
from tokbench.metrics.signal import si_sdr_db, snr_db


def pair_of(reference: np.ndarray, degraded: np.ndarray) -> SignalPair:
    return SignalPair(reference.astype(np.float32), degraded.astype(np.float32), 16000)


@pytest.mark.parametrize("noise", [0.001, 0.1, 1.0, 30.0])
def test_ratios_are_those_of_torchmetrics(rng: np.random.Generator, noise: float) -> None:
    reference = rng.standard_normal(4000) + 0.3
    degraded = 0.7 * reference + noise * rng.standard_normal(4000)
    pair = pair_of(reference, degraded)
    theirs = torch.from_numpy(pair.degraded).double(), torch.from_numpy(pair.reference).double()
    expected = float(scale_invariant_signal_distortion_ratio(*theirs, zero_mean=True))
    assert si_sdr_db(pair).value() == pytest.approx(expected, abs=1e-5)
    assert snr_db(pair).value() == pytest.approx(float(signal_noise_ratio(*theirs)), abs=1e-5)


def test_orthogonal_noise_a_hundredth_as_strong_is_20_db() -> None:
    time = np.arange(1600) / 16000
    reference, noise = np.sin(2 * np.pi * 100 * time), np.cos(2 * np.pi * 100 * time)
    pair = pair_of(reference, reference + 0.1 * noise)
    assert si_sdr_db(pair).value() == pytest.approx(20.0, abs=1e-4)
    assert snr_db(pair).value() == pytest.approx(20.0, abs=1e-4)


def test_si_sdr_ignores_gain_offset_and_polarity_while_snr_does_not(rng: np.random.Generator) -> None:
    reference = rng.standard_normal(4000)
    degraded = reference + 0.1 * rng.standard_normal(4000)
    value = si_sdr_db(pair_of(reference, degraded)).value()
    assert si_sdr_db(pair_of(reference, -0.5 * degraded + 0.2)).value() == pytest.approx(value, abs=1e-4)
    assert snr_db(pair_of(reference, 0.5 * reference)).value() == pytest.approx(10 * np.log10(4), abs=1e-4)


@pytest.mark.parametrize("ratio_db", [si_sdr_db, snr_db])
def test_a_copy_saturates_at_100_db(rng: np.random.Generator, ratio_db) -> None:  # noqa: ANN001
    reference = rng.standard_normal(100)
    assert ratio_db(pair_of(reference, reference)).value() == 100.0


def test_the_floor_is_minus_100_db() -> None:
    reference, unrelated = np.tile([1.0, -1.0, 1.0, -1.0], 10), np.tile([1.0, 1.0, -1.0, -1.0], 10)
    assert si_sdr_db(pair_of(reference, unrelated)).value() == -100.0
    assert snr_db(pair_of(1e-7 * reference, unrelated)).value() == -100.0


def test_silent_output_has_an_snr_of_0_db_and_no_si_sdr(rng: np.random.Generator) -> None:
    pair = pair_of(rng.standard_normal(100), np.zeros(100))
    assert snr_db(pair).value() == 0.0
    with pytest.raises(UndefinedMetricError, match="constant decoded audio"):
        si_sdr_db(pair)


def test_nothing_is_measured_against_silence(rng: np.random.Generator) -> None:
    noise = rng.standard_normal(100)
    with pytest.raises(NotApplicableError, match="SNR is undefined for a silent reference"):
        snr_db(pair_of(np.zeros(100), noise))
    with pytest.raises(NotApplicableError, match="SI-SDR is undefined for a constant reference"):
        si_sdr_db(pair_of(np.full(100, 0.1), noise))
