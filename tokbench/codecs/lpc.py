"""A vocoder in the manner of LPC-10, small enough to read: 54 bits for each 22.5 ms, 2.4 kbit/s.

Speech is an excitation, pulses at the pitch or noise, that a filter of ten poles colours (Atal & Hanauer 1971). Per
frame the codes hold the filter's reflection coefficients, the level of the excitation, its pitch, and whether there
is one. The bits are shared out as in FED-STD-1015; the quantizers and the pitch tracker are plainer than there, and
there is no compatibility with it: for that there is ``lpc10``.

Axes besides those of the contract: ``P`` poles.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.signal import butter, lfilter, sosfilt
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

__all__ = ["Lpc"]

_SAMPLE_RATE_HZ = 8000
_FRAME_LENGTH = 180
_FRAME_RATE_HZ = _SAMPLE_RATE_HZ / _FRAME_LENGTH
_WINDOW = 360
"""Samples that are analysed for a frame, with the frame in their middle."""
_EMPHASIS = 0.9375
"""Zero of the filter that lifts high frequencies before the analysis (FED-STD-1015)."""
_NUM_POLES = 10
_NUM_SUBFRAMES = 4
"""Parts of a frame, each with coefficients interpolated for its middle."""

_PITCH_SIZE, _SHORTEST, _LONGEST = 64, 20, 160
"""Periods of 50 to 400 Hz in samples, spaced logarithmically."""
_FORMANTS_ABOVE_HZ = 900
"""What is above says little of the pitch."""
_VOICED_ABOVE = 0.5
"""Normalized autocorrelation of voiced speech."""
_LEVEL_SIZE, _LOWEST_DB, _LEVEL_STEP_DB = 64, -96.0, 1.5
"""Steps of the root mean square of the excitation against full scale."""
_LOOK_AHEAD = (_WINDOW + _LONGEST - _FRAME_LENGTH) // 2 + _FRAME_LENGTH
"""Half of what the window of the pitch has more than a frame, and a frame by which the pitch is smoothed."""

_STREAMS = (
    StreamInfo(1, 2, _FRAME_RATE_HZ, "voiced"),
    StreamInfo(1, _PITCH_SIZE, _FRAME_RATE_HZ, "pitch"),
    StreamInfo(1, _LEVEL_SIZE, _FRAME_RATE_HZ, "level"),
    StreamInfo(4, 32, _FRAME_RATE_HZ, "reflection 1 to 4"),
    StreamInfo(4, 16, _FRAME_RATE_HZ, "reflection 5 to 8"),
    StreamInfo(1, 8, _FRAME_RATE_HZ, "reflection 9"),
    StreamInfo(1, 4, _FRAME_RATE_HZ, "reflection 10"),
)
_REFLECTION_SIZES = np.array([size for s in _STREAMS[3:] for size in [s.codebook_size] * s.num_codebooks])
_ANGLE_MEANS = np.array([-0.1, 0.4, 0.0, 0.1, -0.05, 0.3, 0.0, 0.25, 0.1, 0.15])
_ANGLE_SPREADS = np.array([1.25, 0.95, 0.85, 0.65, 0.65, 0.65, 0.6, 0.6, 0.5, 0.4])
"""Middle and half width of the range that is coded of each reflection coefficient, as ``arcsin k``."""


class Lpc(Codec):
    """The vocoder. It has no parameters that were trained, and its noise is the same for every utterance."""

    def __init__(self) -> None:
        self.info = TokenizerInfo(
            sample_rate_hz=_SAMPLE_RATE_HZ,
            streams=_STREAMS,
            causal=True,
            latency_s=_LOOK_AHEAD / _SAMPLE_RATE_HZ,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        signal = samples[0].cpu().numpy().astype(np.float64)
        reflection, level = _spectra(signal)
        voiced, period = _pitch(signal)
        angle = (np.arcsin(reflection) - _ANGLE_MEANS) / _ANGLE_SPREADS
        reflection_codes = np.floor((angle + 1) / 2 * _REFLECTION_SIZES)
        pitch = np.log(period / _SHORTEST) / math.log(_LONGEST / _SHORTEST) * (_PITCH_SIZE - 1)
        level_db = 20 * np.log10(np.maximum(level, 1e-9))
        codes = [voiced, np.rint(pitch), np.rint((level_db - _LOWEST_DB) / _LEVEL_STEP_DB), *reflection_codes.T]
        sizes = [2, _PITCH_SIZE, _LEVEL_SIZE, *_REFLECTION_SIZES]
        clipped = [np.clip(code, 0, size - 1).astype(np.int64) for code, size in zip(codes, sizes, strict=True)]
        stacked = torch.from_numpy(np.stack(clipped))
        return list(torch.split(stacked, [stream.num_codebooks for stream in _STREAMS]))

    def _decode(self, streams: list[Tensor]) -> Tensor:
        codes = np.concatenate([stream.cpu().numpy() for stream in streams])
        voiced = codes[0] == 1
        period = _SHORTEST * (_LONGEST / _SHORTEST) ** (codes[1] / (_PITCH_SIZE - 1))
        level = 10 ** ((_LOWEST_DB + _LEVEL_STEP_DB * codes[2]) / 20)
        middle = 2 * (codes[3:].T + 0.5) / _REFLECTION_SIZES - 1
        angle = np.clip(_ANGLE_MEANS + _ANGLE_SPREADS * middle, -1.5, 1.5)
        speech = _synthesis(_excitation(voiced, period, level), angle)
        return torch.from_numpy(np.clip(speech, -1.0, 1.0).astype(np.float32))[None]


def _windows(signal: np.ndarray, length: int) -> np.ndarray:
    """Return [F, length]: the samples around the middle of each frame, with silence beyond the ends."""
    num_frames = -(-len(signal) // _FRAME_LENGTH)
    before = (length - _FRAME_LENGTH) // 2
    padded = np.pad(signal, (before, num_frames * _FRAME_LENGTH - len(signal) + length - before))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[: num_frames * _FRAME_LENGTH : _FRAME_LENGTH]


def _in_blocks(function: Callable[[np.ndarray], np.ndarray], frames: np.ndarray) -> np.ndarray:
    """Return ``function(frames)``, a thousand frames at a time, to hold no more than that of an hour's windows."""
    return np.concatenate([function(frames[start : start + 1000]) for start in range(0, len(frames), 1000)])


