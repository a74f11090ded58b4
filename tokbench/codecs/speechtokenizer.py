"""SpeechTokenizer (Zhang et al. 2023, arXiv:2308.16692): a SEANet whose first codebook is taught by HuBERT.

The encoder's LSTM runs in both directions: every code depends on the whole utterance. Its convolutions, which take
the memory, see long audio in pieces all the same; the LSTM sees all that they make of it. The published code is
https://github.com/ZhangXInFD/SpeechTokenizer, commit 30c96fb.
"""

import re
from pathlib import Path

from torch import Tensor

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.checkpoints import fold_weight_norms, load_strictly, read_tensors
from tokbench.codecs.configs import ModelConfig, read_json
from tokbench.codecs.seanet_pieces import decode_in_pieces, encode_in_pieces
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.seanet import rename_published
from tokbench.models.seanet_codec import SeanetCodec
from tokbench.specs.networks import Seanet

__all__ = ["SpeechTokenizer", "read_model", "rename"]

_ACTIVATIONS = {"ELU": "elu", "Snake": "snake"}
_CODEBOOK = re.compile(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)")
_ONLY_TRAINED_WITH = ("inited", "cluster_size", "embed_avg")
"""What the moving averages of a codebook are made of."""


class SpeechTokenizer(ResidualCodec):
    """A SpeechTokenizer of which the first ``num_codebooks`` codebooks are used: ``RVQ-1`` or ``RVQ-1:n``.

    ``weights`` is a folder with the files ``config`` and ``checkpoint``, under these paths or directly. Raises
    :class:`WeightsError` for files that are no such model.
    """

    def __init__(self, *, num_codebooks: int, weights: Path, config: str, checkpoint: str) -> None:
        settings = read_json(_find(weights, config))
        self.model = read_model(settings, _find(weights, checkpoint))
        if num_codebooks > self.model.num_codebooks:
            expected, found = f"{num_codebooks} codebooks (n_q)", str(self.model.num_codebooks)
            raise WeightsError(settings.file, expected=expected, found=found)
        self._num_codebooks = num_codebooks
        sample_rate_hz = settings.value("sample_rate", int)
        frame_rate_hz = sample_rate_hz / self.model.hop_length
        codebook_size = settings.value("codebook_size", int)
        self.info = TokenizerInfo(
            sample_rate_hz=sample_rate_hz,
            streams=(StreamInfo(num_codebooks, codebook_size, frame_rate_hz),),
            causal=False,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        return [self.model.quantizer.encode(self._encoder_output(samples), self._num_codebooks)[0]]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        quantized, hop_length = self.model.quantizer.decode(streams[0][None], codebooks), self.model.hop_length
        decoder, frames = self.model.decoder, self._chunk_frames
        return decode_in_pieces(decoder, quantized, hop_length=hop_length, piece_frames=frames)[0]

    def _latents(self, samples: Tensor) -> Tensor:
        return self._encoder_output(samples)[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return self.model.quantizer.decode(streams[0][None], codebooks)[0].T

    def _encoder_output(self, samples: Tensor) -> Tensor:
        """Return latents [1, D, F] of ``samples`` [1, T]."""
        hop_length, frames = self.model.hop_length, self._chunk_frames
        return encode_in_pieces(self.model.encoder, samples[None], hop_length=hop_length, piece_frames=frames)


def read_model(config: ModelConfig, checkpoint: Path) -> SeanetCodec:
    """Return the network that ``config`` describes with the weights of ``checkpoint``."""
    activation = config.value("activation", str, "ELU")
    if activation not in _ACTIVATIONS:
        raise WeightsError(config.file, expected=f"activation {' or '.join(_ACTIVATIONS)}", found=activation)
    base = config.value("dilation_base", int)
    network = Seanet(
        num_filters=config.value("n_filters", int),
        dilations=tuple(base**power for power in range(config.value("n_residual_layers", int))),
        residual_kernel_size=config.value("residual_kernel_size", int),
        activation="snake" if activation == "Snake" else "elu",
        num_lstm_layers=config.value("lstm_layers", int),
        bidirectional=config.value("bidirectional", bool),
    )
    model = SeanetCodec(
        network,
        dimension=config.value("dimension", int),
        strides=config.integers("strides")[::-1],
        num_codebooks=config.value("n_q", int),
        codebook_size=config.value("codebook_size", int),
    )
    return load_strictly(model, rename(fold_weight_norms(read_tensors(checkpoint))), checkpoint)


def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the codec needs of the published tensors, under the names of :class:`SeanetCodec`.

    ``transform`` is the layer that distillation compares with HuBERT; it has no part in coding.
    """
    renamed = {}
    for name, tensor in rename_published(tensors).items():
        if match := _CODEBOOK.fullmatch(name):
            index, what = match.groups()
            if what not in _ONLY_TRAINED_WITH:
                renamed[f"quantizer.layers.{index}.{what}"] = tensor
        elif not name.startswith("transform."):
            renamed[name] = tensor
    return renamed


def _find(folder: Path, name: str) -> Path:
    """Return ``name`` in ``folder``, without its own folder where only the file was copied."""
    return folder / name if (folder / name).is_file() else folder / Path(name).name
