"""X-Codec (Ye et al. 2024, arXiv:2408.17175): the sound by a DAC and the meaning by HuBERT, in one residual VQ.

HuBERT attends to the whole utterance, so a code depends on all of it. Encoder and decoder of the DAC alone go
through long audio in pieces.
"""

from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel, XcodecModel

from tokbench.codecs.base import ResidualCodec, TokenizerInfo
from tokbench.codecs.overlapping import in_overlapping_pieces
from tokbench.codecs.pieces import convolutions, reach
from tokbench.codecs.transformers_models import CONFIG_FILE, load_pretrained
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError

__all__ = ["Xcodec"]


class Xcodec(ResidualCodec):
    """An X-Codec of which the first ``num_codebooks`` codebooks are used.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    network: ClassVar[type[PreTrainedModel]] = XcodecModel
    """Class of transformers that implements it."""

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        self.model: Any = load_pretrained(self.network, weights)
        config = self.model.config
        if num_codebooks > config.num_quantizers:
            expected = f"{num_codebooks} codebooks (from target_bandwidths)"
            raise WeightsError(weights / CONFIG_FILE, expected=expected, found=f"{config.num_quantizers}")
        self._num_codebooks = num_codebooks
        frame_rate_hz = config.sample_rate / config.hop_length
        self.info = TokenizerInfo(
            sample_rate_hz=config.sample_rate,
            streams=(StreamInfo(num_codebooks, config.codebook_size, frame_rate_hz),),
            causal=False,
        )
        self._heard_around = _reach(self.model.acoustic_encoder, steps_in=config.hop_length)
        self._decoded_around = _reach(self.model.acoustic_decoder)

    def _encode(self, samples: Tensor) -> list[Tensor]:
        codes: Tensor = self.model.quantizer.encode(self._embedded(samples))
        # What a codebook says does not depend on the ones after it.
        return [codes[: self._num_codebooks, 0]]

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return in_overlapping_pieces(
            lambda codes: self._audio(codes, codebooks),
            streams[0],
            reach=self._decoded_around,
            piece_frames=self._chunk_frames,
            steps_out=self._hop_length,
        )

    def _latents(self, samples: Tensor) -> Tensor:
        return self._embedded(samples)[0].T

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        layers = self.model.quantizer.quantizers[: self._num_codebooks]
        chosen = zip(layers[codebooks], streams[0][codebooks], strict=True)
        # Summed in turn, from the first, as the model does: another order would round otherwise.
        total: Tensor = reduce(torch.add, [layer.decode(indices[None])[0].T for layer, indices in chosen])
        return total

    def _audio(self, codes: Tensor, codebooks: slice) -> Tensor:
        """Return float32 [1, T] of the chosen codebooks of int64 ``codes`` [K, F]."""
        sound = self.model.fc2(self._quantized([codes], codebooks))
        audio: Tensor = self.model.acoustic_decoder(sound.T[None])[0]
        return audio

    def _embedded(self, samples: Tensor) -> Tensor:
        """Return float32 [1, D, F], sound and meaning side by side, of float32 ``samples`` [1, T]."""
        # The published feature extractor fills the last frame with zeros.
        batch = pad(samples, (0, -samples.shape[1] % self.model.config.hop_length))[None]
        features = self.model._extract_semantic_features(batch)  # noqa: SLF001  (there is no public way to it)
        meaning = self.model.encoder_semantic(features.transpose(1, 2))
        sound = in_overlapping_pieces(
            self.model.acoustic_encoder,
            batch,
            reach=self._heard_around,
            piece_frames=self._chunk_frames,
            steps_in=self._hop_length,
        )
        if sound.shape[2] != meaning.shape[2]:
            sound = self.model.acoustic_encoder(pad(batch, (self.model.pad, self.model.pad)))
        embedded: Tensor = self.model.fc(torch.cat([sound, meaning], dim=1).transpose(1, 2)).transpose(1, 2)
        return embedded


def _reach(network: Any, steps_in: int = 1) -> tuple[int, int]:
    """Return the frames of ``steps_in`` steps of input before and after its own that ``network`` looks at."""
    before, after = reach(convolutions(network))
    return -(-before // steps_in), -(-after // steps_in)
