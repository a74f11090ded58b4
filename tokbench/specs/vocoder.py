"""A second decoder, that takes the place of the first while a codec is trained."""

from pydantic import Field

from tokbench.specs.base import StrictModel
from tokbench.specs.networks import Decoder
from tokbench.specs.training import Optimizer, Training

__all__ = ["CONTRADICTIONS", "Vocoder"]


class Vocoder(StrictModel):
    """A decoder that begins on the finished codes, and replaces the one that they were learnt with (AudioDec).

    It sees what the quantizer makes, less its mean and over its standard deviation. The trained codec has this
    decoder alone.
    """

    network: Decoder
    begins: float = Field(gt=0, lt=1)
    """Share of the steps after which it takes the first decoder's place, and learns instead of it."""
    num_batches: int = Field(default=100, gt=0)
    """Batches of audio over which mean and standard deviation are taken, when it begins."""
    optimizer: Optimizer | None = None
    """By default that of the codec."""


def vocoder_finds_frozen_codes(vocoder: Vocoder | None, training: Training) -> str | None:
    """Report a vocoder that would begin on codes that go on changing."""
    if vocoder is not None and vocoder.begins < training.encoder_until:
        return (
            f"vocoder.begins: expected at least training.encoder_until ({training.encoder_until}), "
            f"after which codes stay what they are, found {vocoder.begins}"
        )
    return None


CONTRADICTIONS = (vocoder_finds_frozen_codes,)
"""Checks across keys, in the sense of :mod:`tokbench.specs.neural_codec`."""
