"""FunCodec (Du et al. 2023, arXiv:2309.07405): SEANets over time, or over time and frequency, with 32 codebooks.

The published code is https://github.com/modelscope/FunCodec, commit 3435d87. It divides what it encodes by its
loudness, over the whole utterance, and normalizes inside the networks over the whole utterance too: every code
depends on all of it, and long audio cannot be cut into pieces.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import read_yaml
from tokbench.codecs.funcodec_config import FunCodecConfig, read_config
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.freq_seanet import FreqSeanetConfig, FreqSeanetDecoder, FreqSeanetEncoder
from tokbench.models.phase_spectrogram import PhaseSpectrogram
from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.seanet import SeanetDecoder, SeanetEncoder, rename_published

__all__ = ["FunCodec", "FunCodecNetwork", "rename"]

_SMALLEST_SCALE = 1e-8
"""Added to a loudness, so that silence can be divided by it."""
_SCALE_BYTES = 4
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
        if isinstance(config.encoder, FreqSeanetConfig) and isinstance(config.decoder, FreqSeanetConfig):
            self.encoder, self.decoder = FreqSeanetEncoder(config.encoder), FreqSeanetDecoder(config.decoder)
            self.spectrogram = PhaseSpectrogram(n_fft=config.n_fft, hop_length=config.stft_hop_length)
        elif not isinstance(config.encoder, FreqSeanetConfig) and not isinstance(config.decoder, FreqSeanetConfig):
            self.encoder, self.decoder = SeanetEncoder(config.encoder), SeanetDecoder(config.decoder)
        self.quantizer = ResidualQuantizer(
            num_codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            dimension=config.encoder.dimension,
        )

    def latents(self, samples: Tensor) -> Tensor:
        """Return [B, D, F] of ``samples`` [B, T]."""
        inputs = samples[:, None] if self.spectrogram is None else self.spectrogram(samples)
        latents: Tensor = self.encoder(inputs)
        return latents

    def samples(self, codes: Tensor) -> Tensor:
        """Return samples [B, T'] of int64 ``codes`` [B, K, F]."""
        outputs: Tensor = self.decoder(self.quantizer.decode(codes))
        return outputs[:, 0] if self.spectrogram is None else self.spectrogram.inverse(outputs)


class FunCodec(Codec):
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
                StreamInfo(_SCALE_BYTES, 256, None, "scale"),
            ),
            causal=False,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        scale = _loudness(samples)
        codes = self.model.quantizer.encode(self.model.latents(samples / scale), self._num_codebooks)
        return [codes[0], _to_bytes(scale)]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return self.model.samples(streams[0][None]) * _from_bytes(streams[1])

    def _latents(self, samples: Tensor) -> Tensor:
        return self.model.latents(samples / _loudness(samples))[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.model.quantizer.decode(streams[0][None], codebooks)[0].T


def _loudness(samples: Tensor) -> Tensor:
    """Return [1, 1], the root mean square of ``samples`` [1, T]."""
    return _SMALLEST_SCALE + samples.pow(2).mean(dim=1, keepdim=True).sqrt()


def _to_bytes(scale: Tensor) -> Tensor:
    """Return int64 [4, 1], the bytes of float32 ``scale`` [1, 1]."""
    bits = scale.reshape(1).view(torch.int32).to(torch.int64)
    return torch.stack([(bits >> shift) & 255 for shift in (24, 16, 8, 0)])


def _from_bytes(indices: Tensor) -> Tensor:
    """Return float32 [1, 1] of its bytes, int64 ``indices`` [4, 1]."""
    bits = sum(row << shift for row, shift in zip(indices, (24, 16, 8, 0), strict=True))
    return torch.as_tensor(bits).to(torch.int32).view(torch.float32)[None]


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
