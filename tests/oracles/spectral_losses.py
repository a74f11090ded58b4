"""Published reconstruction losses from their definitions: frames in a loop, float64, filters of librosa."""

import math
import warnings

import librosa
import numpy as np
from scipy.signal.windows import kaiser


def powers(
    signal: np.ndarray,
    window: int,
    *,
    hop: int | None = None,
    fft_size: int | None = None,
    framing: str = "centred",
    normalized: bool = False,
) -> np.ndarray:
    """Return |STFT|² [frames, bins] of ``signal`` [T] under a periodic Hann window."""
    hop, fft_size = hop or window // 4, fft_size or window
    if framing == "centred":
        padded = np.pad(signal.astype(np.float64), fft_size // 2, mode="reflect")
        num_frames = 1 + len(signal) // hop
    else:
        padded = np.pad(signal.astype(np.float64), (fft_size - hop) // 2, mode="reflect")
        num_frames = math.ceil(len(signal) / hop) if framing == "completed" else len(signal) // hop
        padded = np.append(padded, np.zeros(hop))
    weights = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)])
    if normalized:
        weights = weights / math.sqrt(sum(weights**2))
    left = (fft_size - window) // 2
    spectra = []
    for index in range(num_frames):
        frame = np.zeros(fft_size)
        frame[left : left + window] = weights * padded[index * hop + left : index * hop + left + window]
        spectra.append(np.abs(np.fft.rfft(frame)) ** 2)
    return np.array(spectra)


def mel_filters(
    sample_rate_hz: int, fft_size: int, num_mels: int, *, htk: bool, slaney: bool, min_hz: float = 0.0
) -> np.ndarray:
    """Return triangular filters [bins, mels]."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        return librosa.filters.mel(
            sr=sample_rate_hz,
            n_fft=fft_size,
            n_mels=num_mels,
            fmin=min_hz,
            htk=htk,
            norm="slaney" if slaney else None,
        ).T


def soundstream(decoded: np.ndarray, wanted: np.ndarray, sample_rate_hz: int) -> float:
    """Equations 4 and 5 of arXiv:2107.03312, on magnitudes; logarithms of what is above 1e-5."""
    total = 0.0
    for exponent in range(6, 12):
        window = 2**exponent
        filters = mel_filters(sample_rate_hz, window, 64, htk=True, slaney=False)
        a, b = (np.sqrt(powers(signal, window)) @ filters for signal in (decoded, wanted))
        for frame_a, frame_b in zip(a, b, strict=True):
            logs = np.log(np.maximum(frame_a, 1e-5)) - np.log(np.maximum(frame_b, 1e-5))
            total += np.abs(frame_a - frame_b).sum() + math.sqrt(window / 2) * np.linalg.norm(logs)
    return total


def audiocraft(decoded: np.ndarray, wanted: np.ndarray, sample_rate_hz: int) -> float:
    """``MultiScaleMelSpectrogramLoss`` as configured for compression: normalized, without alphas."""
    total = 0.0
    for exponent in range(6, 11):
        window = 2**exponent
        filters = mel_filters(sample_rate_hz, window, 64, htk=True, slaney=False, min_hz=64)
        a, b = (
            powers(signal, window, framing="completed", normalized=True) @ filters for signal in (decoded, wanted)
        )
        total += np.abs(a - b).mean() + ((np.log10(1e-5 + a) - np.log10(1e-5 + b)) ** 2).mean()
    return total / 10


def hifi_gan(decoded: np.ndarray, wanted: np.ndarray, sample_rate_hz: int) -> float:
    """``mel_spectrogram`` of HiFi-GAN and AcademiCodec, 1024 samples every 240; mean absolute difference."""
    filters = mel_filters(sample_rate_hz, 1024, 80, htk=False, slaney=True)
    a, b = (
        np.log(np.maximum(np.sqrt(powers(signal, 1024, hop=240, framing="aligned") + 1e-9) @ filters, 1e-5))
        for signal in (decoded, wanted)
    )
    return np.abs(a - b).mean()


def audiodec(decoded: np.ndarray, wanted: np.ndarray, sample_rate_hz: int) -> float:
    """``MultiMelSpectrogramLoss`` of AudioDec with one resolution."""
    filters = mel_filters(sample_rate_hz, 2048, 80, htk=False, slaney=True)
    a, b = (
        np.log(np.maximum(np.sqrt(np.maximum(powers(signal, 2048, hop=300), 1e-10)) @ filters, 1e-10))
        for signal in (decoded, wanted)
    )
    return np.abs(a - b).mean()


def funcodec(decoded: np.ndarray, wanted: np.ndarray, sample_rate_hz: int) -> float:
    """Half of mel and half of power spectra, both norms, mean over windows: ``codec_basic.py`` of FunCodec."""
    filters = mel_filters(sample_rate_hz, 1024, 64, htk=False, slaney=True)
    total = 0.0
    for exponent in range(5, 11):
        a, b = (powers(signal, 2**exponent, fft_size=1024, framing="aligned") for signal in (decoded, wanted))
        for one, other in ((a @ filters, b @ filters), (a, b)):
            logs = np.log10(np.maximum(one, 1e-5)) - np.log10(np.maximum(other, 1e-5))
            total += 0.5 * np.abs(logs).mean() + 0.5 * (logs**2).mean()
    return total / 6


def academicodec(decoded: np.ndarray, wanted: np.ndarray, sample_rate_hz: int) -> float:
    """The mel part of ``reconstruction_loss`` in AcademiCodec's recipe of EnCodec and SoundStream."""
    total = 0.0
    for exponent in range(6, 12):
        window = 2**exponent
        fft_size = max(window, 512)
        filters = mel_filters(sample_rate_hz, fft_size, 64, htk=True, slaney=False)
        a, b = (powers(signal, window, fft_size=fft_size) @ filters for signal in (decoded, wanted))
        logs = np.log(a + 1e-7) - np.log(b + 1e-7)
        total += np.abs(a - b).mean() + math.sqrt(window / 2) * np.sqrt((logs**2).mean(axis=1)).mean()
    return total


def uniaudio(decoded: list[np.ndarray], wanted: list[np.ndarray], resolutions: list[tuple[int, int, int]]) -> float:
    """Spectral convergence and log magnitudes of UniAudio, over signals; (fft size, window, hop) in samples."""
    total = 0.0
    for fft_size, window, hop in resolutions:
        a, b = (
            np.sqrt(np.maximum([powers(signal, window, hop=hop, fft_size=fft_size) for signal in signals], 1e-7))
            for signals in (decoded, wanted)
        )
        total += math.sqrt(((a - b) ** 2).sum() / (b**2).sum()) + np.abs(np.log(a) - np.log(b)).mean()
    return total / len(resolutions)


def six_bands(signal: np.ndarray) -> list[np.ndarray]:
    """Return the analysis of UniAudio's pseudo quadrature mirror filter, sample by sample."""
    cutoff, window = 0.10032791, kaiser(63, 9.0)
    time = np.arange(63) - 31.0
    prototype = cutoff * np.sinc(cutoff * time) * window
    padded = np.pad(signal.astype(np.float64), 31)
    bands = []
    for band in range(6):
        taps = 2 * prototype * np.cos((2 * band + 1) * math.pi / 12 * time + (-1) ** band * math.pi / 4)
        bands.append(np.array([sum(taps * padded[start : start + 63]) for start in range(0, len(signal), 6)]))
    return bands
