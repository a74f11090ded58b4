"""The spec of a unit vocoder: speech from units, a coded melody and a coded voice (Polyak et al. 2021)."""

import math
from functools import cached_property
from typing import Literal

from pydantic import Field

from tokbench.specs.base import StrictModel
from tokbench.specs.discriminators import Discriminator
from tokbench.specs.losses import Losses
from tokbench.specs.networks import HifiGan
from tokbench.specs.quantizers import Rvq
from tokbench.specs.scales import ScaledSpec
from tokbench.specs.training import Optimizer

__all__ = ["CONTRADICTIONS", "Melody", "UnitVocoderSpec", "Voice"]


class Melody(StrictModel):
    """A VQ-VAE of the F0 contour. It learns beside the vocoder, until ``training.encoder_until``."""

    frame_period_ms: float = Field(default=5.0, gt=0)
    """Of the contour."""
    num_filters: int = Field(default=32, gt=0)
    num_halvings: int = Field(default=4, gt=0)
    """Convolutions with a stride of 2."""
    dilations: tuple[int, ...] = Field(default=(1, 3, 9, 27), min_length=1)
    """Of the residual units after each."""
    dimension: int = Field(default=128, gt=0)
    """Features of a code."""
    quantizer: Rvq
    commitment: float = Field(default=0.02, ge=0)
    """Weight of the distance of what is quantized to its codes, beside the mean square error of the contour."""
    optimizer: Optimizer | None = None
    """By default that of the vocoder."""


class Voice(StrictModel):
    """Who speaks: statistics over all of the audio, learnt with the vocoder, rounded, and sent once."""

    num_mels: int = Field(default=80, gt=0)
    num_filters: int = Field(default=128, gt=0)
    num_codebooks: int = Field(default=8, gt=0)
    levels: tuple[int, ...] = Field(default=(16, 16), min_length=1)
    """Of the features that make one code: as many features are rounded as all codebooks have."""


class UnitVocoderSpec(ScaledSpec):
    """A codec of three streams: units, melody, voice."""

    kind: Literal["unit-vocoder"]
    """How it is built and trained."""
    units: tuple[str, ...] = Field(min_length=1)
    """Tokenizers of one codebook at a constant rate, in the order of preference: the first that can be loaded makes
    the units, in training and whenever the codec is used. A codec that was trained names the one."""
    num_units: int | None = Field(default=None, gt=1)
    """How many units there are; filled in by training."""
    units_sha256: str | None = None
    """Hash over the files of the tokenizer of the units; filled in by training."""
    strides: tuple[int, ...] = Field(min_length=1)
    """Of the generator; their product is the number of samples of a unit."""
    dimension: int = Field(default=128, gt=0)
    """Features of a unit, of a code of the melody and of the voice, which stand side by side."""
    melody: Melody
    voice: Voice = Voice()
    generator: HifiGan
    discriminators: tuple[Discriminator, ...] = ()
    """Trained against the vocoder; none, and it is trained by the reconstruction losses alone."""
    losses: Losses

    @cached_property
    def unit_length(self) -> int:
        """Samples of a unit."""
        return math.prod(self.strides)

    @cached_property
    def melody_length(self) -> int:
        """Samples of a code of the melody."""
        return round(self.sample_rate_hz * self.melody.frame_period_ms / 1000) << self.melody.num_halvings

    @cached_property
    def hop_length(self) -> int:
        """Samples of which there are whole numbers of units and of codes of the melody."""
        return math.lcm(self.unit_length, self.melody_length)


def melody_has_one_codebook(melody: Melody) -> str | None:
    """Report a melody of several codes per frame."""
    if melody.quantizer.num_codebooks != 1:
        return f"melody.quantizer.num_codebooks: expected 1, found {melody.quantizer.num_codebooks}"
    return None


def upsampling_is_complete(strides: tuple[int, ...], generator: HifiGan) -> str | None:
    """Report kernel sizes that are not one for each stride."""
    if (found := len(generator.kernel_sizes)) not in {0, len(strides)}:
        return f"generator.kernel_sizes: expected {len(strides)}, as many as strides, found {found}"
    return None


CONTRADICTIONS = (melody_has_one_codebook, upsampling_is_complete)
"""Checks across keys: each is run if the keys that its parameters name are valid; returns a sentence or None."""
