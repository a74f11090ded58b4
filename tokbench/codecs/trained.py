"""Neural codecs that ``tokbench train`` made: a folder with the spec, the weights and a card."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norm, fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.entropy import EntropyCoder
from tokbench.codecs.loudness import LOUDNESS_STREAM, bytes_of, loudness_of
from tokbench.codecs.network_pieces import PiecewiseDecoder, PiecewiseEncoder
from tokbench.codes import StreamInfo
from tokbench.models.code_lm import build_code_lm
from tokbench.models.loudness import loudness
from tokbench.models.neural_codec import NeuralCodec
from tokbench.specs.base import read_toml
from tokbench.specs.neural_codec import NeuralCodecSpec

__all__ = ["ENTROPY_FILE", "SPEC_FILE", "WEIGHTS_FILE", "TrainedCodec", "load_finished", "load_network"]

Network = TypeVar("Network", bound=nn.Module)

SPEC_FILE = "spec.toml"
WEIGHTS_FILE = "weights.safetensors"
ENTROPY_FILE = "entropy.safetensors"
"""Weights of the model by which codes are entropy coded, where one was trained."""


class TrainedCodec(ResidualCodec):
    """The first ``num_codebooks`` of the codec in the folder ``weights``; noise is left out if ``is_denoised``.

    Continuous latents are sent as half-precision numbers, of which each is a code of its own codebook
    (``docs/decisions/continuous-codes.md``). Long audio goes through the networks in pieces.

    Raises :class:`tokbench.errors.WeightsError` for tensors that are not those of the spec beside them.
    """

    def __init__(self, *, num_codebooks: int, weights: Path, is_denoised: bool = False) -> None:
        self.model = load_network(weights)
        self.model.is_denoising = is_denoised
        self._folder = weights
        spec = self.model.spec
        self._num_codebooks = num_codebooks
        hop_length, frames = spec.hop_length, self._piece_frames
        self.model.encoder = PiecewiseEncoder(self.model.encoder, hop_length=hop_length, piece_frames=frames)
        self.model.decoder = PiecewiseDecoder(self.model.decoder, hop_length=hop_length, piece_frames=frames)
        self.info = TokenizerInfo(
            sample_rate_hz=spec.sample_rate_hz,
            streams=(
                StreamInfo(num_codebooks, self.model.quantizer.codebook_sizes[0], spec.frame_rate_hz),
                *([LOUDNESS_STREAM] if spec.loudness_normalized else []),
            ),
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def _piece_frames(self) -> int:
        return self._chunk_frames

    @cached_property
    def entropy_coder(self) -> EntropyCoder | None:
        """What the model in ``entropy.safetensors`` codes by; None where none was trained."""
        spec, file = self.model.spec, self._folder / ENTROPY_FILE
        if spec.entropy_coding is None or not file.is_file():
            return None
        model = build_code_lm(spec.entropy_coding, self.model.quantizer, frame_rate_hz=spec.frame_rate_hz)
        return EntropyCoder(load_strictly(model, _single_precision(read_tensors(file)), file))

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.model.encode(samples[None], self._num_codebooks)[0], *self._loudness_sent(samples)]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        codes, *sent = streams
        return self._made_loud(self.model.decode(codes[None], codebooks)[0], sent)

    def _loudness_sent(self, samples: Tensor) -> list[Tensor]:
        """Return the stream with the loudness of ``samples`` [1, T], if there is one."""
        return [bytes_of(loudness(samples))] if self.model.spec.loudness_normalized else []

    @staticmethod
    def _made_loud(samples: Tensor, sent: list[Tensor]) -> Tensor:
        """Return ``samples`` [1, T] with the loudness that was ``sent``, if any was."""
        return samples * loudness_of(sent[0]) if sent else samples

    def _latents(self, samples: Tensor) -> Tensor:
        return self.model.latents(samples[None])[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.model.quantizer.decode(streams[0][None], codebooks)[0].T


def load_network(folder: Path) -> NeuralCodec:
    """Return the networks in a trained folder; raises :class:`tokbench.errors.WeightsError` for other tensors."""
    network = NeuralCodec(read_toml(folder / SPEC_FILE, NeuralCodecSpec), is_finished=True)
    return load_finished(network, folder, unneeded=network.training_only())


def load_finished(network: Network, folder: Path, *, unneeded: Iterable[str]) -> Network:
    """Return ``network`` with the weights in ``folder``, which lack what is ``unneeded`` once it is trained."""
    file = folder / WEIGHTS_FILE
    begun = fold_weight_norm(network).state_dict()
    kept = {name: begun[name] for name in unneeded}
    return load_strictly(network, kept | _single_precision(fold_weight_norms(read_tensors(file))), file)


def _single_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``tensors`` as they are computed with; they are saved in half precision."""
    return {
        name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }
