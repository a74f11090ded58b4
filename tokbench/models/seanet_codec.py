"""A codec network: a SEANet encoder, a residual quantizer, a SEANet decoder.

Axes: ``B`` batch, ``C`` channels, ``T`` samples, ``K`` codebooks, ``F`` frames, ``D`` features.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder
from tokbench.specs.networks import Seanet

__all__ = ["SeanetCodec"]


class SeanetCodec(nn.Module):
    """A published codec of one audio channel, with ``strides`` in the order of its encoder."""

    def __init__(
        self, network: Seanet, *, dimension: int, strides: Sequence[int], num_codebooks: int, codebook_size: int
    ) -> None:
        super().__init__()
        self.encoder = SeanetEncoder(network, dimension=dimension, strides=strides)
        self.quantizer = ResidualQuantizer(
            num_codebooks=num_codebooks, codebook_size=codebook_size, dimension=dimension
        )
        self.decoder = SeanetDecoder(network, dimension=dimension, strides=strides[::-1])
        self.hop_length = math.prod(strides)
        self.num_codebooks = num_codebooks

    def encode(self, samples: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 codes [B, K, F] of float32 ``samples`` [B, C, T]."""
        return self.quantizer.encode(self.encoder(samples), num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """Return float32 samples [B, C, F · hop] of int64 ``codes`` [B, K, F]."""
        samples: Tensor = self.decoder(self.quantizer.decode(codes))
        return samples
