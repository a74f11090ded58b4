"""HiFi-Codec of AcademiCodec (Yang et al. 2023, arXiv:2305.02765), from the checkpoints of its authors.

A checkpoint has the tensors of ``encoder``, ``generator`` and ``quantizer``; the strides stand in a configuration
beside the code, and here in the card. Audio is taken as it is, as in the authors' copy synthesis: their notebook
for language models brings its peak to 0.95 before, which no decoder could undo.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.shapes import shape_of
from tokbench.codes import StreamInfo
from tokbench.models.hificodec import GroupResidualQuantizer, HifiCodecEncoder
from tokbench.models.hifigan import HifiGanGenerator
from tokbench.models.pieces import in_pieces
from tokbench.specs.networks import HifiCodec, HifiGan

__all__ = ["AcademiCodec", "renamed"]

NUM_GROUPS = 2
NUM_LAYERS = 2
"""Of the quantizer; both are the same in all published models."""


class AcademiCodec(ResidualCodec):
    """One published model. ``strides`` and ``kernel_sizes`` are those of the decoder's upsampling.

    ``weights`` is a folder with the file ``checkpoint``. Raises :class:`WeightsError` for one that is no such
    model.
    """

    def __init__(
        self,
        *,
        checkpoint: str,
        sample_rate_hz: int,
        strides: Sequence[int],
        kernel_sizes: Sequence[int],
        weights: Path,
    ) -> None:
        path = weights / checkpoint
        parts = {part: _read(path, part) for part in _NAMES}
        channels, in_channels, _ = shape_of(parts["generator"], "input_conv.weight", num_axes=3, path=path)
        num_filters, *_ = shape_of(parts["encoder"], "input_conv.weight", num_axes=3, path=path)
        codebook_size, _ = shape_of(parts["quantizer"], "layers.0.weight", num_axes=2, path=path)
        encoder = HifiCodec(kind="hificodec", num_filters=num_filters, kernel_sizes=tuple(kernel_sizes)[::-1])
        generator = HifiGan(
            kind="hifigan", num_filters=channels // 2 ** len(strides), kernel_sizes=tuple(kernel_sizes)
        )
        up = tuple(strides)
        quantizer = GroupResidualQuantizer(
            dimension=in_channels,
            num_groups=NUM_GROUPS,
            num_layers=NUM_LAYERS,
            codebook_size=codebook_size,
        )
        self.encoder = load_strictly(
            HifiCodecEncoder(encoder, dimension=in_channels, strides=up[::-1]), parts["encoder"], path
        )
        self.generator = load_strictly(
            HifiGanGenerator(generator, dimension=in_channels, strides=up), parts["generator"], path
        )
        self.quantizer = load_strictly(quantizer, parts["quantizer"], path)
        self.hop_length = math.prod(strides)
        networks = (self.encoder, self.generator, self.quantizer)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(NUM_GROUPS * NUM_LAYERS, codebook_size, sample_rate_hz / self.hop_length),),
            causal=False,
            num_parameters=sum(p.numel() for network in networks for p in network.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.quantizer.encode(self._encoded(samples))[0]]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        latents = self.quantizer.decode(streams[0][None], codebooks)
        # The encoder looks at everything, so there is no context to declare; the decoder does not.
        num_frames = math.ceil(self.chunk_s * self.info.sample_rate_hz / self.hop_length)
        reach = self.generator.reach
        return in_pieces(self.generator, latents, reach=reach, num_frames=num_frames, out_step=self.hop_length)[0]

    def _latents(self, samples: Tensor) -> Tensor:
        return self._encoded(samples)[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.quantizer.decode(streams[0][None], codebooks)[0].T

    def _encoded(self, samples: Tensor) -> Tensor:
        """Return the latents [1, D, F] of ``samples`` [1, T]; what does not fill a frame at the end has none."""
        missing = max(self.hop_length - samples.shape[1], 0)
        latents: Tensor = self.encoder(nn.functional.pad(samples, (0, missing))[None])
        return latents


NUM_FIELDS = 3
"""Residual blocks per stage, which a checkpoint numbers through."""
_SINGLE = {"conv_pre": "input_conv", "conv_post": "output_conv"}
_NAMES: Mapping[str, Mapping[str, str]] = {
    "encoder": {
        **_SINGLE,
        "ups": "downsamples",
        "resblocks": "stages.{stage}.blocks.{field}",
        "normalize": "stages.{stage}.norms.{field}",
    },
    "generator": {**_SINGLE, "ups": "upsamples", "resblocks": "blocks.{stage}.blocks.{field}"},
    "quantizer": {},
}
"""What the beginnings of names become, by the part of a checkpoint; ``{stage}`` and ``{field}`` take a number."""
_NUMBERED = re.compile(r"(resblocks|normalize)\.(\d+)\.(.+)")
_CODEBOOK = re.compile(r"quantizer_modules(2?)\.(\d+)\.embedding\.weight")


def renamed(name: str, part: str) -> str:
    """Return what the networks here call the folded tensor ``name`` of a ``part`` of a checkpoint.

    >>> renamed("resblocks.7.convs1.0.weight", "encoder")
    'stages.2.blocks.1.convs1.0.weight'
    >>> renamed("quantizer_modules2.1.embedding.weight", "quantizer")
    'layers.3.weight'
    """
    if match := _CODEBOOK.fullmatch(name):
        layer = 1 if match[1] else 0
        return f"layers.{layer * NUM_GROUPS + int(match[2])}.weight"
    if match := _NUMBERED.fullmatch(name):
        stage, field = divmod(int(match[2]), NUM_FIELDS)
        return _NAMES[part].get(match[1], match[1]).format(stage=stage, field=field) + f".{match[3]}"
    kind, _, rest = name.partition(".")
    return f"{_NAMES[part].get(kind, kind)}.{rest}"


def _read(path: Path, part: str) -> dict[str, Tensor]:
    """Return the tensors of a ``part`` of a checkpoint, without weight normalization, as they are called here."""
    folded = fold_weight_norms(read_tensors(path, part))
    return {renamed(name, part): tensor for name, tensor in folded.items()}
