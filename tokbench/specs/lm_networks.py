"""The networks of language models: one Transformer in all its roles."""

from typing import Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["Blocks", "LmNetwork", "LocalBlocks"]


class Blocks(StrictModel):
    """Layers of attention and of a network for each position, normalized before each."""

    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    dimension: int = Field(gt=0)
    """Features of a position: an even number for each head."""
    feedforward_dimension: int = Field(gt=0)
    activation: Literal["gelu", "relu", "gated"] = "gelu"
    """``gated``: the product of two projections, one of them through GELU (Shazeer 2020, arXiv:2002.05202)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of what each half of a layer adds."""
    convolution: int | None = Field(default=None, gt=0)
    """Kernel size of a depthwise convolution after attention, with half a feedforward network before it and half
    of one after (Conformer); it looks both ways."""


class LocalBlocks(Blocks):
    """A second network, which goes through the codes of a step one by one (UniAudio, Moshi)."""


class LmNetwork(Blocks):
    """What turns a sequence of symbols into one of features, and back."""

    positions: Literal["rotary", "sinusoidal", "learned", "relative"] = "rotary"
    """How a position is told: by rotation (RoFormer), by what is added, fixed or learnt, or by a bias of attention
    for each bucket of distances (T5)."""
    restarted: bool = False
    """Whether each part of a sequence counts its positions from the beginning (VALL-E)."""
    context: int = Field(gt=0)
    """Longest sequence, in steps."""
    tied: bool = False
    """Whether symbols are predicted by the vectors that they are read by."""
    vocabulary: Literal["separate", "joint"] = "separate"
    """Whether a code competes with those of its codebook, or with all symbols there are (AudioPaLM)."""
    local: LocalBlocks | None = None
    """Without it, the codes of a step are predicted at once, as if independent given the steps before."""
    towers: int = Field(default=1, ge=1, le=2)
    """Copies of the network, with the same weights, each for its share of the codebooks (dGSLM)."""
    cross_layers: int = Field(default=0, ge=0)
    """Last layers in which a tower also attends to the other."""
