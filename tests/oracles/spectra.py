"""Spectral distances in plain loops over frames, from their definitions. Filters come from librosa."""

import math

import librosa
import numpy as np


def magnitudes(signal: np.ndarray, fft_size: int, hop: int, window: int) -> np.ndarray:
    """Return |STFT| [frames, bins] with a centred periodic Hann window and reflected ends, in float64."""
    padded = np.pad(signal.astype(np.float64), fft_size // 2, mode="reflect")
    weights = [0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)]
    left = (fft_size - window) // 2
    frames = []
    for start in range(0, len(padded) - fft_size + 1, hop):
        frame = np.zeros(fft_size)
        frame[left : left + window] = padded[start + left : start + left + window] * weights
        frames.append(np.abs(np.fft.rfft(frame)))
    return np.array(frames)


def mel_magnitudes(signal: np.ndarray, sample_rate_hz: int, window: int, num_mels: int) -> np.ndarray:
    filters = librosa.filters.mel(sr=sample_rate_hz, n_fft=window, n_mels=num_mels)
    return magnitudes(signal, window, window // 4, window) @ filters.T


def mel_distance_dac(reference: np.ndarray, degraded: np.ndarray, sample_rate_hz: int) -> float:
    total = 0.0
    scales = [(32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)]
    for window, num_mels in scales:
        mels = [mel_magnitudes(signal, sample_rate_hz, window, num_mels) for signal in (reference, degraded)]
        cells = [abs(math.log10(max(a, 1e-5)) - math.log10(max(b, 1e-5))) for a, b in zip(*flat(mels), strict=True)]
        total += sum(cells) / len(cells)
    return total


def mel_distance_codec_superb(reference: np.ndarray, degraded: np.ndarray, sample_rate_hz: int) -> float:
    total = 0.0
    for window, num_mels in [(2048, 150), (512, 80)]:
        mels = [mel_magnitudes(signal, sample_rate_hz, window, num_mels) for signal in (reference, degraded)]
        pairs = list(zip(*flat(mels), strict=True))
        total += sum(abs(math.log10(max(a, 1e-5) ** 2) - math.log10(max(b, 1e-5) ** 2)) for a, b in pairs) / len(
            pairs
        )
        total += sum(abs(a - b) for a, b in pairs) / len(pairs)
    return total


def stft_distance(reference: np.ndarray, degraded: np.ndarray) -> float:
    terms = []
    for fft_size, hop, window in [(512, 50, 240), (1024, 120, 600), (2048, 240, 1200)]:
        spectra = [magnitudes(signal, fft_size, hop, window) for signal in (reference, degraded)]
        pairs = [(max(a, 1e-7**0.5), max(b, 1e-7**0.5)) for a, b in zip(*flat(spectra), strict=True)]
        convergence = math.sqrt(sum((a - b) ** 2 for a, b in pairs) / sum(a**2 for a, _ in pairs))
        terms.append(convergence + sum(abs(math.log(a) - math.log(b)) for a, b in pairs) / len(pairs))
    return sum(terms) / len(terms)


def log_spectral_distance_db(reference: np.ndarray, degraded: np.ndarray) -> float:
    energy = sum((0.5 - 0.5 * math.cos(2 * math.pi * n / 512)) ** 2 for n in range(512))
    floor = energy * (1 / 32768) ** 2 / 12
    frames = []
    for a, b in zip(magnitudes(reference, 512, 128, 512), magnitudes(degraded, 512, 128, 512), strict=True):
        levels = [10 * math.log10(max(x * x, floor) / max(y * y, floor)) for x, y in zip(a, b, strict=True)]
        frames.append(math.sqrt(sum(level**2 for level in levels) / len(levels)))
    return sum(frames) / len(frames)


def flat(spectra: list[np.ndarray]) -> list[list[float]]:
    return [spectrum.ravel().tolist() for spectrum in spectra]
