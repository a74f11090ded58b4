"""X-Codec 2 (Ye et al. 2025, arXiv:2502.04128): one FSQ codebook of 65,536 over w2v-BERT and a waveform encoder.

w2v-BERT and the decoder attend to the whole utterance, and its spectrogram is normalized over the whole utterance:
a code depends on all of it and long audio cannot be cut into pieces.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, Xcodec2FeatureExtractor, Xcodec2Model

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.transformers_models import load_pretrained
from tokbench.codes import StreamInfo

__all__ = ["Xcodec2"]


class Xcodec2(Codec):
    """An X-Codec 2.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    network: ClassVar[type[PreTrainedModel]] = Xcodec2Model
    """Class of transformers that implements it."""
    extractor: ClassVar[Any] = Xcodec2FeatureExtractor
    """Class of transformers that makes its inputs; the published settings are the class's defaults."""

    def __init__(self, *, weights: Path) -> None:
        self.model: Any = load_pretrained(self.network, weights)
        self._heard_at_hz, spoken_at_hz = self._rates_hz()
        self._heard_hop = math.prod(self.model.config.downsampling_ratios)
        self._extract = self.extractor(sampling_rate=self._heard_at_hz, hop_length=self._heard_hop)
        size = math.prod(self.model.config.quantization_levels)
        self.info = TokenizerInfo(
            sample_rate_hz=spoken_at_hz,
            streams=(StreamInfo(1, size, self._heard_at_hz / self._heard_hop),),
            causal=False,
        )

    def _rates_hz(self) -> tuple[int, int]:
        """Return the sample rate of what the encoder hears and of what the decoder says."""
        return self.model.config.sampling_rate, self.model.config.sampling_rate

    def _heard(self, samples: Tensor) -> Tensor:
        """Return float32 [T'], what the encoder hears of float32 ``samples`` [1, T]."""
        return samples[0]

    def _encode(self, samples: Tensor) -> list[Tensor]:
        _, codes = self.model.quantizer(self._embedded(samples))
        return [codes[..., 0].long()]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        audio: Tensor = self.model.decode(audio_codes=streams[0][None]).audio_values[0]
        return audio

    def _latents(self, samples: Tensor) -> Tensor:
        return self._embedded(samples)[0]

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        quantized: Tensor = self.model.quantizer.from_codes(streams[0][codebooks].T[None])[0]
        return quantized

    def _embedded(self, samples: Tensor) -> Tensor:
        """Return float32 [1, F, D], meaning and sound side by side, of float32 ``samples`` [1, T]."""
        heard = self._heard(samples)
        inputs = self._extract(
            heard.cpu(), sampling_rate=self._heard_at_hz, device=str(self.device), return_tensors="pt"
        ).to(self.device)
        features = self.model.semantic_encoder(
            inputs["input_features"], attention_mask=inputs["input_features_mask"]
        ).last_hidden_state
        meaning = self.model.semantic_adapter(features.transpose(1, 2))
        sound = self.model.acoustic_encoder(inputs["input_values"])
        num_frames = min(meaning.shape[2], sound.shape[2])
        both = torch.cat([meaning[..., :num_frames], sound[..., :num_frames]], dim=1)
        embedded: Tensor = self.model.fc_encoder(both.transpose(1, 2))
        return embedded
