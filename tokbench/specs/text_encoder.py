"""The spec of a text encoder: a masked language model of the texts of a corpus, for codecs to learn from."""

from typing import Literal

from pydantic import Field

from tokbench.specs.scales import ScaledSpec

__all__ = ["CONTRADICTIONS", "TextEncoderSpec"]


class TextEncoderSpec(ScaledSpec):
    """BERT (Devlin et al. 2019, arXiv:1810.04805) over the bytes of a text, so that no script is unknown to it.

    It learns from the texts of the crops that a step draws; their audio is not listened to.
    """

    kind: Literal["text-encoder"]
    """How it is built and trained."""
    width: int = Field(gt=0)
    """Features of a token."""
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    feed_forward: int = Field(gt=0)
    """Features inside a block's feed-forward part."""
    max_tokens: int = Field(default=512, gt=1)
    """Of a text; those beyond are cut off."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """Of the words, those whose bytes are to be guessed: 0.8 of these bytes are masked, 0.1 are drawn, and 0.1 stay
    as they are (section 3.1)."""


def heads_divide(width: int, num_heads: int) -> str | None:
    """Report heads among which features cannot be divided."""
    return f"num_heads: expected a divisor of width ({width}), found {num_heads}" if width % num_heads else None


CONTRADICTIONS = (heads_divide,)
"""Checks across keys."""
