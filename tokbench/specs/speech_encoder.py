"""The spec of a speech encoder: its network, what is masked, and what it learns to say of the masked frames."""

from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs.base import StrictModel
from tokbench.specs.scales import ScaledSpec
from tokbench.specs.unit_kmeans import MiniBatch

__all__ = [
    "CONTRADICTIONS",
    "Conformer",
    "Contrastive",
    "EncoderNetwork",
    "Iteration",
    "MaskedUnits",
    "Masking",
    "Objective",
    "SpeechEncoderSpec",
    "Transformer",
]


class EncoderNetwork(StrictModel):
    """What both networks declare."""

    width: int = Field(gt=0)
    """Features of a layer."""
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    feed_forward: int = Field(gt=0)
    """Features inside a block's feed-forward part."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of what a block adds, and of attention."""
    layer_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a block is left out of a step."""


class Transformer(EncoderNetwork):
    """Strided convolutions over the waveform, then Transformer blocks (wav2vec 2.0, HuBERT)."""

    kind: Literal["transformer"]
    channels: tuple[int, ...] = (512,) * 7
    """Of each convolution."""
    kernel_sizes: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    position_kernel_size: int = Field(default=128, gt=0)
    """Frames of the grouped convolution that tells positions."""
    position_groups: int = Field(default=16, gt=0)

    @property
    def num_local(self) -> int:
        """Features of a frame before the blocks."""
        return self.channels[-1]


class Conformer(EncoderNetwork):
    """Normalised log-mel frames, some at a time, then Conformer blocks (w2v-BERT)."""

    kind: Literal["conformer"]
    num_mels: int = Field(default=80, gt=0)
    """Bands of a frame of 25 ms, every 10 ms."""
    stride: int = Field(default=2, gt=0)
    """Frames that are taken together."""
    kernel_size: int = Field(default=31, gt=0)
    """Frames that the depthwise convolution of a block sees: its own and earlier ones."""
    has_distances: bool = True
    """Whether attention has a learnt vector for each distance between frames; without them, which is faster, only
    the convolutions know what comes after what."""

    @property
    def num_local(self) -> int:
        """Features of a frame before the blocks."""
        return self.num_mels * self.stride


class Masking(StrictModel):
    """Frames that the blocks do not get to see, drawn anew in every step."""

    probability: float = Field(default=0.08, gt=0, lt=1)
    """Share of frames at which a span starts; spans may overlap."""
    span: int = Field(default=10, gt=0)
    """Frames of a span."""


class Iteration(StrictModel):
    """Units that are predicted during a part of the run: k-means clusters of features that are there by then."""

    starts: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps after which frames are clustered, and these units are predicted."""
    layer: int = Field(default=0, ge=0)
    """Layer, of the network as it is then, that is clustered; 0 for MFCCs."""
    cepstra: Literal["published", "normalized"] = "published"
    """MFCCs as HuBERT clusters them; or those without C0, the loudness, each with zero mean and unit variance over
    the audible frames of a crop: then units tell neither how loud a frame is nor, as far, whose voice it is."""
    num_units: int = Field(gt=1)
    restart: bool = False
    """Whether the network then begins anew, with random weights."""


class MaskedUnits(StrictModel):
    """Predict the units of frames (HuBERT)."""

    kind: Literal["masked-units"]
    iterations: tuple[Iteration, ...] = Field(min_length=1)
    """In the order in which they follow; the first starts at 0."""
    clustering: MiniBatch
    """Of each iteration."""
    code_dimension: int = Field(default=256, gt=0)
    """Features in which frames are compared to units."""
    temperature: float = Field(default=0.1, gt=0)
    """By which the cosine between a frame and a unit is divided."""
    masked_share: float = Field(default=1.0, ge=0, le=1)
    """Weight of the frames that are masked; that of the others is what is left of 1."""
    feature_penalty: float = Field(default=0.0, ge=0)
    """Weight of the mean square of what enters the blocks, before projection: 10 in HuBERT."""
    feature_gradient: float = Field(default=1.0, gt=0, le=1)
    """By which the gradients of what comes before the blocks are multiplied: 0.1 in HuBERT."""


