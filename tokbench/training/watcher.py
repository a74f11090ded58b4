"""Who is told how training goes."""

from collections.abc import Mapping
from typing import Self

__all__ = ["Watcher"]


class Watcher:
    """Listens and says nothing; a terminal does more."""

    def of(self, model: str) -> Self:
        """Return who hears of ``model``, which is trained on the way."""
        del model
        return self

    def stage(self, name: str, share: float) -> None:
        """Hear what is being done, and the share of it that is, 0 .. 1."""

    def step(self, step: int, num_steps: int) -> None:
        """Hear that ``step`` of ``num_steps`` is made."""

    def row(self, row: Mapping[str, float], num_steps: int) -> None:
        """Hear a row of the curves, of a run of ``num_steps``."""

    def say(self, sentence: str) -> None:
        """Hear what is good to know."""

    def warn(self, sentence: str) -> None:
        """Hear that something goes wrong."""
