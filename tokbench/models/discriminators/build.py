"""From the spec of a discriminator to the network."""

from typing import assert_never

from tokbench.models.discriminators.base import DiscriminatorSet
from tokbench.models.discriminators.spectrograms import (
    MultiBandDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleStftDiscriminator,
    ResidualStftDiscriminator,
)
from tokbench.models.discriminators.waveforms import MultiPeriodDiscriminator, MultiScaleDiscriminator
from tokbench.specs.discriminators import (
    ComplexStft,
    Discriminator,
    MultiBandStft,
    MultiPeriod,
    MultiResolutionSpectrogram,
    MultiScale,
    MultiScaleStft,
)

__all__ = ["build_discriminator"]


def build_discriminator(spec: Discriminator) -> DiscriminatorSet:
    """Return the discriminators that ``spec`` asks for: [B, 1, T] -> the judgement of each."""
    match spec:
        case MultiScale():
            return MultiScaleDiscriminator(spec)
        case MultiPeriod():
            return MultiPeriodDiscriminator(spec)
        case MultiScaleStft():
            return MultiScaleStftDiscriminator(spec)
        case MultiBandStft():
            return MultiBandDiscriminator(spec)
        case MultiResolutionSpectrogram():
            return MultiResolutionDiscriminator(spec)
        case ComplexStft():
            return DiscriminatorSet([ResidualStftDiscriminator(spec)], is_conditioned=spec.conditioned)
    assert_never(spec)
