"""Spectral distances: L1 and L2 distances of (mel) spectra at several resolutions, at the rate of the pair.

Conventions, all those of the definitions cited: periodic Hann windows, frames centred on multiples of the hop with
reflected ends, magnitudes that are not normalised. Mel filters have Slaney's scale and area normalisation
(librosa's default), from 0 Hz to half the sample rate. Values therefore depend on the sample rate: at 16 kHz they
are not those that the same codec has at 44.1 kHz.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tokbench.errors import NotApplicableError
from tokbench.metrics.base import Score, SignalPair

__all__ = [
    "CODEC_SUPERB_SCALES",
    "DAC_SCALES",
    "STFT_RESOLUTIONS",
    "MelScale",
    "log_spectral_distance_db",
    "mel_distance_codec_superb",
    "mel_distance_dac",
    "mel_filters",
    "stft_distance",
]


class MelScale(NamedTuple):
    """One resolution of a multi-scale mel spectrum; the hop is a quarter of the window."""

    window: int
    num_mels: int


DAC_SCALES = tuple(MelScale(2**exponent, 10 * 2**exponent // 64) for exponent in range(5, 12))
"""Windows 32 … 2048 samples with 5 … 320 mels: ``MelSpectrogramLoss`` in descript-audio-codec, conf/base.yml."""

CODEC_SUPERB_SCALES = (MelScale(2048, 150), MelScale(512, 80))
"""The defaults of ``MelSpectrogramLoss`` in Codec-SUPERB's SoundCodec/metrics.py."""

MEL_FLOOR = 1e-5
"""Magnitudes below it are raised to it before a logarithm: ``clamp_eps`` of both definitions."""

MEL_LOG_STEP = math.log(6.4) / 27
"""Logarithmic step per mel above 1000 Hz on Slaney's scale."""

STFT_RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))
"""FFT size, hop and window in samples: Yamamoto et al. 2020, "Parallel WaveGAN", table 1 (there at 24 kHz)."""

STFT_POWER_FLOOR = 1e-7
"""Floor of the power before the root: the authors' implementation (ParallelWaveGAN) and auraloss's first."""

LSD_WINDOW = 512
"""Samples, 32 ms at 16 kHz; the hop is a quarter of it."""


def mel_distance_dac(pair: SignalPair) -> Score:
    """Multi-scale mel distance of DAC: sum over :data:`DAC_SCALES` of the mean ``|log10 m - log10 m'|``.

    Kumar et al. 2023, "High-fidelity audio compression with improved RVQGAN", section 3.5, with the constants of
    the authors' configuration (``pow`` 1, ``mag_weight`` 0). They evaluate at 44.1 kHz, this at the pair's rate.
    Raises :class:`NotApplicableError` for less audio than the longest window.
    """
    _require_samples(pair, DAC_SCALES[-1].window, "the mel distance")
    with torch.inference_mode():
        return Score(sum(_log_mel_distance(_mel(pair, scale)) for scale in DAC_SCALES))


def mel_distance_codec_superb(pair: SignalPair) -> Score:
    """Mel distance of Codec-SUPERB: sum over two scales of ``mean |log10 m^2 - log10 m'^2| + mean |m - m'|``.

    Wu et al. 2024, "Codec-SUPERB", as implemented in SoundCodec/metrics.py; there at the rate of each file.
    Raises :class:`NotApplicableError` for less audio than the longest window.
    """
    _require_samples(pair, CODEC_SUPERB_SCALES[0].window, "the mel distance")
    distance = 0.0
    with torch.inference_mode():
        for scale in CODEC_SUPERB_SCALES:
            mel = _mel(pair, scale)
            # log10 m^2 = 2 log10 m.
            distance += 2 * _log_mel_distance(mel) + float((mel[0] - mel[1]).abs().mean())
    return Score(distance)


def stft_distance(pair: SignalPair) -> Score:
    """Multi-resolution STFT distance: mean over :data:`STFT_RESOLUTIONS` of two terms.

    Spectral convergence ``|S - S'|_F / |S|_F`` plus mean ``|ln S - ln S'|`` of the magnitudes: Yamamoto et al.
    2020, "Parallel WaveGAN", section 2.2 (at 24 kHz there). Raises :class:`NotApplicableError` for a silent
    reference or less audio than the longest window.
    """
    _require_samples(pair, STFT_RESOLUTIONS[-1][0], "the STFT distance")
    pair.require_sound("the STFT distance")
    with torch.inference_mode():
        return Score(sum(_stft_terms(pair, *sizes) for sizes in STFT_RESOLUTIONS) / len(STFT_RESOLUTIONS))


