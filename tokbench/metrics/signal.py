"""Waveform metrics: how much of the decoded signal is the reference, and how much is error."""

import math

import numpy as np

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.metrics.base import Score, SignalPair

__all__ = ["LIMIT_DB", "si_sdr_db", "snr_db"]

LIMIT_DB = 100.0
"""Ratios saturate at ± this. 16-bit audio has a range of ``20 log10 2**16 = 96`` dB (98 dB for a sine against its
rounding noise), so nothing that can be heard or stored lies beyond, and a perfect copy has a finite value."""


def si_sdr_db(pair: SignalPair) -> Score:
    """Scale-invariant signal-to-distortion ratio of the zero-mean signals, in dB within ± :data:`LIMIT_DB`.

    ``10 log10(|a s|^2 / |a s - x|^2)`` with ``a = <x, s> / <s, s>`` for reference ``s`` and degraded ``x``: Le Roux
    et al. 2019, "SDR - half-baked or well done?", after removal of the means.
    Raises :class:`NotApplicableError` for a constant reference, :class:`UndefinedMetricError` for constant output.
    """
    reference, degraded = _zero_mean(pair.reference), _zero_mean(pair.degraded)
    if not reference.any():
        msg = "SI-SDR is undefined for a constant reference"
        raise NotApplicableError(msg)
    if not degraded.any():
        msg = "SI-SDR is undefined for constant decoded audio"
        raise UndefinedMetricError(msg)
    target = (degraded @ reference) / (reference @ reference) * reference
    return Score(_ratio_db(target, degraded - target))


def snr_db(pair: SignalPair) -> Score:
    """Signal-to-noise ratio ``10 log10(|s|^2 / |s - x|^2)`` in dB within ± :data:`LIMIT_DB`.

    Sensitive to gain and phase: silence has 0 dB. Raises :class:`NotApplicableError` for a silent reference.
    """
    pair.require_sound("SNR")
    reference = pair.reference.astype(np.float64)
    return Score(_ratio_db(reference, reference - pair.degraded))


def _zero_mean(signal: np.ndarray) -> np.ndarray:
    """Return ``signal`` [T] as float64 without its mean; exact zeros where it is constant."""
    if np.ptp(signal) == 0:
        return np.zeros(len(signal))
    centred: np.ndarray = signal - signal.mean(dtype=np.float64)
    return centred


def _ratio_db(signal: np.ndarray, error: np.ndarray) -> float:
    """Return the ratio of two energies, of which at least one is positive, in dB."""
    signal_energy, error_energy = float(signal @ signal), float(error @ error)
    if error_energy == 0:
        return LIMIT_DB
    if signal_energy == 0:
        return -LIMIT_DB
    return min(max(10 * math.log10(signal_energy / error_energy), -LIMIT_DB), LIMIT_DB)
