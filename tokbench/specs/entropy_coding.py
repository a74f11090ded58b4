"""The spec of the small Transformer by which a codec's codes are entropy coded (EnCodec, section 3.3)."""

from typing import Literal

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel
from tokbench.specs.quantizers import Continuous, Quantizer
from tokbench.specs.semantic import Semantic
from tokbench.specs.training import Training

__all__ = ["EntropyCoding", "one_stream_is_coded"]


class EntropyCoding(StrictModel):
    """A causal Transformer that predicts all codes of a frame at once from those of the frames before it."""

    num_layers: int = Field(default=5, gt=0)
    num_heads: int = Field(default=8, gt=0)
    dimension: int = Field(default=200, gt=1)
    """Features of a frame; even, and a multiple of the number of heads."""
    feedforward_dimension: int = Field(default=800, gt=0)
    context_s: float = Field(default=3.5, gt=0)
    """Past to which a frame attends, in seconds."""
    vocabulary: Literal["tables", "code-vectors"] = "tables"
    """Whether codes are embedded and scored by tables of their own (EnCodec), or by projections of the codec's own
    vectors for them, which need no weights per code and bring near codes together from the start."""
    training: Training
    """Its run, which follows that of the codec."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "EntropyCoding":
        if self.dimension % self.num_heads or self.dimension % 2:
            msg = f"dimension ({self.dimension}) is not even and a multiple of num_heads ({self.num_heads})"
            raise ValueError(msg)
        return self


def one_stream_is_coded(
    entropy_coding: EntropyCoding | None,
    quantizer: Quantizer,
    semantic: Semantic | None,
    loudness_normalized: bool,  # noqa: FBT001  (a key of the spec)
) -> str | None:
    """Report a model of codes for a codec without any, or with several streams of them."""
    if entropy_coding is None:
        return None
    if isinstance(quantizer, Continuous):
        return "entropy_coding: there are no codes where quantizer.kind is 'none'"
    if semantic is not None or loudness_normalized:
        return "entropy_coding: expected no semantic units or loudness beside the codes"
    return None
