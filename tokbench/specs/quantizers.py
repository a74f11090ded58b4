"""Quantizers that a spec can ask for: what stands between the latents and the codes."""

from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["CONTRADICTIONS", "Continuous", "Fsq", "Quantizer", "Rvq"]


class Rvq(StrictModel):
    """Residual vector quantization: each codebook codes what the ones before it have left."""

    kind: Literal["rvq"] = "rvq"
    num_codebooks: int = Field(gt=0)
    """All of them, over all groups."""
    codebook_size: int = Field(gt=1)
    num_groups: int = Field(default=1, gt=0)
    """Parts into which the features are cut, each with residual codebooks of its own: if not 1, GRVQ (HiFi-Codec).
    Codes are ordered by layer, then by group."""
    num_split: int = Field(default=0, ge=0)
    """First codebooks that see the latents beside the others, and not before them: 1 for the split RVQ of Mimi."""
    projection: Literal["none", "shared", "per-codebook"] = "none"
    """Linear maps to ``code_dimension`` and back: around all codebooks, without a bias, for each side of a split
    (Mimi); or around each, with a bias and weight-normalized while it trains (DAC)."""
    code_dimension: int | None = Field(default=None, gt=0)
    """Features of a code, where they are projected."""
    normalized: bool = False
    """Whether vectors and codes are compared at unit length (DAC)."""
    learning: Literal["ema", "gradient"] = "ema"
    """Codes are moving averages of what they code, or are learnt by a loss of their own, ``codebook``."""
    straight_through: Literal["sum", "every-layer", "first-layer"] = "sum"
    """Where the gradient passes: once around the sum, so that every codebook's commitment reaches the encoder
    (audiocraft); around each codebook, with what is left cut off, which multiplies it by their number; around each
    without cutting, so that only the first commitment arrives (EnCodec, AudioDec, HiFi-Codec), or where each
    codebook has projections, all of them through these (DAC)."""
    ema_decay: float = Field(default=0.99, gt=0, lt=1)
    """Of the moving averages of codes and of how often they are used."""
    kmeans_init: bool = True
    """Whether the first batch's clusters are the first codes."""
    kmeans_iterations: int = Field(default=50, gt=0)
    random_init: Literal["normal", "uniform"] = "normal"
    """What codes begin as otherwise: of unit variance (AudioDec, DAC), or within 1 / ``codebook_size`` of 0
    (HiFi-Codec)."""
    dead_below: float = Field(default=0.1, ge=0, le=1)
    """Share of the codes' mean use under which one of them, by its moving average, is replaced by a random vector
    of the batch; 0 for never. Mimi's is 0.1; the 2 uses per batch of EnCodec are 0.43 of its mean."""
    dropout: float = Field(default=0.0, ge=0, le=1)
    """Share of the examples of which only the first few codebooks are used."""
    dropout_choices: tuple[int, ...] = ()
    """Numbers of codebooks to draw from; if empty, every number of layers beyond ``num_split``."""
    dropout_by: Literal["example", "batch"] = "example"
    """Whether each example has a number of its own, or all examples of a batch, over all processes, the same."""
    losses_over: Literal["mean", "sum"] = "mean"
    """How the codebooks' losses add up: the mean over those that are used, or the sum (DAC)."""


class Fsq(StrictModel):
    """Finite scalar quantization: each of a few features is rounded to one of its levels."""

    kind: Literal["fsq"]
    levels: tuple[Annotated[int, Field(gt=1)], ...] = Field(min_length=1)
    """Of each feature; their product is the codebook size."""
    num_codebooks: int = Field(default=1, gt=0)
    """Above 1, each rounds, more finely, what the ones before it have left."""


class Continuous(StrictModel):
    """No quantizer: the latents themselves are the tokens."""

    kind: Literal["none"]
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the noise that the decoder learns to bear, which keeps near latents alike: that of the
    Gaussian posterior of a variational autoencoder whose variance is the same everywhere."""


Quantizer = Annotated[Rvq | Fsq | Continuous, Field(discriminator="kind")]


def projection_has_a_dimension(quantizer: Quantizer) -> str | None:
    """Report a projection to nowhere, or a dimension without one."""
    if isinstance(quantizer, Rvq) and (quantizer.projection == "none") != (quantizer.code_dimension is None):
        return "quantizer: projection and code_dimension go together, found one without the other"
    return None


def projections_are_passed(quantizer: Quantizer) -> str | None:
    """Report projections that no gradient would reach."""
    if isinstance(quantizer, Rvq) and (quantizer.projection, quantizer.straight_through) == ("per-codebook", "sum"):
        return (
            "quantizer.straight_through: a gradient that passes around the sum does not reach projections "
            "per codebook; expected 'first-layer' (DAC) or 'every-layer', found 'sum'"
        )
    return None


def groups_divide(dimension: int, quantizer: Quantizer) -> str | None:
    """Report groups into which features or codebooks cannot be cut."""
    if not isinstance(quantizer, Rvq):
        return None
    groups, cut = quantizer.num_groups, dimension
    if quantizer.projection == "shared" and quantizer.code_dimension is not None:
        cut = quantizer.code_dimension
    if any(number % groups for number in (cut, quantizer.num_codebooks, quantizer.num_split)):
        return (
            f"quantizer.num_groups: expected a divisor of the {cut} features, of num_codebooks and of num_split, "
            f"found {groups}"
        )
    return None


def split_leaves_some(quantizer: Quantizer) -> str | None:
    """Report a split with nothing on its other side."""
    if isinstance(quantizer, Rvq) and quantizer.num_split >= quantizer.num_codebooks:
        return f"quantizer.num_split: expected fewer than num_codebooks, found {quantizer.num_split}"
    return None


def choices_exist(quantizer: Quantizer) -> str | None:
    """Report numbers of codebooks to draw that there are not."""
    if isinstance(quantizer, Rvq):
        most, found = quantizer.num_codebooks, quantizer.dropout_choices
        if any(not 1 <= choice <= most for choice in found):
            return f"quantizer.dropout_choices: expected numbers from 1 to {most}, found {list(found)}"
    return None


CONTRADICTIONS = (
    projection_has_a_dimension,
    projections_are_passed,
    groups_divide,
    split_leaves_some,
    choices_exist,
)
"""Checks across keys, in the sense of :mod:`tokbench.specs.neural_codec`."""
