"""Vocos (Siuzdak 2023, arXiv:2306.00814): the codes of EnCodec for 24 kHz, decoded by a network of its own.

It makes a spectrogram of the embeddings of the codes, and of that the waveform by an inverse STFT. The YAML file
names classes of the package; here they are compared with the known ones and nothing is looked up by a name.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from vocos.heads import ISTFTHead
from vocos.models import VocosBackbone

from tokbench.codecs.checkpoints import load_strictly, read_tensors
from tokbench.codecs.configs import ModelConfig, read_yaml
from tokbench.codecs.encodec import Encodec
from tokbench.codecs.overlapping import in_overlapping_pieces
from tokbench.codecs.pieces import convolutions, reach
from tokbench.errors import WeightsError

__all__ = ["Vocos"]

_CONFIG_FILE = "config.yaml"
_WEIGHTS_FILE = "pytorch_model.bin"
_CLASSES = {
    "feature_extractor.class_path": "vocos.feature_extractors.EncodecFeatures",
    "feature_extractor.init_args.encodec_model": "encodec_24khz",
    "backbone.class_path": "vocos.models.VocosBackbone",
    "head.class_path": "vocos.heads.ISTFTHead",
    "head.init_args.padding": "same",
}
"""What the configuration has to name."""
_BACKBONE = ("input_channels", "dim", "intermediate_dim", "num_layers", "adanorm_num_embeddings")
_HEAD = ("dim", "n_fft", "hop_length")
_CODEBOOKS = "feature_extractor.codebook_weights"


class Vocos(Encodec):
    """EnCodec with Vocos in the place of its decoder.

    ``weights`` is a folder with ``config.yaml`` and ``pytorch_model.bin``, ``encodec`` one as for :class:`Encodec`.
    Raises :class:`WeightsError` for files that are no such models, or that do not belong together.
    """

    def __init__(self, *, num_codebooks: int, weights: Path, encodec: Path) -> None:
        super().__init__(num_codebooks=num_codebooks, weights=encodec)
        config = read_yaml(weights / _CONFIG_FILE)
        self._condition = _condition(config, (self.info.bitrate_bps or 0) / 1000)
        network: Any = self.model
        table: Tensor = network.quantizer.layers[0].codebook.embed
        self.decoder = _load(config, weights / _WEIGHTS_FILE, num_codebooks, table)
        num_parameters = sum(parameter.numel() for parameter in self.decoder.parameters())
        self.info = replace(self.info, num_parameters=self.info.num_parameters + num_parameters)

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return in_overlapping_pieces(
            lambda codes: self.decoder(codes, self._condition, codebooks),
            streams[0],
            reach=(self.decoder.reach, self.decoder.reach),
            piece_frames=self._chunk_frames,
            steps_out=self._hop_length,
        )

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.decoder.embed(streams[0], codebooks)[0].T


class _Decoder(nn.Module):
    """Codes to audio. Axes: ``K`` codebooks, ``V`` codebook size, ``D`` features, ``F`` frames, ``T`` samples."""

    def __init__(self, codebooks: Tensor, backbone: VocosBackbone, head: ISTFTHead) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(codebooks, requires_grad=False)
        """float32 [K, V, D]."""
        self.backbone, self.head = backbone, head
        istft = head.istft
        # Windows of the inverse STFT reach over the neighbours of their frame, half of the rest on each side.
        overlap = math.ceil((istft.win_length - istft.hop_length) / 2 / istft.hop_length)
        self.reach = max(reach(convolutions(backbone))) + overlap
        """Frames on each side of a frame on which its samples depend."""

    def forward(self, codes: Tensor, condition: int, codebooks: slice = slice(None)) -> Tensor:
        """Return float32 [1, T] of the chosen of int64 ``codes`` [K, F] at the bandwidth of this index."""
        index = torch.tensor([condition], device=codes.device)
        audio: Tensor = self.head(self.backbone(self.embed(codes, codebooks), bandwidth_id=index))
        return audio

    def embed(self, codes: Tensor, codebooks: slice) -> Tensor:
        """Return float32 [1, D, F], the sum of the chosen codebooks of int64 ``codes`` [K, F]."""
        tables = self.codebooks[: len(codes)][codebooks]
        vectors = [table[row] for table, row in zip(tables, codes[codebooks], strict=True)]
        return torch.stack(vectors).sum(dim=0).T[None]


def _condition(config: ModelConfig, bandwidth_kbps: float) -> int:
    path = "feature_extractor.init_args.bandwidths"
    bandwidths = config.raw(path)
    if not isinstance(bandwidths, list) or bandwidth_kbps not in bandwidths:
        raise WeightsError(config.file, expected=f"{path} with {bandwidth_kbps:g}", found=repr(bandwidths))
    return bandwidths.index(bandwidth_kbps)


def _load(config: ModelConfig, file: Path, num_codebooks: int, like: Tensor) -> _Decoder:
    """Return the decoder of a file with ``num_codebooks`` codebooks or more ``like`` one of EnCodec, [V, D]."""
    for path, name in _CLASSES.items():
        config.expect(path, name)
    tensors = read_tensors(file)
    codebooks = _codebooks(tensors.pop(_CODEBOOKS, torch.empty(0)), file, num_codebooks, like)
    backbone = VocosBackbone(**{name: config.value(f"backbone.init_args.{name}", int) for name in _BACKBONE})
    head = ISTFTHead(**{name: config.value(f"head.init_args.{name}", int) for name in _HEAD})
    return load_strictly(_Decoder(codebooks, backbone, head), {"codebooks": codebooks, **tensors}, file)


def _codebooks(tables: Tensor, file: Path, num_codebooks: int, like: Tensor) -> Tensor:
    """Return float32 [K, V, D] of ``tables`` [K · V, D]: all bandwidths share the codebooks of the highest."""
    size, dimension = like.shape
    if tables.shape[1:] != (dimension,) or len(tables) < num_codebooks * size or len(tables) % size:
        expected = f"{_CODEBOOKS} with {num_codebooks} or more codebooks of {size} x {dimension} as in EnCodec"
        raise WeightsError(file, expected=expected, found=f"one of shape {list(tables.shape)}")
    return tables.reshape(-1, size, dimension)
