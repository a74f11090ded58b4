"""A codec network: a SEANet encoder, a residual quantizer, a SEANet decoder.

Axes: ``B`` batch, ``C`` channels, ``T`` samples, ``K`` codebooks, ``F`` frames, ``D`` features.
"""

from torch import Tensor, nn

from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.seanet import SeanetConfig, SeanetDecoder, SeanetEncoder

__all__ = ["SeanetCodec"]


class SeanetCodec(nn.Module):
    """What EnCodec, SpeechTokenizer and FunCodec have in common."""

    def __init__(self, config: SeanetConfig, *, num_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.encoder = SeanetEncoder(config)
        self.quantizer = ResidualQuantizer(
            num_codebooks=num_codebooks, codebook_size=codebook_size, dimension=config.dimension
        )
        self.decoder = SeanetDecoder(config)
        self.hop_length = config.hop_length
        self.num_codebooks = num_codebooks

    def encode(self, samples: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return int64 codes [B, K, F] of float32 ``samples`` [B, C, T]."""
        return self.quantizer.encode(self.encoder(samples), num_codebooks)

    def decode(self, codes: Tensor) -> Tensor:
        """Return float32 samples [B, C, F · hop] of int64 ``codes`` [B, K, F]."""
        samples: Tensor = self.decoder(self.quantizer.decode(codes))
        return samples
