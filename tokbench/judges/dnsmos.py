"""DNSMOS: the quality of decoded audio as a model hears it, without a reference.

Two networks of Microsoft's DNS challenge that predict ratings of crowds: one by ITU-T P.835 (signal, background,
overall; Reddy et al. 2022) and one by P.808 (overall; Reddy et al. 2021). Weights come with the package speechmos.
Its pre-processing is followed step by step, while the sessions are our own: speechmos takes every core for itself
and imports librosa.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tokbench.audio import Audio
from tokbench.errors import MissingPackageError, UndefinedMetricError
from tokbench.metrics.base import Score, SignalPair
from tokbench.metrics.spectral import mel_filters

__all__ = [
    "Ratings",
    "dnsmos_background",
    "dnsmos_overall",
    "dnsmos_p808",
    "dnsmos_signal",
    "rate",
]

RATE_HZ = 16000
WINDOW_S = 9.01
"""Length of the input of the P.835 network."""
MEL_WINDOW, MEL_HOP, NUM_MELS = 321, 160, 120
"""Input of the P.808 network, in samples; an FFT of 321 points, as in the authors' script (frame size + 1)."""
DYNAMIC_RANGE_DB = 80.0

OVERALL_FIT = (-0.06766283, 1.11546468, 0.04602535)
SIGNAL_FIT = (-0.08397278, 1.22083953, 0.0052439)
BACKGROUND_FIT = (-0.13166888, 1.60915514, -0.39604546)
"""Polynomials, highest power first, from the network's outputs to ratings: dnsmos_local.py of the DNS challenge."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """Predicted mean opinion scores, 1 (bad) to 5 (excellent)."""

    signal: float
    background: float
    overall: float
    p808: float


def dnsmos_overall(pair: SignalPair) -> Score:
    """Overall quality of the decoded audio, P.835. Raises as :func:`rate`."""
    return Score(_ratings(pair).overall)


def dnsmos_signal(pair: SignalPair) -> Score:
    """Quality of the speech alone in the decoded audio, P.835. Raises as :func:`rate`."""
    return Score(_ratings(pair).signal)


def dnsmos_background(pair: SignalPair) -> Score:
    """Freedom of the decoded audio from background noise, P.835. Raises as :func:`rate`."""
    return Score(_ratings(pair).background)


def dnsmos_p808(pair: SignalPair) -> Score:
    """Overall quality of the decoded audio, P.808. Raises as :func:`rate`."""
    return Score(_ratings(pair).p808)


def rate(samples: np.ndarray) -> Ratings:
    """Return the ratings of float32 [T] at 16 kHz: means over windows of 9.01 s, one every second.

    Shorter audio is repeated until it fills a window. Samples are clipped to full scale, as writing a file would.
    Raises :class:`UndefinedMetricError` for digital silence, to which the networks give a rating all the same, and
    :class:`MissingPackageError` without the weights.
    """
    if not samples.any():
        msg = "DNSMOS is undefined for silent decoded audio"
        raise UndefinedMetricError(msg)
    windows = _windows(np.clip(samples, -1.0, 1.0).astype(np.float32))
    signal, background, overall = np.mean([_rate_p835(window) for window in windows], axis=0).tolist()
    p808 = np.mean([_run("model_v8.onnx", _log_mel(window[:-MEL_HOP])) for window in windows])
    return Ratings(signal, background, overall, float(p808))


def _ratings(pair: SignalPair) -> Ratings:
    pair.require_sound("DNSMOS")

    def compute() -> Ratings:
        return rate(Audio.from_numpy(pair.degraded, pair.sample_rate_hz).resample(RATE_HZ).mono())

    return pair.once("dnsmos", compute)


def _windows(samples: np.ndarray) -> list[np.ndarray]:
    """Return windows float32 [144160] that start a second apart, in ``samples`` doubled until one fits."""
    length = int(WINDOW_S * RATE_HZ)
    while len(samples) < length:
        samples = np.concatenate([samples, samples])
    num_windows = int(len(samples) // RATE_HZ - WINDOW_S) + 1
    # With the original's rounding, by which some windows end a sample early and are dropped.
    windows = [samples[hop * RATE_HZ : int((hop + WINDOW_S) * RATE_HZ)] for hop in range(num_windows)]
    return [window for window in windows if len(window) == length]


def _rate_p835(window: np.ndarray) -> tuple[float, float, float]:
    """Return signal, background and overall ratings of one window."""
    signal, background, overall = _run("sig_bak_ovr.onnx", window)
    return (
        float(np.polyval(SIGNAL_FIT, signal)),
        float(np.polyval(BACKGROUND_FIT, background)),
        float(np.polyval(OVERALL_FIT, overall)),
    )


def _log_mel(samples: np.ndarray) -> np.ndarray:
    """Return mel power in dB below its peak, shifted and scaled to -1 … 1, float32 [frames, 120]."""
    hann, filters = torch.hann_window(MEL_WINDOW), mel_filters(NUM_MELS, MEL_WINDOW, RATE_HZ)
    spectrum = torch.stft(
        torch.from_numpy(samples), MEL_WINDOW, MEL_HOP, window=hann, pad_mode="constant", return_complex=True
    )
    level_db = 10 * (filters @ spectrum.abs().square()).clamp(min=1e-10).log10()
    below_peak_db = (level_db - level_db.max()).clamp(min=-DYNAMIC_RANGE_DB)
    scaled: np.ndarray = ((below_peak_db + 40) / 40).T.numpy()
    return scaled


def _run(weights: str, values: np.ndarray) -> np.ndarray:
    """Return what a network makes of one input, float32 [outputs]."""
    outputs: np.ndarray = _session(weights).run(None, {"input_1": values[None]})[0][0]
    return outputs


@functools.cache
def _session(weights: str) -> Any:
    import onnxruntime  # noqa: PLC0415  (optional until a task asks for this judge)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = _weights_folder() / weights
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _weights_folder() -> Path:
    # Found without importing speechmos, which imports librosa.
    package = importlib.util.find_spec("speechmos")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError("DNSMOS", ["speechmos"])
    return Path(package.submodule_search_locations[0]) / "dnsmos_models"
