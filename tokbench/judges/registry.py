"""Judges by name, each loaded once in a process."""

import functools
import importlib
from pathlib import Path
from typing import Any

from tokbench.errors import UnknownNameError, UsageError
from tokbench.judges.base import Judge, Recognizer, SpeakerEncoder
from tokbench.paths import weights_dir

__all__ = ["JUDGES", "find_recognizer", "find_speaker_encoder"]

JUDGES = {
    "ctc": "tokbench.judges.taught:CtcRecognizer",
    "ecapa": "tokbench.judges.speakers:Ecapa",
    "pocketsphinx": "tokbench.judges.recognizers:PocketSphinx",
    "resemblyzer": "tokbench.judges.speakers:Resemblyzer",
    "wavlm-sv": "tokbench.judges.speakers:WavlmSv",
    "whisper": "tokbench.judges.recognizers:Whisper",
}
"""``module:Class`` by name; what follows a colon in a name is the class's to read."""


def find_recognizer(
    name: str, *, vocabulary: tuple[str, ...] = (), pronunciations: tuple[tuple[str, str], ...] = ()
) -> Recognizer:
    """Return the recognizer called ``name``, such as ``pocketsphinx`` or ``whisper:base``, not loaded yet.

    Where there is a ``vocabulary`` it hears one of these texts; ``pronunciations`` are phones by word.
    Raises :class:`UnknownNameError` or another :class:`UsageError`.
    """
    options = {"vocabulary": vocabulary, "pronunciations": pronunciations}
    judge = _find(name, weights_dir(), **(options if vocabulary else {}))
    if not isinstance(judge, Recognizer):
        raise UsageError(f"the judge {name} does not write down what was said")
    return judge


def find_speaker_encoder(name: str) -> SpeakerEncoder:
    """Return the encoder called ``name``, not loaded yet; raises as :func:`find_recognizer`."""
    judge = _find(name, weights_dir())
    if not isinstance(judge, SpeakerEncoder):
        raise UsageError(f"the judge {name} does not know voices")
    return judge


@functools.cache
def _find(name: str, _weights: Path, **options: Any) -> Judge:
    """Return the one judge of this process with this name, these weights and options."""
    kind, _, argument = name.partition(":")
    if kind not in JUDGES:
        raise UnknownNameError("judge", name, JUDGES, command="tokbench list judges")
    module, _, cls = JUDGES[kind].partition(":")
    judge: type[Judge] = getattr(importlib.import_module(module), cls)
    if options and not issubclass(judge, Recognizer):
        raise UsageError(f"the judge {name} does not write down what was said")
    return judge(argument, **options)  # type: ignore[call-arg]
