"""Mel-cepstral distortion by direct cosine sums over CheapTrick envelopes, as Kubichek wrote it."""

import math

import numpy as np
import pyworld

ORDER = 24
NUM_POINTS = 512


def mel_cepstral_distortion_db(reference: np.ndarray, degraded: np.ndarray, sample_rate_hz: int) -> float:
    """Return the mean over the frames within 40 dB of the reference's loudest, in dB."""
    mine, theirs = cepstra(reference, sample_rate_hz), cepstra(degraded, sample_rate_hz)
    # c0 is a mean of log amplitude: 20 log10 of it is a level.
    levels_db = [20 / math.log(10) * cepstrum[0] for cepstrum in mine]
    frames = []
    for a, b, level_db in zip(mine, theirs, levels_db, strict=True):
        if level_db > max(levels_db) - 40:
            squares = sum((x - y) ** 2 for x, y in zip(a[1:], b[1:], strict=True))
            frames.append(10 / math.log(10) * math.sqrt(2 * squares))
    return sum(frames) / len(frames)


def cepstra(signal: np.ndarray, sample_rate_hz: int) -> list[list[float]]:
    """Return c_0 .. c_24 of log amplitude on the mel axis from 40 Hz to half the sample rate, for each frame."""
    samples = signal.astype(np.float64)
    f0_hz, times_s = pyworld.dio(samples, sample_rate_hz, frame_period=10.0)
    f0_hz = pyworld.stonemask(samples, f0_hz, times_s, sample_rate_hz)
    envelopes = pyworld.cheaptrick(samples, f0_hz, times_s, sample_rate_hz)
    low, high = mel(40.0), mel(sample_rate_hz / 2)
    angles = [math.pi * (n + 0.5) / NUM_POINTS for n in range(NUM_POINTS)]
    points_hz = [700 * (math.exp((low + (high - low) * angle / math.pi) / 1127.01048) - 1) for angle in angles]
    bins_hz = np.arange(envelopes.shape[1]) * sample_rate_hz / (2 * (envelopes.shape[1] - 1))
    rows = []
    for envelope in envelopes:
        log_amplitude = np.interp(points_hz, bins_hz, 0.5 * np.log(envelope))
        row = [float(np.mean(log_amplitude))]
        row += [2 * float(np.mean(log_amplitude * np.cos(m * np.array(angles)))) for m in range(1, ORDER + 1)]
        rows.append(row)
    return rows


def mel(frequency_hz: float) -> float:
    return 1127.01048 * math.log(1 + frequency_hz / 700)
