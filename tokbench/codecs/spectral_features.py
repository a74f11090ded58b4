"""Log-mel filterbanks and MFCCs: what speech was represented by before it was learnt.

Their frames are those of :mod:`tokbench.models.spectral_frames`, which does as Kaldi does.
"""

from typing import ClassVar

from torch import Tensor

from tokbench.codecs.base import Context, TokenizerInfo
from tokbench.codecs.frame_features import FrameFeatures
from tokbench.models.spectral_frames import LogMelFrames, MfccFrames, SpectralFrames

__all__ = ["LogMel", "Mfcc"]


class _Spectral(FrameFeatures):
    encoder: SpectralFrames

    def _prepare(self, frames: SpectralFrames) -> None:
        self.encoder = frames
        self.context = Context(encode_before=frames.reach, encode_after=frames.reach)
        self.info = TokenizerInfo(
            sample_rate_hz=frames.sample_rate_hz,
            streams=(),
            causal=False,
            latency_s=frames.latency_s,
        )

    def _latents(self, samples: Tensor) -> Tensor:
        features: Tensor = self.encoder(samples)
        return features


class LogMel(_Spectral):
    """Log-mel frames every ``hop_ms``."""

    units_adapter: ClassVar[str] = "tokbench.codecs.spectral_units:LogMelUnits"

    def __init__(self, *, num_mels: int, hop_ms: float, sample_rate_hz: int = 16000) -> None:
        self._prepare(LogMelFrames(sample_rate_hz=sample_rate_hz, hop_ms=hop_ms, num_mels=num_mels))


class Mfcc(_Spectral):
    """MFCCs every ``hop_ms``."""

    units_adapter: ClassVar[str] = "tokbench.codecs.spectral_units:MfccUnits"

    def __init__(
        self, *, num_cepstra: int, num_mels: int, deltas: bool, hop_ms: float, sample_rate_hz: int = 16000
    ) -> None:
        self._prepare(
            MfccFrames(
                sample_rate_hz=sample_rate_hz,
                hop_ms=hop_ms,
                num_cepstra=num_cepstra,
                num_mels=num_mels,
                deltas=deltas,
            )
        )
