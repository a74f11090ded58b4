"""WavTokenizer (Ji et al. 2024, arXiv:2408.16532): one codebook, a SEANet in front and Vocos with attention behind.

The published code is https://github.com/jishengpeng/WavTokenizer, commit 5cf440d. Its attention and its group
normalization look at the whole utterance; all else sees long audio in pieces, between which the LSTM remembers.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import ModelConfig, read_yaml
from tokbench.codecs.seanet_pieces import encode_in_pieces
from tokbench.codes import StreamInfo
from tokbench.models.pieces import Reach, in_pieces
from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.seanet import SeanetEncoder, rename_published
from tokbench.models.vocos_backbone import InverseStftHead, VocosBackbone, VocosConfig
from tokbench.specs.networks import Seanet

__all__ = ["WavTokenizer", "WavTokenizerNetwork", "rename"]

_NUM_FILTERS = 32
"""Width of the encoder; the published code has no setting for it, and its files none."""
_MODEL = "model.init_args"
_EXTRACTOR = f"{_MODEL}.feature_extractor.init_args"
_BACKBONE = f"{_MODEL}.backbone.init_args"
_HEAD = f"{_MODEL}.head.init_args"
_CODEBOOK = re.compile(r"quantizer\.vq\.layers\.(\d+)\._codebook\.embed")


class WavTokenizerNetwork(nn.Module):
    """Encoder, quantizer, backbone and head. Axes: ``B`` batch, ``K`` codebooks, ``F`` frames, ``T`` samples."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        network = Seanet(num_filters=config.value(f"{_EXTRACTOR}.n_filters", int, _NUM_FILTERS))
        dimension, strides = config.value(f"{_BACKBONE}.input_channels", int), _strides(config)
        self.encoder = SeanetEncoder(network, dimension=dimension, strides=strides)
        self.quantizer = ResidualQuantizer(
            num_codebooks=config.value(f"{_EXTRACTOR}.num_quantizers", int),
            codebook_size=config.value(f"{_EXTRACTOR}.vq_bins", int),
            dimension=dimension,
        )
        backbone = VocosConfig(
            input_channels=dimension,
            dim=config.value(f"{_BACKBONE}.dim", int),
            intermediate_dim=config.value(f"{_BACKBONE}.intermediate_dim", int),
            num_layers=config.value(f"{_BACKBONE}.num_layers", int),
            adanorm_num_embeddings=config.value(f"{_BACKBONE}.adanorm_num_embeddings", int),
        )
        self.backbone = VocosBackbone(backbone)
        self.hop_length = math.prod(strides)
        self.head = InverseStftHead(
            config.value(f"{_HEAD}.dim", int),
            n_fft=config.value(f"{_HEAD}.n_fft", int),
            hop_length=config.value(f"{_HEAD}.hop_length", int),
        )

    def decode(self, codes: Tensor, *, piece_frames: int) -> Tensor:
        """Return float32 samples [B, F · hop] of int64 ``codes`` [B, K, F].

        What looks at all frames does so at once; what follows, which takes the memory, sees them in pieces.
        """
        attended = self.backbone.attend(self.quantizer.decode(codes))
        reach = self.backbone.reach + self.head.reach
        return in_pieces(
            lambda values: self.head(self.backbone.refine(values))[:, None],
            attended,
            reach=Reach(reach, reach),
            num_frames=piece_frames,
            out_step=self.hop_length,
        )[:, 0]


class WavTokenizer(Codec):
    """A WavTokenizer with one codebook.

    ``weights`` is a folder with the file ``checkpoint``; the file ``config`` is in ``configs``, or else beside it.
    Raises :class:`tokbench.errors.WeightsError` for files that are no such model.
    """

    def __init__(
        self, *, num_codebooks: int, weights: Path, checkpoint: str, config: str, configs: Path | None = None
    ) -> None:
        settings = read_yaml((configs or weights) / config)
        hop_length = _check(settings, num_codebooks)
        self.model = _load(settings, weights / checkpoint)
        sample_rate_hz = settings.value(f"{_MODEL}.sample_rate", int)
        codebook_size = settings.value(f"{_EXTRACTOR}.vq_bins", int)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(num_codebooks, codebook_size, sample_rate_hz / hop_length),),
            causal=False,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.model.quantizer.encode(self._encoder_output(samples))[0]]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        return self.model.decode(streams[0][None], piece_frames=self._chunk_frames)

    def _latents(self, samples: Tensor) -> Tensor:
        return self._encoder_output(samples)[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.model.quantizer.decode(streams[0][None], codebooks)[0].T

    def _encoder_output(self, samples: Tensor) -> Tensor:
        """Return latents [1, D, F] of ``samples`` [1, T]."""
        hop_length, frames = self.model.hop_length, self._chunk_frames
        return encode_in_pieces(self.model.encoder, samples[None], hop_length=hop_length, piece_frames=frames)


def _check(config: ModelConfig, num_codebooks: int) -> int:
    """Return the samples per frame of ``config``; raises :class:`WeightsError` for one that is not supported."""
    config.expect(f"{_EXTRACTOR}.encodec_model", "encodec_24khz")
    config.expect(f"{_EXTRACTOR}.num_quantizers", num_codebooks)
    config.expect(f"{_HEAD}.padding", "same", default="same")
    config.expect(f"{_HEAD}.dim", config.value(f"{_BACKBONE}.dim", int))
    hop_length = math.prod(_strides(config))
    config.expect(f"{_HEAD}.hop_length", hop_length)
    return hop_length


def _strides(config: ModelConfig) -> tuple[int, ...]:
    """Return the strides in the order of the encoder; the file has that of EnCodec's decoder."""
    return config.integers(f"{_EXTRACTOR}.dowmsamples")[::-1]


def _load(config: ModelConfig, checkpoint: Path) -> WavTokenizerNetwork:
    tensors = fold_weight_norms(read_tensors(checkpoint, "state_dict"))
    return load_strictly(WavTokenizerNetwork(config), rename(tensors), checkpoint)


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the codec needs of the published tensors, under the names of :class:`WavTokenizerNetwork`.

    Left behind are the discriminators, the window, the sums from which a codebook is averaged, and the decoder of
    EnCodec: the published code builds it beside the encoder, and never runs it.
    """
    renamed = {}
    prefix = "feature_extractor.encodec."
    for name, tensor in rename_published(tensors).items():
        own = name.removeprefix(prefix)
        if match := _CODEBOOK.fullmatch(own):
            renamed[f"quantizer.layers.{match[1]}.embed"] = tensor
        elif own.startswith("encoder.") or name.startswith(("backbone.", "head.out.")):
            renamed[own] = tensor
    return renamed
