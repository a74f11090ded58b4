"""Continuous features that can be clustered into units."""

from typing import ClassVar

from tokbench.codecs.base import ContinuousTokenizer
from tokbench.models.ssl import SpeechEncoder

__all__ = ["FrameFeatures"]


class FrameFeatures(ContinuousTokenizer):
    """A continuous tokenizer whose frames ``tokbench train`` can cluster."""

    units_adapter: ClassVar[str]
    """``module:Class`` of the tokenizer that is these features and centroids."""
    encoder: SpeechEncoder

    @property
    def _hop_length(self) -> int:
        return self.encoder.hop_length
