"""AudioDec (Wu et al. 2023, arXiv:2305.16608), from the checkpoints of its authors.

A checkpoint lies beside its ``config.yml``, in the folders of the authors' archive ``exp``. Audio is encoded by one
of them and decoded by another: by the autoencoder after its adversarial training, or by a vocoder. Both run on the
whole utterance, as in the authors' test, with zeros before the first sample; their demonstration for streams comes
with the memory of what it heard before.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from tokbench.codecs.base import Context, ResidualCodec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import ModelConfig, read_yaml
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.audiodec import AudioDecDecoder, AudioDecEncoder
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.models.residual_vq import ResidualQuantizer
from tokbench.models.standardized import Standardized
from tokbench.specs import networks

__all__ = ["AudioDec", "Autoencoder", "Sizes", "Vocoder", "renamed"]

AUTOENCODERS = ("symAudioDec", "symAudioDecUniv")
VOCODERS = ("HiFiGAN", "UnivNet")
"""What ``model_type`` calls them; their networks are the same, their discriminators are not."""
LAST_SLOPE = 0.01
"""Of the vocoder's last rectifier: the default of PyTorch, in the published code."""


class AudioDec(ResidualCodec):
    """An autoencoder, and the network that decodes in the place of its own decoder or is a later state of it.

    ``encoder`` and ``decoder`` are checkpoints in the folder ``weights``. Raises :class:`WeightsError` for files
    that are none, or do not go together.
    """

    def __init__(self, *, encoder: str, decoder: str, weights: Path) -> None:
        config = read_yaml((weights / encoder).parent / "config.yml")
        sizes = _sizes(config)
        autoencoder = _autoencoder(weights / encoder, sizes)
        self.encoder, self.quantizer = autoencoder.encoder, autoencoder.quantizer
        self.decoder = _decoder(weights / decoder, sizes, config.value("sampling_rate", int))
        sample_rate_hz, hop_length = config.value("sampling_rate", int), math.prod(sizes.encoder_strides)
        self.context = Context(
            encode_before=math.ceil(self.encoder.reach / hop_length),
            encode_after=0,
            decode_before=self.decoder.reach.before,
            decode_after=self.decoder.reach.after,
        )
        networks: tuple[nn.Module, ...] = (self.encoder, self.decoder)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(sizes.num_codebooks, sizes.codebook_size, sample_rate_hz / hop_length),),
            causal=True,
            num_parameters=sum(p.numel() for network in networks for p in network.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.quantizer.encode(self.encoder(samples[None]))[0]]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        audio: Tensor = self.decoder(self.quantizer.decode(streams[0][None], codebooks))[0]
        return audio

    def _latents(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.encoder(samples[None])[0].T
        return latents

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.quantizer.decode(streams[0][None], codebooks)[0].T


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of an autoencoder."""

    encoder: networks.AudioDec
    encoder_strides: tuple[int, ...]
    decoder: networks.AudioDec
    decoder_strides: tuple[int, ...]
    dimension: int = 64
    """Features of a frame."""
    num_codebooks: int = 8
    codebook_size: int = 1024


class Autoencoder(nn.Module):
    """What is trained together, and saved in one file: encoder, quantizer and decoder."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        dimension = sizes.dimension
        self.encoder = AudioDecEncoder(sizes.encoder, dimension=dimension, strides=sizes.encoder_strides)
        self.quantizer = ResidualQuantizer(
            num_codebooks=sizes.num_codebooks, codebook_size=sizes.codebook_size, dimension=dimension
        )
        self.decoder = AudioDecDecoder(sizes.decoder, dimension=dimension, strides=sizes.decoder_strides)


class Vocoder(Standardized):
    """What decodes in the place of an autoencoder's decoder."""

    def __init__(self, network: networks.HifiGan, *, dimension: int, strides: tuple[int, ...]) -> None:
        generator = HifiGanGenerator(network, dimension=dimension, strides=strides)
        super().__init__(generator, dimension=dimension)
        self.reach = generator.reach


def _sizes(config: ModelConfig) -> Sizes:
    config.expect("generator_params.mode", "causal", default="causal")
    config.expect("generator_params.projector", "conv1d", default="conv1d")
    kind = config.value("generator_params.codec", str, "audiodec")
    if kind not in ("audiodec", "activate_audiodec"):
        raise WeightsError(config.file, expected="generator_params.codec of an AudioDec", found=repr(kind))

    def network(filters: str, ratios: str, step: int) -> networks.AudioDec:
        return networks.AudioDec(
            kind="audiodec",
            num_filters=config.value(f"generator_params.{filters}", int),
            ratios=config.integers(f"generator_params.{ratios}")[::step],
            activated=kind == "activate_audiodec",
        )

    return Sizes(
        encoder=network("encode_channels", "enc_ratios", 1),
        encoder_strides=config.integers("generator_params.enc_strides"),
        decoder=network("decode_channels", "dec_ratios", -1),
        decoder_strides=config.integers("generator_params.dec_strides"),
        dimension=config.value("generator_params.code_dim", int),
        num_codebooks=config.value("generator_params.codebook_num", int),
        codebook_size=config.value("generator_params.codebook_size", int),
    )


def _autoencoder(path: Path, sizes: Sizes) -> Autoencoder:
    return load_strictly(Autoencoder(sizes), _tensors(path), path)


def _vocoder(config: ModelConfig, path: Path, *, dimension: int, hop_length: int) -> Vocoder:
    config.expect("generator_params.kernel_size", 7, default=7)
    config.expect("generator_params.use_additional_convs", wanted=True, default=True)
    config.expect("generator_params.in_channels", dimension)
    dilations = config.raw("generator_params.resblock_dilations")
    if not isinstance(dilations, list) or not all(isinstance(row, list) for row in dilations):
        raise WeightsError(config.file, expected="generator_params.resblock_dilations", found=repr(dilations))
    strides = config.integers("generator_params.upsample_scales")
    if math.prod(strides) != hop_length:
        expected = f"generator_params.upsample_scales that make {hop_length} samples of a frame"
        raise WeightsError(config.file, expected=expected, found=repr(strides))
    network = networks.HifiGan(
        kind="hifigan",
        num_filters=config.value("generator_params.channels", int) // 2 ** len(strides),
        kernel_sizes=config.integers("generator_params.upsample_kernel_sizes"),
        block_kernel_sizes=config.integers("generator_params.resblock_kernel_sizes"),
        block_dilations=tuple(tuple(row) for row in dilations),
        num_groups=config.value("generator_params.groups", int, 1),
        causal=True,
        last_slope=LAST_SLOPE,
    )
    tensors = {
        name if name in {"mean", "scale"} else f"network.{name}": tensor for name, tensor in _tensors(path).items()
    }
    return load_strictly(Vocoder(network, dimension=dimension, strides=strides), tensors, path)


def _decoder(path: Path, sizes: Sizes, sample_rate_hz: int) -> AudioDecDecoder | Vocoder:
    """Return what decodes the latents of an autoencoder with ``sizes`` at ``sample_rate_hz``."""
    config = read_yaml(path.parent / "config.yml")
    config.expect("sampling_rate", sample_rate_hz)
    kind = config.value("model_type", str)
    if kind in VOCODERS:
        return _vocoder(config, path, dimension=sizes.dimension, hop_length=math.prod(sizes.encoder_strides))
    if kind not in AUTOENCODERS:
        expected = f"a model_type among {', '.join((*AUTOENCODERS, *VOCODERS))}"
        raise WeightsError(config.file, expected=expected, found=repr(kind))
    return _autoencoder(path, _sizes(config)).decoder


_WRAPPED = re.compile(r"\.(conv|deconv)\.(weight|bias)$")
_ACTIVATED_BLOCK = re.compile(r"^(decoder\.conv_blocks\.\d+)\.1\.")
_BUFFERS = (".pad_buffer", ".cluster_size", ".embed_avg")
"""The memory of streams, and what only the training of codebooks needs."""


def _tensors(path: Path) -> dict[str, Tensor]:
    return renamed(fold_weight_norms(read_tensors(path, "model", "generator")))


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the folded ``tensors`` of a checkpoint as they are called here, and codebooks as [V, D]."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(_BUFFERS):
            continue
        short = _ACTIVATED_BLOCK.sub(r"\1.", _WRAPPED.sub(r".\2", name))
        short = short.replace("projector.", "encoder.", 1).replace("quantizer.codebook.", "quantizer.", 1)
        result[short] = tensor.T if short.endswith(".embed") else tensor
    return result
