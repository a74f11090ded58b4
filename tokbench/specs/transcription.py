"""What a codec learns from a small recogniser that writes down what is said."""

from typing import Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["Transcription"]


class Transcription(StrictModel):
    """A recogniser that is trained with the codec, by connectionist temporal classification, and then left behind.

    It learns from crops that are whole utterances with a text; the others do not count.
    """

    of: Literal["latents", "decoded"] = "decoded"
    """What it hears: the latents, or the log-mel spectrogram of what was decoded (Cont-SPT)."""
    weight: float = Field(default=1.0, gt=0)
    """Of its loss, per frame."""
    width: int = Field(default=256, gt=0, multiple_of=2)
    num_layers: int = Field(default=2, gt=0)
    """Recurrent layers, each of which runs both ways."""
