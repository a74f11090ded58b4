"""A classifier of sounds that tokbench taught itself, on recordings or on what a codec makes of them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.judges.base import Judge

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.models.classifier import Classifier

__all__ = ["TaughtClassifier"]


class TaughtClassifier(Judge):
    """Networks of several seeds, trained on the same recordings and heard together."""

    packages: ClassVar[Mapping[str, str]] = {"tokbench": "tokbench"}
    origin = "a task that has it taught"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"classifier:{path.stem}"

    @property
    def files(self) -> Sequence[Path]:
        """The one file of all networks."""
        return (self.path,)

    @property
    def classes(self) -> tuple[str, ...]:
        """What it can tell apart."""
        return self._loaded.facts.classes

    def posteriors(self, audio: "Audio") -> np.ndarray:
        """Return the probabilities float64 [V] of :attr:`classes`; raises what :meth:`require` raises."""
        return self._loaded.posteriors(self._heard(audio))

    @cached_property
    def _loaded(self) -> "Classifier":
        from tokbench.models.classifier import read_classifier  # noqa: PLC0415  (imports torch)

        self.require()
        return read_classifier(self.path)