def log_spectral_distance_db(pair: SignalPair) -> Score:
    """Log-spectral distance: root mean square over frequencies of ``10 log10 (P / P')``, mean over frames, in dB.

    Gray and Markel 1976, "Distance measures for speech processing", on 32 ms frames at 16 kHz. Power is raised
    to that of the rounding noise of 16-bit audio, ``sum(w^2) · (2^-15)^2 / 12``, so that digital silence and the
    faintest noise that a file can hold are the same sound. Raises :class:`NotApplicableError` for less audio than
    a window.
    """
    _require_samples(pair, LSD_WINDOW, "the log-spectral distance")
    with torch.inference_mode():
        floor = float(_window(LSD_WINDOW).square().sum()) * 2.0**-30 / 12
        reference, degraded = _magnitude(pair, LSD_WINDOW).square().clamp_(min=floor)
        difference_db = (reference / degraded).log10_().mul_(10)
        return Score(float(difference_db.square_().mean(dim=0).sqrt_().mean()))


@functools.cache
def mel_filters(num_mels: int, window: int, sample_rate_hz: int) -> Tensor:
    """Return triangular filters on the bins of an FFT, float32 [num_mels, window // 2 + 1].

    Corners are equally spaced on Slaney's mel scale from 0 Hz to half the sample rate, each triangle has unit area
    (Slaney 1998, "Auditory Toolbox", and librosa's default). A filter between two bins is empty, as there.
    """
    bins_hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    corners_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate_hz / 2), num_mels + 2))[:, None]
    low, centre, high = corners_hz[:-2], corners_hz[1:-1], corners_hz[2:]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (high - low)
    return torch.from_numpy(triangles.astype(np.float32))


def _hz_to_mel(frequency_hz: float) -> float:
    """Slaney's scale for ``frequency_hz >= 1000``, as that of a Nyquist frequency."""
    return 15 + math.log(frequency_hz / 1000) / MEL_LOG_STEP


def _mel_to_hz(mels: np.ndarray) -> np.ndarray:
    """Slaney's scale: 200/3 Hz per mel up to 1000 Hz (15 mel), then 27 mel for each factor of 6.4."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(MEL_LOG_STEP * (mels - 15)))  # noqa: PLR2004


@functools.cache
def _window(length: int) -> Tensor:
    return torch.hann_window(length)


def _require_samples(pair: SignalPair, num_samples: int, what: str) -> None:
    if len(pair.reference) < num_samples:
        msg = f"{what} needs {num_samples} samples, the reference has {len(pair.reference)}"
        raise NotApplicableError(msg)


def _signals(pair: SignalPair) -> Tensor:
    """Return reference and degraded, float32 [2, T]."""
    return torch.from_numpy(np.stack([pair.reference, pair.degraded]).astype(np.float32, copy=False))


def _power(pair: SignalPair, fft_size: int, hop: int, window: int) -> Tensor:
    """Return the power spectra of both signals, float32 [2, bins, frames]."""
    spectrum = torch.stft(_signals(pair), fft_size, hop, window, _window(window), return_complex=True)
    # A quarter of the time of abs().square(), which takes a root in between.
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)


def _magnitude(pair: SignalPair, window: int) -> Tensor:
    """Return the magnitudes of both signals with a hop of a quarter window, float32 [2, bins, frames].

    Those of the windows that several metrics share are kept.
    """

    def compute() -> Tensor:
        return _power(pair, window, window // 4, window).sqrt_()

    is_shared = any(scale.window == window for scale in CODEC_SUPERB_SCALES)
    return pair.once(f"magnitude {window}", compute) if is_shared else compute()


def _mel(pair: SignalPair, scale: MelScale) -> Tensor:
    """Return the mel magnitudes of both signals, float32 [2, num_mels, frames]."""
    filters = mel_filters(scale.num_mels, scale.window, pair.sample_rate_hz)
    return filters @ _magnitude(pair, scale.window)


def _log_mel_distance(mel: Tensor) -> float:
    """Return the mean ``|log10 m - log10 m'|`` of mel magnitudes [2, num_mels, frames]."""
    reference, degraded = mel.clamp(min=MEL_FLOOR)
    return _mean_log_ratio(reference, degraded) / math.log(10)


def _mean_log_ratio(reference: Tensor, degraded: Tensor) -> float:
    """Return the mean ``|ln x - ln y|`` of two positive tensors, by one logarithm of their ratio."""
    return float((reference / degraded).log_().abs_().mean())


def _stft_terms(pair: SignalPair, fft_size: int, hop: int, window: int) -> float:
    """Return spectral convergence plus log-magnitude distance at one resolution."""
    power = _power(pair, fft_size, hop, window).clamp_(min=STFT_POWER_FLOOR)
    log_distance = _mean_log_ratio(*power) / 2
    reference, degraded = power.sqrt_()
    convergence = torch.linalg.norm(reference - degraded) / torch.linalg.norm(reference)
    return float(convergence) + log_distance
