"""A recognizer that tokbench taught itself, on recordings that no codec has touched."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.errors import UsageError
from tokbench.judges.base import Recognizer
from tokbench.judges.recognizers import VocabularyError

if TYPE_CHECKING:
    from tokbench.models.ctc import CtcNetwork
    from tokbench.models.recognizer import RecognizerFacts

__all__ = ["CtcRecognizer"]

_SEPARATORS = {"phones": " ", "characters": ""}


class CtcRecognizer(Recognizer):
    """Networks of several seeds, trained by CTC on the same recordings: each of them has a reading of its own.

    Phones are written with spaces between them. A language that was not among those of the recordings is not known.
    """

    packages: ClassVar[Mapping[str, str]] = {"tokbench": "tokbench"}
    origin = "a task that has it taught"

    def __init__(self, argument: str = "", **options: object) -> None:
        if not argument:
            raise UsageError("which recognizer? Write the path of its file, such as ctc:phones.safetensors")
        if options:
            raise VocabularyError("a recognizer by CTC cannot be held to a vocabulary; pocketsphinx can")
        self.path = Path(argument)
        self.name = f"ctc:{self.path.stem}"

    @property
    def files(self) -> Sequence[Path]:
        """The one file of all networks."""
        return (self.path,)

    def knows(self, language: str) -> bool:
        """Say whether it was taught ``language``, of whatever country."""
        return language.partition("-")[0] in {known.partition("-")[0] for known in self._loaded[0].languages}

    @property
    def units(self) -> str:
        """``phones`` or ``characters``."""
        return self._loaded[0].units

    def _transcribe(self, samples: np.ndarray, language: str) -> str:
        return self._readings(samples, language)[0]

    def _readings(self, samples: np.ndarray, language: str) -> list[str]:  # noqa: ARG002
        import torch  # noqa: PLC0415  (loaded at first use)

        from tokbench.models.ctc import best_path  # noqa: PLC0415
        from tokbench.models.recognizer import frames_of  # noqa: PLC0415

        facts, networks = self._loaded
        frames = torch.from_numpy(frames_of(samples))[None]
        lengths = torch.tensor([frames.shape[1]])
        with torch.inference_mode():
            heard = [best_path(*network(frames, lengths))[0] for network in networks]
        return [_SEPARATORS[facts.units].join(facts.labels[label] for label in labels) for labels in heard]

    @cached_property
    def _loaded(self) -> "tuple[RecognizerFacts, list[CtcNetwork]]":
        from tokbench.models.recognizer import read_recognizer  # noqa: PLC0415  (imports torch)

        self.require()
        return read_recognizer(self.path)
