"""FunCodec (Du et al. 2023, arXiv:2309.07405): SEANets over time, or over time and frequency, with 32 codebooks.

The published code is https://github.com/modelscope/FunCodec, commit 3435d87. It divides what it encodes by its
loudness, over the whole utterance, and normalizes inside the networks over the whole utterance too: every code
depends on all of it, and long audio cannot be cut into pieces.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import read_yaml
from tokbench.codecs.funcodec_config import FunCodecConfig, read_config
from tokbench.codecs.loudness import LOUDNESS_STREAM, bytes_of, loudness_of
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.freq_seanet import FreqSeanetDecoder, FreqSeanetEncoder
from tokbench.models.loudness import loudness
from tokbench.models.phase_spectrogram import PhaseSpectrogram
from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder, rename_published
from tokbench.specs.networks import FreqSeanet, Seanet

__all__ = ["FunCodec", "FunCodecNetwork", "rename"]

_LAYER = re.compile(r"(encoder|decoder)\.model\.")
_CODEBOOKS = "quantizer.rq.model.embed"


class FunCodecNetwork(nn.Module):
    """Encoder, quantizer and decoder, and the spectrogram around them where there is one.

    Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``D`` features, ``T`` samples.
    """

    def __init__(self, config: FunCodecConfig) -> None:
        super().__init__()
        self.encoder: nn.Module
        self.decoder: nn.Module
        self.spectrogram: PhaseSpectrogram | None = None
        if isinstance(config.encoder, FreqSeanet) and isinstance(config.decoder, FreqSeanet):
            dimension, (stft_stride, *strides) = config.dimension, config.strides
            self.encoder = FreqSeanetEncoder(config.encoder, dimension=dimension, strides=tuple(strides))
            self.decoder = FreqSeanetDecoder(config.decoder, dimension=dimension, strides=tuple(strides[::-1]))
            self.spectrogram = PhaseSpectrogram(n_fft=config.encoder.window_length, hop_length=stft_stride)
        elif isinstance(config.encoder, Seanet) and isinstance(config.decoder, Seanet):
            dimension, order = config.dimension, config.strides
            self.encoder = SeanetEncoder(config.encoder, dimension=dimension, strides=order)
            self.decoder = SeanetDecoder(config.decoder, dimension=dimension, strides=order[::-1])
        self.quantizer = ResidualQuantizer(
            num_codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            dimension=config.dimension,
        )

    def latents(self, samples: Tensor) -> Tensor:
        """Return [B, D, F] of ``samples`` [B, T]."""
        inputs = samples[:, None] if self.spectrogram is None else self.spectrogram(samples)
        latents: Tensor = self.encoder(inputs)
        return latents

    def samples(self, codes: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return samples [B, T'] of the chosen codebooks of int64 ``codes`` [B, K, F]."""
        outputs: Tensor = self.decoder(self.quantizer.decode(codes, codebooks))
        return outputs[:, 0] if self.spectrogram is None else self.spectrogram.inverse(outputs)


class FunCodec(ResidualCodec):
    """A FunCodec of which the first ``num_codebooks`` codebooks are used.

    The second stream is the loudness that the utterance was divided by, once: the four bytes of a float32, the
    highest first. ``weights`` is a folder with ``config.yaml`` and ``model.pth``. Raises :class:`WeightsError` for
    files that are no such model.
    """

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        config = read_config(read_yaml(weights / "config.yaml"))
        if num_codebooks > config.num_codebooks:
            expected = f"{num_codebooks} codebooks (num_quantizers)"
            raise WeightsError(weights / "config.yaml", expected=expected, found=f"{config.num_codebooks}")
        self.model = _load(config, weights / "model.pth")
        self._num_codebooks = num_codebooks
        frame_rate_hz = config.sample_rate_hz / config.hop_length
        self.info = TokenizerInfo(
            sample_rate_hz=config.sample_rate_hz,
            streams=(
                StreamInfo(num_codebooks, config.codebook_size, frame_rate_hz),
                LOUDNESS_STREAM,
            ),
            causal=False,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        scale = loudness(samples)
        codes = self.model.quantizer.encode(self.model.latents(samples / scale), self._num_codebooks)
        return [codes[0], bytes_of(scale)]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.model.samples(streams[0][None], codebooks) * loudness_of(streams[1])

    def _latents(self, samples: Tensor) -> Tensor:
        return self.model.latents(samples / loudness(samples))[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.model.quantizer.decode(streams[0][None], codebooks)[0].T


def _load(config: FunCodecConfig, checkpoint: Path) -> FunCodecNetwork:
    tensors = rename(fold_weight_norms(read_tensors(checkpoint)))
    return load_strictly(FunCodecNetwork(config), tensors, checkpoint)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the codec needs of the published tensors, under the names of :class:`FunCodecNetwork`.

    All codebooks are one tensor [K, V, D] in the file. Left behind are what they are averaged from, the
    discriminators, and the windows and filters of transforms.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in rename_published(tensors).items():
        if name == _CODEBOOKS:
            renamed |= {f"quantizer.layers.{index}.embed": table for index, table in enumerate(tensor)}
        elif _LAYER.match(name):
            renamed[name] = tensor
    return renamed
