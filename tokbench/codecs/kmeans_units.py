"""Units: the number of the k-means centroid that is nearest to each frame of continuous features.

The tokens of GSLM (Lakhotia et al. 2021, arXiv:2102.01192) and of most speech language models since. In the
de-duplicated stream a run of equal units is one unit, so that its rate varies with the speech.
"""

import torch
from torch import Tensor, nn

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.models.ssl import SpeechEncoder

__all__ = ["KmeansUnits", "NearestCentroid", "deduplicated"]

_BLOCK_FRAMES = 8192
"""Frames whose distances from all centroids are held at a time."""


class NearestCentroid(nn.Module):
    """Centroids [V, D]."""

    centroids: Tensor
    _squares: Tensor

    def __init__(self, centroids: Tensor) -> None:
        super().__init__()
        self.register_buffer("centroids", centroids)
        self.register_buffer("_squares", centroids.square().sum(dim=1))

    def replace_(self, centroids: Tensor) -> None:
        """Put ``centroids`` [V, D] in the place of those that there were."""
        self.centroids.copy_(centroids)
        self._squares.copy_(self.centroids.square().sum(dim=1))

    def forward(self, frames: Tensor) -> Tensor:
        """Return int64 [F], the nearest centroid of each of ``frames`` [F, D]; the first of several."""
        # |x - c|² = |x|² - 2 x·c + |c|², where the first term is the same for every centroid.
        blocks = [self._squares - 2 * block @ self.centroids.T for block in torch.split(frames, _BLOCK_FRAMES)]
        return torch.cat([distances.argmin(dim=1) for distances in blocks])


def deduplicated(units: Tensor) -> Tensor:
    """Return int64 [F'], the first of each run of equal ``units`` [F]."""
    firsts: Tensor = torch.unique_consecutive(units)
    return firsts


class KmeansUnits(Tokenizer):
    """One codebook: ``encoder`` makes frames, ``quantizer`` numbers them."""

    encoder: SpeechEncoder
    quantizer: NearestCentroid

    def _prepare(
        self,
        encoder: SpeechEncoder,
        centroids: Tensor,
        *,
        deduplicate: bool,
        sample_rate_hz: int,
        latency_s: float,
    ) -> None:
        """Set what every such tokenizer has; ``latency_s`` is how far a frame looks beyond its end."""
        self.encoder = encoder
        self.quantizer = NearestCentroid(centroids)
        self._deduplicate = deduplicate
        rate_hz = None if deduplicate else sample_rate_hz / encoder.hop_length
        parameters = encoder.parameters() if isinstance(encoder, nn.Module) else ()
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(1, len(centroids), rate_hz),),
            causal=False,
            latency_s=latency_s,
            num_parameters=sum(parameter.numel() for parameter in parameters) + centroids.numel(),
        )

    @property
    def _hop_length(self) -> int:
        return self.encoder.hop_length

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self._units(self._latents(samples))]

    def _encode_long(self, samples: Tensor) -> list[Tensor]:
        # Runs are found in the units of the whole, and not of the pieces that its frames are made in.
        return [self._units(self._latents_long(samples))]

    def _units(self, frames: Tensor) -> Tensor:
        units = self.quantizer(frames)
        return (deduplicated(units) if self._deduplicate else units)[None]

    def _latents(self, samples: Tensor) -> Tensor:
        features: Tensor = self.encoder(samples)
        return features

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return torch.stack([self.quantizer.centroids[row] for row in streams[0][codebooks]]).sum(dim=0)