class Contrastive(StrictModel):
    """Tell the codes of masked frames apart in a middle layer, and predict them in the last (w2v-BERT)."""

    kind: Literal["contrastive"]
    layer: int = Field(gt=0)
    """Layer that is compared to codes; the blocks after it predict them."""
    num_distractors: int = Field(default=100, gt=0)
    """Codes of other masked frames of the same crop, drawn with replacement, beside the right one."""
    temperature: float = Field(default=0.1, gt=0)
    """By which cosines are divided."""
    num_groups: int = Field(default=1, gt=0)
    """Codebooks, each of which codes a frame."""
    codebook_size: int = Field(default=1024, gt=1)
    code_dimension: int = Field(default=1024, gt=0)
    """Features of the codes of all groups together."""
    comparison_dimension: int = Field(default=768, gt=0)
    """Features in which frames are compared to codes."""
    first_gumbel_temperature: float = Field(default=2.0, gt=0)
    """Of the choice of codes at the first step; it falls geometrically over the run."""
    last_gumbel_temperature: float = Field(default=0.5, gt=0)
    diversity: float = Field(default=0.1, ge=0)
    """Weight of the codes that are not used, 0 to 1."""
    prediction: float = Field(default=1.0, ge=0)
    """Weight of the masked prediction beside the contrast: gamma."""


Network = Annotated[Transformer | Conformer, Field(discriminator="kind")]
Objective = Annotated[MaskedUnits | Contrastive, Field(discriminator="kind")]


class SpeechEncoderSpec(ScaledSpec):
    """A network that learns from audio alone, by what it cannot see of it."""

    kind: Literal["speech-encoder"]
    """How it is built and trained."""
    network: Network
    masking: Masking = Masking()
    objective: Objective


def heads_divide(network: Network) -> str | None:
    """Report heads, or groups of positions, into which the features of a layer cannot be cut."""
    if network.width % network.num_heads:
        return f"network.num_heads: expected a divisor of width ({network.width}), found {network.num_heads}"
    if isinstance(network, Transformer) and network.width % network.position_groups:
        return f"network.position_groups: expected a divisor of width, found {network.position_groups}"
    return None


def convolutions_match(network: Network) -> str | None:
    """Report convolutions of which channels, kernel sizes and strides do not make a list of equal length."""
    if not isinstance(network, Transformer):
        return None
    lengths = [len(values) for values in (network.channels, network.kernel_sizes, network.strides)]
    if len(set(lengths)) > 1 or not lengths[0]:
        return f"network: channels, kernel_sizes and strides have {', '.join(map(str, lengths))} values"
    return None


def layers_exist(network: Network, objective: Objective) -> str | None:
    """Report layers of an objective that the network does not have."""
    layers = [i.layer for i in objective.iterations] if isinstance(objective, MaskedUnits) else [objective.layer]
    if max(layers) > network.num_layers:
        return f"objective: layer {max(layers)} of {network.num_layers} (network.num_layers)"
    return None


def groups_divide(objective: Objective) -> str | None:
    """Report groups into which the features of a code cannot be cut."""
    if isinstance(objective, Contrastive) and objective.code_dimension % objective.num_groups:
        return f"objective.num_groups: expected a divisor of code_dimension, found {objective.num_groups}"
    return None


def iterations_follow(objective: Objective) -> str | None:
    """Report iterations that do not rise from 0, or that cluster what has not learnt yet."""
    if not isinstance(objective, MaskedUnits):
        return None
    starts = [iteration.starts for iteration in objective.iterations]
    if starts[0] != 0 or starts != sorted(set(starts)):
        return f"objective.iterations: expected starts that rise from 0, found {starts}"
    if objective.iterations[0].layer:
        return "objective.iterations: the first clusters layer 0, for no other has learnt yet"
    return None


CONTRADICTIONS = (heads_divide, convolutions_match, layers_exist, groups_divide, iterations_follow)
"""Checks across keys."""
