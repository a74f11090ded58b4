"""What every discriminator returns, and the layers that they are made of.

Axes: ``B`` batch, ``C`` channels, ``T`` samples.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["DiscriminatorSet", "Judgement", "SubDiscriminator", "conditioned", "judged"]


class Judgement(NamedTuple):
    """What one discriminator makes of audio."""

    logits: Tensor
    """float32 [B, 1, ...], rising with the belief that the audio is recorded, at each place."""
    features: list[Tensor]
    """[B, C, ...], after each layer but the last."""


class SubDiscriminator(nn.Module, ABC):
    """One scale, period or resolution."""

    @abstractmethod
    def forward(self, samples: Tensor) -> Judgement:
        """Judge ``samples`` [B, 1, T]."""


class DiscriminatorSet(nn.Module):
    """Sub-discriminators that all hear the same."""

    def __init__(self, members: Iterable[SubDiscriminator], *, is_conditioned: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.is_conditioned = is_conditioned

    def forward(self, samples: Tensor) -> list[Judgement]:
        """Return the judgement of each on ``samples`` [B, 1, T]."""
        heard = conditioned(samples) if self.is_conditioned else samples
        return [member(view) for member, view in zip(self.members, self.views(heard), strict=True)]

    def views(self, samples: Tensor) -> Iterable[Tensor]:
        """Return what each is to hear of ``samples`` [B, 1, T]: all of it."""
        return [samples] * len(self.members)


def conditioned(samples: Tensor) -> Tensor:
    """Return ``samples`` [B, 1, T] without their mean and with a peak of 0.8.

    Source: ``preprocess`` in descript-audio-codec, ``dac/model/discriminator.py``.
    """
    centred = samples - samples.mean(dim=-1, keepdim=True)
    return 0.8 * centred / (centred.abs().amax(dim=-1, keepdim=True) + 1e-9)


def judged(layers: Iterable[nn.Module], last: nn.Module, values: Tensor, *, slope: float) -> Judgement:
    """Return what ``layers``, each followed by a leaky activation, and ``last`` make of ``values``.

    Features keep the precision of the layers.
    """
    features = []
    for layer in layers:
        values = nn.functional.leaky_relu(layer(values), slope)
        features.append(values)
    return Judgement(last(values).float(), features)
