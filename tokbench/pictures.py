"""What a person hears and sees of an utterance: lossless audio and a spectrogram, as bytes of a file."""

import io

import numpy as np
import soundfile
from PIL import Image
from scipy import signal

__all__ = ["flac_bytes", "spectrogram_png"]

_WINDOW_S = 0.025
_NUM_COLUMNS = 240
_NUM_ROWS = 64
_RANGE_DB = 70.0
"""Dynamic range from the loudest bin down to the lightest grey."""


def flac_bytes(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """Return ``samples`` [T] or [T, C] as 16-bit FLAC; what is beyond full scale is clipped."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), sample_rate_hz, subtype="PCM_16", format="FLAC")
    return buffer.getvalue()


def spectrogram_png(samples: np.ndarray, sample_rate_hz: int) -> bytes:
    """Return a small grey PNG of the log power spectrogram of ``samples`` [T], low frequencies at the bottom.

    The time axis spans the utterance; the frequency axis is on the mel scale (O'Shaughnessy 1987), where most of
    what is heard as speech lies.
    """
    window = min(len(samples), round(_WINDOW_S * sample_rate_hz))
    _, _, power = signal.spectrogram(samples, sample_rate_hz, "hann", nperseg=window, noverlap=window // 2)
    level_db = 10 * np.log10(np.maximum(power, 1e-12))
    rows = _mel_bins(power.shape[0], sample_rate_hz)
    columns = np.linspace(0, power.shape[1] - 1, _NUM_COLUMNS).round().astype(int)
    picture = level_db[rows][:, columns]
    relative = np.clip((picture - (picture.max() - _RANGE_DB)) / _RANGE_DB, 0.0, 1.0)
    grey = (255 * (1.0 - relative[::-1])).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _mel_bins(num_bins: int, sample_rate_hz: int) -> np.ndarray:
    """Return the bin of a linear spectrum for each row of the picture."""
    top_mel = 2595 * np.log10(1 + sample_rate_hz / 2 / 700)
    frequencies_hz = 700 * (10 ** (np.linspace(0, top_mel, _NUM_ROWS) / 2595) - 1)
    bins: np.ndarray = np.minimum(
        (frequencies_hz / (sample_rate_hz / 2) * (num_bins - 1)).round().astype(int), num_bins - 1
    )
    return bins
