"""The spec of units that do not tell who speaks: of which encoder, from which disguises, in how many codes."""

from typing import Literal

from pydantic import Field

from tokbench.specs.base import StrictModel
from tokbench.specs.scales import ScaledSpec

__all__ = ["Equalizer", "Perturbation", "Sinkhorn", "SpinSpec"]


class Equalizer(StrictModel):
    """A parametric equalizer with drawn gains: a low shelf, peaks, and a high shelf."""

    num_bands: int = Field(default=10, ge=2)
    min_hz: float = Field(default=60.0, gt=0)
    max_hz: float = Field(default=7600.0, gt=0)
    """Middles of the first and the last band; the others lie in between at equal ratios."""
    gain_db: float = Field(default=12.0, ge=0)
    """Largest gain, and largest loss, of a band."""
    min_quality: float = Field(default=2.0, gt=0)
    max_quality: float = Field(default=5.0, gt=0)
    """Quotient of a band's middle and its width, drawn at equal ratios."""


class Perturbation(StrictModel):
    """What makes another speaker of a voice: each ratio is drawn from 1 to a largest one, or its inverse is."""

    formant_ratio: float = Field(default=1.4, ge=1)
    pitch_ratio: float = Field(default=2.0, ge=1)
    """Of the median."""
    pitch_range_ratio: float = Field(default=1.5, ge=1)
    pitch_floor_hz: float = Field(default=75.0, gt=0)
    pitch_ceiling_hz: float = Field(default=600.0, gt=0)
    """Between which pitch is looked for. Spin knows of each speaker where to look."""
    equalizer: Equalizer = Equalizer()


class Sinkhorn(StrictModel):
    """Targets in which every code is used as often as any other."""

    epsilon: float = Field(default=0.02, gt=0)
    """By which cosines are divided: the smaller, the harder the choice."""
    num_iterations: int = Field(default=3, gt=0)


class SpinSpec(ScaledSpec):
    """Codes that two disguises of an utterance share, learnt by the last blocks of a trained speech encoder."""

    kind: Literal["spin"]
    """How it is built and trained."""
    backbones: tuple[str, ...] = Field(min_length=1)
    """Continuous tokenizers with their settings, such as ``hubert-base-features:l12``; the first that is there is
    taken, as far as the layer of its setting."""
    num_trained_blocks: int = Field(default=2, ge=0)
    """Last blocks that learn; all that comes before them stays as it is."""
    dimension: int = Field(default=256, gt=0)
    """Features in which frames are compared to codes, at unit length."""
    codebook_size: int = Field(gt=1)
    """Of the units."""
    auxiliary_size: int | None = Field(default=None, gt=1)
    """Of a second codebook, with a projection of its own, which only helps to learn (DC-Spin)."""
    temperature: float = Field(default=0.1, gt=0)
    """By which the cosines of a prediction are divided."""
    sinkhorn: Sinkhorn = Sinkhorn()
    perturbation: Perturbation = Perturbation()
