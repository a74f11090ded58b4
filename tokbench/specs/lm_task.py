"""What a task asks of a language model of codes."""

from collections.abc import Mapping
from string import Formatter
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokbench.specs.base import StrictModel
from tokbench.specs.classifier import ClassLesson
from tokbench.specs.ctc import Lesson
from tokbench.specs.lm import LmSpec, Sampling

__all__ = ["AROUND", "LmArguments", "names_in"]

_MOST_SEEDS = 16
"""Models that a task trains on the codes of one tokenizer, at most."""

AROUND = ("before", "after")
"""Contents of an item of which a word is edited: what its recording has before that word, and after it."""


def names_in(template: str) -> set[str]:
    """Return the names in the braces of ``template``; raises :class:`ValueError` for braces without one.

    >>> sorted(names_in("{object} in the {room}"))
    ['object', 'room']
    """
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    if not all(name.isidentifier() for name in names):
        msg = f"expected a name between braces in {template!r}"
        raise ValueError(msg)
    return names


class LmArguments(StrictModel):
    """The ``[arguments]`` of a task for language models."""

    lm: str
    """Spec of the language model that is trained on the codes of each tokenizer."""
    scale: str = "tiny"
    """Scale of the spec."""
    form: str
    """Form of the spec that is trained and asked."""
    also: tuple[str, ...] = ()
    """Further forms that the same model learns from the same items."""
    corpus: str = ""
    """What it is trained on, as for ``--corpus``; empty for the training part of what it is asked."""
    large: bool = False
    """Whether that is the large training part, of a corpus that has one."""
    contents: Mapping[str, str] = {}
    """Contents of an item that other ones of its corpus stand for: ``text = "intent"`` makes the label ``intent``
    the text, and ``text = "room {room}"`` a sentence with the label ``room`` in it."""
    changes: Mapping[str, Any] = {}
    """In what the spec differs."""
    num_seeds: int = Field(default=1, ge=1, le=_MOST_SEEDS)
    """Models that are trained, each from a seed of its own; numbers are means of them."""
    sampling: Mapping[str, Any] = {}
    """In what the spec's way of choosing symbols differs."""
    begun_s: float | None = Field(default=None, gt=0)
    """Seconds of the audio that are given, to be continued; only what follows is scored."""
    length: Literal["own", "reference"] = "own"
    """Whether the model says where audio ends, or it is made as long as the reference."""
    recognizer: str = ""
    """Who writes down what was generated: ``pocketsphinx``, ``whisper:<size>``, or ``ctc``, taught here."""
    vocabulary: tuple[str, ...] = ()
    """Texts of which the recognizer may hear one; ``(a | b)`` stands for one of two, or more."""
    pronunciations: Mapping[str, str] = {}
    """Phones by word of the vocabulary, for words that the dictionary of the recognizer lacks."""
    lesson: Lesson | None = None
    """What the recognizer ``ctc`` is taught."""
    classifier: ClassLesson | None = None
    """What the classifier that listens is taught."""
    speaker: str = ""
    """Who knows voices: ``resemblyzer``, ``ecapa``, ``wavlm-sv``."""
    names: tuple[str, ...] = ()
    """Names of all sound events, as captions have them."""

    def sampling_of(self, spec: LmSpec, stage: str) -> Sampling:
        """Return how symbols are chosen in a stage of ``spec``; raises as :meth:`LmSpec.sampling_of`."""
        return spec.sampling_of(stage, self.sampling)

    @field_validator("contents")
    @classmethod
    def _braces_hold_names(cls, contents: Mapping[str, str]) -> Mapping[str, str]:
        for old in contents.values():
            names_in(old)
        return contents

    @model_validator(mode="after")
    def _only_ctc_is_taught(self) -> Self:
        if (self.recognizer == "ctc") != (self.lesson is not None):
            msg = "recognizer and lesson: expected a lesson for the recognizer ctc, and for no other"
            raise ValueError(msg)
        return self
