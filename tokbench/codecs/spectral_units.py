"""K-means units of log-mel frames or MFCCs; see :mod:`tokbench.models.spectral_frames` for the frames."""

from pathlib import Path

from tokbench.codecs.base import Context
from tokbench.codecs.centroids import read_centroids
from tokbench.codecs.kmeans_units import KmeansUnits
from tokbench.models.spectral_frames import LogMelFrames, MfccFrames, SpectralFrames

__all__ = ["LogMelUnits", "MfccUnits"]


class _SpectralUnits(KmeansUnits):
    def _prepare_frames(self, frames: SpectralFrames, centroids: Path, *, deduplicate: bool) -> None:
        self.context = Context(encode_before=frames.reach, encode_after=frames.reach)
        self._prepare(
            frames,
            read_centroids(centroids, num_features=frames.num_features),
            deduplicate=deduplicate,
            sample_rate_hz=frames.sample_rate_hz,
            latency_s=frames.latency_s,
        )


class LogMelUnits(_SpectralUnits):
    """The file ``centroids_file`` of the folder ``centroids``, on log-mel frames."""

    def __init__(
        self,
        *,
        num_mels: int,
        hop_ms: float,
        centroids_file: str,
        centroids: Path,
        deduplicate: bool = False,
        sample_rate_hz: int = 16000,
    ) -> None:
        frames = LogMelFrames(sample_rate_hz=sample_rate_hz, hop_ms=hop_ms, num_mels=num_mels)
        self._prepare_frames(frames, centroids / centroids_file, deduplicate=deduplicate)


class MfccUnits(_SpectralUnits):
    """The file ``centroids_file`` of the folder ``centroids``, on MFCCs."""

    def __init__(  # noqa: PLR0913  (each is a key of the card)
        self,
        *,
        num_cepstra: int,
        num_mels: int,
        deltas: bool,
        hop_ms: float,
        centroids_file: str,
        centroids: Path,
        deduplicate: bool = False,
        sample_rate_hz: int = 16000,
    ) -> None:
        frames = MfccFrames(
            sample_rate_hz=sample_rate_hz, hop_ms=hop_ms, num_cepstra=num_cepstra, num_mels=num_mels, deltas=deltas
        )
        self._prepare_frames(frames, centroids / centroids_file, deduplicate=deduplicate)
