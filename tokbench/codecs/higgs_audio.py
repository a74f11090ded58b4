"""The tokenizer of Higgs Audio v2 (Boson AI 2025): an X-Codec for 24 kHz at 25 frames per second.

Its HuBERT hears the audio at 16 kHz, and its codebooks are searched in a space of their own, of fewer dimensions.
"""

from typing import ClassVar

from transformers import HiggsAudioV2TokenizerModel, PreTrainedModel

from tokbench.codecs.xcodec import Xcodec

__all__ = ["HiggsAudio"]


class HiggsAudio(Xcodec):
    """A Higgs Audio v2 tokenizer of which the first ``num_codebooks`` codebooks are used."""

    network: ClassVar[type[PreTrainedModel]] = HiggsAudioV2TokenizerModel
