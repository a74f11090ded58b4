"""The acoustic tokenizer of VibeVoice (Peng et al. 2025, arXiv:2508.19205): 64 numbers at 7.5 Hz.

The encoder of a variational autoencoder. Its latents are taken as they are, without the noise that training adds.
There are no codes, and so nothing to decode here: the latents are what it is measured by.
"""

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import VibeVoiceAcousticTokenizerFeatureExtractor, VibeVoiceAcousticTokenizerModel

from tokbench.codecs.base import Context, ContinuousTokenizer, TokenizerInfo
from tokbench.codecs.pieces import causal_convolutions, reach
from tokbench.codecs.transformers_models import load_pretrained

__all__ = ["VibeVoice"]


class VibeVoice(ContinuousTokenizer):
    """The encoder of a VibeVoice acoustic tokenizer.

    ``weights`` is a folder with ``config.json`` and ``model.safetensors``. Raises :class:`WeightsError` for files
    that are no such model.
    """

    def __init__(self, *, weights: Path) -> None:
        self.model: Any = load_pretrained(VibeVoiceAcousticTokenizerModel, weights)
        # The published settings are the class's defaults: 24 kHz, brought to -25 dB relative to full scale.
        extractor: Any = VibeVoiceAcousticTokenizerFeatureExtractor
        self._extract = extractor(pad_to_multiple_of=self._hop_length)
        self.info = TokenizerInfo(sample_rate_hz=self._extract.sampling_rate, streams=(), causal=False)
        samples, _ = reach(causal_convolutions(self.model.encoder))
        self.context = Context(encode_before=-(-samples // self._hop_length), encode_after=0)

    def _latents_long(self, samples: Tensor) -> Tensor:
        # Loudness is that of the whole, so it is set before long audio is cut.
        inputs = self._extract(samples[0].cpu().numpy(), sampling_rate=self.info.sample_rate_hz)
        return super()._latents_long(inputs["input_values"][0].to(self.device))

    def _latents(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.model.encode(samples[None], sample=False).latents[0]
        return latents

    @property
    def _hop_length(self) -> int:
        hop_length: int = self.model.config.hop_length
        return hop_length
