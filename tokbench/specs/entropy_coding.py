"""Specs of small Transformers that predict codes: to code them (EnCodec, section 3.3), or to tell their cost."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel
from tokbench.specs.quantizers import Continuous, Quantizer
from tokbench.specs.semantic import Semantic
from tokbench.specs.training import Training

__all__ = ["CodePrediction", "CodeTransformer", "EntropyCoding", "one_stream_is_coded"]


class CodeTransformer(StrictModel):
    """A causal Transformer that predicts all codes of a frame at once from those of the frames before it."""

    num_layers: int = Field(default=5, gt=0)
    num_heads: int = Field(default=8, gt=0)
    dimension: int = Field(default=200, gt=1)
    """Features of a frame; even, and a multiple of the number of heads."""
    feedforward_dimension: int = Field(default=800, gt=0)
    context_s: float = Field(default=3.5, gt=0)
    """Past to which a frame attends, in seconds."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dimension % self.num_heads or self.dimension % 2:
            msg = f"dimension ({self.dimension}) is not even and a multiple of num_heads ({self.num_heads})"
            raise ValueError(msg)
        return self


class EntropyCoding(CodeTransformer):
    """The model by which a codec's codes are coded."""

    vocabulary: Literal["tables", "code-vectors"] = "tables"
    """Whether codes are embedded and scored by tables of their own (EnCodec), or by projections of the codec's own
    vectors for them, which need no weights per code and bring near codes together from the start."""
    training: Training
    """Its run, which follows that of the codec."""


class CodePrediction(CodeTransformer):
    """The model by which the codes of a corpus are predicted, trained on some of its utterances."""

    num_layers: int = Field(default=2, gt=0)
    num_heads: int = Field(default=4, gt=0)
    dimension: int = Field(default=64, gt=1)
    """Features of a frame; even, and a multiple of the number of heads."""
    feedforward_dimension: int = Field(default=256, gt=0)
    context_s: float = Field(default=2.0, gt=0)
    """Past to which a frame attends, in seconds."""
    max_context_frames: int = Field(default=256, gt=0)
    """Frames of it at most, whatever the frame rate."""
    crop_frames: int = Field(default=128, gt=0)
    """Frames of a crop in training; shorter utterances are taken whole."""
    batch_size: int = Field(default=16, gt=0)
    """Crops of one step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest one: it rises over the first twentieth of the steps, and falls to 0 along a cosine."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """That of AdamW."""
    num_steps: int = Field(default=400, gt=0)
    """Steps at most."""
    validate_every_steps: int = Field(default=20, gt=0)
    """Steps between two looks at utterances that are not trained on, every eighth of those for training."""
    patience: int = Field(default=5, gt=0)
    """Looks without a lower cross-entropy after which training ends; the weights of the lowest are taken."""


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
