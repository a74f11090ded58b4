"""BigCodec (Xin et al. 2024, arXiv:2409.05377), from the checkpoint of its authors.

As in the authors' inference, audio is extended by zeros up to the next whole frame, or by a frame if it is whole
already: the codes end with the frame that the first of these zeros belongs to.
"""

import re
from pathlib import Path

from torch import Tensor, nn

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.shapes import shape_of
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.bigcodec import BigCodecDecoder, BigCodecEncoder, FactorizedQuantizer

__all__ = ["BigCodec", "renamed"]

FILE_NAME = "bigcodec.pt"
SAMPLE_RATE_HZ = 16000


class BigCodec(Codec):
    """The published model. ``weights`` is a folder with ``bigcodec.pt``.

    Raises :class:`WeightsError` for a file that is no such model.
    """

    def __init__(self, *, weights: Path) -> None:
        path = weights / FILE_NAME
        parts = _parts(path)
        channels, *_ = shape_of(parts["encoder"], "input_conv.weight", num_axes=3, path=path)
        decoder_channels, dimension, _ = shape_of(parts["decoder"], "input_conv.weight", num_axes=3, path=path)
        codebook_size, codebook_dimension = shape_of(parts["quantizer"], "codebook.weight", num_axes=2, path=path)
        self.encoder = load_strictly(
            BigCodecEncoder(channels=channels, dimension=dimension), parts["encoder"], path
        )
        quantizer = FactorizedQuantizer(
            dimension=dimension, codebook_size=codebook_size, codebook_dimension=codebook_dimension
        )
        self.quantizer = load_strictly(quantizer, parts["quantizer"], path)
        decoder = BigCodecDecoder(channels=decoder_channels, dimension=dimension)
        self.decoder = load_strictly(decoder, parts["decoder"], path)
        networks = (self.encoder, self.quantizer, self.decoder)
        self.info = TokenizerInfo(
            sample_rate_hz=SAMPLE_RATE_HZ,
            streams=(StreamInfo(1, codebook_size, SAMPLE_RATE_HZ / self.encoder.hop_length),),
            causal=False,
            latency_s=self.encoder.look_ahead / SAMPLE_RATE_HZ,
            num_parameters=sum(p.numel() for network in networks for p in network.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.quantizer.encode(self._encoded(samples))]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        audio: Tensor = self.decoder(self.quantizer.decode(streams[0]))[0]
        return audio

    def _latents(self, samples: Tensor) -> Tensor:
        return self._encoded(samples)[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        latents = self.quantizer.decode(streams[0])[0].T
        return latents if range(1)[codebooks] else latents.new_zeros(latents.shape)

    def _encoded(self, samples: Tensor) -> Tensor:
        """Return the latents [1, D, F] of ``samples`` [1, T]."""
        hop = self.encoder.hop_length
        latents: Tensor = self.encoder(nn.functional.pad(samples, (0, hop - samples.shape[1] % hop))[None])
        return latents


def _parts(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of each network, as they are called here."""
    parts: dict[str, dict[str, Tensor]] = {"encoder": {}, "quantizer": {}, "decoder": {}}
    for key in ("CodecEnc", "generator"):
        tensors = fold_weight_norms(read_tensors(path, key))
        for name, tensor in tensors.items():
            if not name.endswith(_FILTERS):
                part, _, rest = renamed(f"{key}.{name}").partition(".")
                parts.setdefault(part, {})[rest] = tensor
    if unknown := sorted(parts.keys() - {"encoder", "quantizer", "decoder"}):
        raise WeightsError(path, expected="the tensors of BigCodec", found=f"an unknown {unknown[0]}")
    return parts


_FILTERS = (".upsample.filter", ".downsample.lowpass.filter")
"""The same low-pass filter in every activation, which the networks here make themselves."""
_LAYER = re.compile(r"(CodecEnc\.block|generator\.model)\.(\d+)\.(?:block\.)?(.+)")
_SINGLE = {
    "encoder": {0: "input_conv", 6: "recurrence", 7: "output_activation", 8: "output_conv"},
    "decoder": {0: "input_conv", 1: "recurrence", 7: "output_activation", 8: "output_conv"},
}
"""Layers that are no block, by their place; the blocks are numbered from 0 here."""
_ACTIVATION = re.compile(r"\bact\.(?=alpha$|beta$)")
_QUANTIZER = "generator.quantizer.layers.0."


def renamed(name: str) -> str:
    """Return what the networks here call the folded tensor ``name``, the key of its part in front.

    >>> renamed("CodecEnc.block.1.block.2.block.0.act.alpha")
    'encoder.blocks.0.2.block.0.alpha'
    >>> renamed("generator.model.1.lstm.bias_hh_l0")
    'decoder.recurrence.lstm.bias_hh_l0'
    """
    if name.startswith(_QUANTIZER):
        return f"quantizer.{name.removeprefix(_QUANTIZER).removeprefix('_')}"
    if not (match := _LAYER.fullmatch(name)):
        return name
    network, index = "encoder" if match[1].startswith("CodecEnc") else "decoder", int(match[2])
    first = 1 if network == "encoder" else 2
    layer = _SINGLE[network].get(index, f"blocks.{index - first}")
    return f"{network}.{layer}.{_ACTIVATION.sub('', match[3])}"
