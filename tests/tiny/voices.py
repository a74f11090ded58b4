"""Signals like a voice, made of a few numbers."""

import numpy as np

from tokbench.audio import Audio

__all__ = ["voice"]


def voice(*, seed: int, duration_s: float = 1.5) -> Audio:
    """Return harmonics of a drawn pitch through two drawn formants, with pauses and noise, at 16 kHz."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * 16000)) / 16000
    pitch_hz = generator.uniform(90, 220) * (1 + 0.2 * np.sin(2 * np.pi * generator.uniform(0.5, 2) * time_s))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16000
    formants_hz = generator.uniform([300, 900], [800, 2500])
    total = np.zeros_like(time_s)
    for k in range(1, 30):
        gain = np.exp(-np.abs(k * pitch_hz[:, None] - formants_hz) / 200).sum(axis=1) + 0.01
        total += gain * np.sin(k * phase)
    envelope = np.clip(np.sin(2 * np.pi * generator.uniform(1, 3) * time_s), 0, 1)
    samples = 0.1 * envelope * total + 0.002 * generator.standard_normal(len(time_s))
    return Audio.from_numpy(np.clip(samples, -0.99, 0.99), 16000)
