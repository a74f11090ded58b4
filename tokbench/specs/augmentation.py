"""What is done to the audio before a model learns from it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tokbench.specs.base import StrictModel

__all__ = ["Augmentation", "Mixing", "Noise", "Reverberation"]


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        msg = f"expected the smaller number first, found {list(bounds)}"
        raise ValueError(msg)
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Smallest and largest; drawn uniformly in between."""
Probability = Annotated[float, Field(ge=0, le=1)]


class Mixing(StrictModel):
    """A second crop of the corpus, added to the first: EnCodec's overlapping sources (section 4.1)."""

    probability: Probability
    level_db: Range = (-5.0, 5.0)
    """Energy of the second in that of the first."""


class Noise(StrictModel):
    """Noise that is added."""

    probability: Probability
    snr_db: Range
    """Energy of the crop in that of the noise."""
    source: str = "coloured"
    """``coloured``, with a power of 1/f^a for an a drawn from 0, white, to 2, brown; or a corpus such as
    ``folder:DIR``, of which crops are drawn."""


class Reverberation(StrictModel):
    """The response of a room."""

    probability: Probability
    rt60_s: Range = (0.3, 1.3)
    """Seconds in which a drawn response, noise that decays exponentially, falls by 60 dB."""
    direct_db: Range = (0.0, 15.0)
    """Energy of the direct sound in that of all that follows, in a drawn response."""
    responses: str = ""
    """A corpus of recorded responses, such as ``folder:DIR``; none, and responses are drawn."""


class Augmentation(StrictModel):
    """What happens to a crop, in this order: mixing, gain, reverberation, noise; nothing by default.

    What comes out is scaled down where it would leave full scale.
    """

    mixing: Mixing | None = None
    gain_db: Range = (0.0, 0.0)
    """Of the whole crop."""
    reverberation: Reverberation | None = None
    noise: Noise | None = None
    target: Literal["same", "clean", "either"] = "same"
    """What is to come out of a crop with reverberation or noise: the same; the crop without them; or one of
    the two, drawn for each crop and told to the model, which learns both (SoundStream's denoising on request)."""
