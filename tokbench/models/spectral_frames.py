"""Log-mel filterbanks and MFCCs, as Kaldi computes them: what speech was represented by before it was learnt.

Frames of 25 ms under a Povey window, after removal of the mean and a pre-emphasis of 0.97; the power spectrum in
triangular bands of equal width on the mel scale from 20 Hz to half of the sample rate; natural logarithms. MFCCs
are the orthonormal DCT of 23 bands, liftered by 22, of which 13 are kept, C0 among them; their differences in time
are those of torchaudio over five frames. HuBERT's first iteration clusters these 39 (Hsu et al. 2021,
arXiv:2106.07447, section IV-B), at 10 ms.

Frames are centred on their hop, and the audio is mirrored at its ends (Kaldi's ``snip_edges=false``), so that there
are as many as there are hops: an utterance loses nothing at its ends.
"""

import torch
from torch import Tensor, nn
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

__all__ = ["LogMelFrames", "MfccFrames", "SpectralFrames"]

WINDOW_MS = 25.0
_DELTA_REACH = 2
"""Frames on either side from which a difference in time is computed."""


class SpectralFrames(nn.Module):
    """What both have in common: the frames."""

    num_features: int

    def __init__(self, *, sample_rate_hz: int, hop_ms: float, delta_frames: int = 0) -> None:
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.hop_length = round(hop_ms / 1000 * sample_rate_hz)
        self.window_length = round(WINDOW_MS / 1000 * sample_rate_hz)
        self._delta_frames = delta_frames
        self._shared = {
            "sample_frequency": float(sample_rate_hz),
            "frame_length": WINDOW_MS,
            "frame_shift": hop_ms,
            "snip_edges": False,
            "dither": 0.0,
        }

    @property
    def reach(self) -> int:
        """Frames before and after its own on whose audio a frame may depend: a window, for what is mirrored."""
        return -(-self.window_length // self.hop_length) + self._delta_frames

    @property
    def latency_s(self) -> float:
        """How far a frame looks beyond the end of its hop, in seconds."""
        window = max((self.window_length - self.hop_length) / 2, 0)
        return (window + self._delta_frames * self.hop_length) / self.sample_rate_hz

    def _padded(self, samples: Tensor) -> tuple[Tensor, int]:
        """Return at least a window of audio, which mirroring needs, and the number of frames that it has."""
        num_frames = max((samples.shape[1] + self.hop_length // 2) // self.hop_length, 1)
        return nn.functional.pad(samples, (0, max(self.window_length - samples.shape[1], 0))), num_frames


class LogMelFrames(SpectralFrames):
    """Logarithms of the power in ``num_mels`` bands."""

    def __init__(self, *, sample_rate_hz: int, hop_ms: float, num_mels: int) -> None:
        super().__init__(sample_rate_hz=sample_rate_hz, hop_ms=hop_ms)
        self.num_features = num_mels

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = round(T / hop_length)``, at least one."""
        padded, num_frames = self._padded(samples)
        frames: Tensor = kaldi.fbank(padded, num_mel_bins=self.num_features, **self._shared)
        return frames[:num_frames]


class MfccFrames(SpectralFrames):
    """``num_cepstra`` coefficients and, if ``deltas``, their first and second differences in time."""

    def __init__(
        self, *, sample_rate_hz: int, hop_ms: float, num_cepstra: int, num_mels: int, deltas: bool
    ) -> None:
        delta_frames = 2 * _DELTA_REACH if deltas else 0
        super().__init__(sample_rate_hz=sample_rate_hz, hop_ms=hop_ms, delta_frames=delta_frames)
        self._cepstra = {"num_ceps": num_cepstra, "num_mel_bins": num_mels}
        self._deltas = deltas
        self.num_features = num_cepstra * (3 if deltas else 1)

    def forward(self, samples: Tensor) -> Tensor:
        """Return [F, D] of ``samples`` [1, T], with ``F = round(T / hop_length)``, at least one."""
        padded, num_frames = self._padded(samples)
        cepstra: Tensor = kaldi.mfcc(padded, **self._cepstra, **self._shared)[:num_frames].T
        if not self._deltas:
            return cepstra.T
        first = compute_deltas(cepstra, win_length=2 * _DELTA_REACH + 1)
        second = compute_deltas(first, win_length=2 * _DELTA_REACH + 1)
        return torch.cat([cepstra, first, second]).T