def _spectra(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflection coefficients [F, P] of each frame, and the root mean square [F] of its residual."""
    emphasised = lfilter([1.0, -_EMPHASIS], [1.0], signal)
    window = np.hamming(_WINDOW)

    def autocorrelate(frames: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(frames * window, 2 * _WINDOW)) ** 2
        return np.fft.irfft(power)[:, : _NUM_POLES + 1]

    autocorrelation = _in_blocks(autocorrelate, _windows(emphasised, _WINDOW))
    # A little noise keeps the recursion stable on tones and silence.
    autocorrelation[:, 0] = autocorrelation[:, 0] * 1.0001 + 1e-12
    return _levinson(autocorrelation, float(np.sum(window**2)))


def _levinson(autocorrelation: np.ndarray, energy: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve for the predictor by Levinson and Durbin's recursion, all frames of [F, P + 1] at once."""
    num_frames = len(autocorrelation)
    predictor = np.zeros((num_frames, _NUM_POLES + 1))
    predictor[:, 0] = 1.0
    reflection = np.zeros((num_frames, _NUM_POLES))
    error = autocorrelation[:, 0].copy()
    for order in range(1, _NUM_POLES + 1):
        mismatch = np.sum(predictor[:, :order] * autocorrelation[:, order:0:-1], axis=1)
        k = -mismatch / error
        reflection[:, order - 1] = k
        predictor[:, : order + 1] += k[:, None] * predictor[:, order::-1]
        error *= 1 - k**2
    return reflection, np.sqrt(error / energy)


def _pitch(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each frame is voiced [F], and its period [F] in samples."""
    low = sosfilt(butter(2, _FORMANTS_ABOVE_HZ, fs=_SAMPLE_RATE_HZ, output="sos"), signal)
    lags = np.arange(_SHORTEST, _LONGEST + 1)

    def correlate(frames: np.ndarray) -> np.ndarray:
        start = frames[:, :_WINDOW]
        return np.stack([_correlation(start, frames[:, lag : lag + _WINDOW]) for lag in lags], axis=1)

    scores = _in_blocks(correlate, _windows(low, _WINDOW + _LONGEST))
    best = scores.max(axis=1)
    # A period's multiples score as high: take the shortest that is nearly as good.
    period = lags[np.argmax(scores > 0.9 * best[:, None], axis=1)]
    period = lags[0] + np.array(
        [_local_peak(row, first - lags[0]) for row, first in zip(scores, period, strict=True)]
    )
    return _median(best) > _VOICED_ABOVE, _median(period.astype(np.float64))


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    energy = np.sum(first**2, axis=1) * np.sum(second**2, axis=1)
    normalized: np.ndarray = np.sum(first * second, axis=1) / np.sqrt(energy + 1e-9)
    return normalized


def _local_peak(scores: np.ndarray, start: int) -> int:
    """Climb from ``start`` to the next maximum."""
    while start + 1 < len(scores) and scores[start + 1] > scores[start]:
        start += 1
    return start


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median of each value and its two neighbours."""
    padded = np.pad(values, 1, mode="edge")
    smoothed: np.ndarray = np.median(np.stack([padded[:-2], values, padded[2:]]), axis=0)
    return smoothed


def _excitation(voiced: np.ndarray, period: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return [F · frame length] samples: pulses where a frame is voiced, noise elsewhere."""
    excitation = np.random.default_rng(0).standard_normal(len(voiced) * _FRAME_LENGTH)
    next_pulse = 0.0
    for index in range(len(voiced)):
        start, stop = index * _FRAME_LENGTH, (index + 1) * _FRAME_LENGTH
        next_pulse = max(next_pulse, start)
        if voiced[index]:
            excitation[start:stop] = 0.0
            while next_pulse < stop:
                # One pulse per period with the energy of the noise that it replaces.
                excitation[int(next_pulse)] = math.sqrt(period[index])
                next_pulse += period[index]
    scaled: np.ndarray = excitation * np.repeat(level, _FRAME_LENGTH)
    return scaled


def _synthesis(excitation: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Filter the excitation by the poles whose reflection coefficients are ``sin(angle)`` [F, P]."""
    length = _FRAME_LENGTH // _NUM_SUBFRAMES
    places = (np.arange(len(angle) * _NUM_SUBFRAMES) + 0.5) / _NUM_SUBFRAMES - 0.5
    smooth = np.stack([np.interp(places, np.arange(len(angle)), track) for track in angle.T], axis=1)
    state = np.zeros(_NUM_POLES)
    parts = []
    for index, predictor in enumerate(_predictors(np.sin(smooth))):
        part, state = lfilter([1.0], predictor, excitation[index * length : (index + 1) * length], zi=state)
        parts.append(part)
    speech: np.ndarray = lfilter([1.0], [1.0, -_EMPHASIS], np.concatenate(parts))
    return speech


def _predictors(reflection: np.ndarray) -> np.ndarray:
    """Return the filters [F, P + 1] of reflection coefficients [F, P]."""
    predictor = np.zeros((len(reflection), _NUM_POLES + 1))
    predictor[:, 0] = 1.0
    for order in range(1, _NUM_POLES + 1):
        predictor[:, : order + 1] += reflection[:, order - 1 : order] * predictor[:, order::-1]
    return predictor
