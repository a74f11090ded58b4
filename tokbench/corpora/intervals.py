"""A stretch of time with a label."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Interval", "Tier"]

Tier = Literal["phone", "word", "tone", "syllable"]
"""What intervals are about: phones in IPA, words and syllables as they are written, lexical tones of syllables."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``start_s`` up to ``end_s``, in seconds from the start of the utterance."""

    start_s: float
    end_s: float
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s:
            msg = f"an interval cannot go from {self.start_s} s to {self.end_s} s"
            raise ValueError(msg)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    def delayed(self, seconds: float) -> "Interval":
        """Return the interval, ``seconds`` later."""
        return Interval(self.start_s + seconds, self.end_s + seconds, self.label)
