"""What a codec learns from a model that has learnt speech or text before: its teachers, and in which form."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = ["Distillation", "Form", "SpeechDistillation", "TextDistillation", "UnitDistillation"]

Form = Literal["d-axis", "t-axis", "cosine"]


class _Distillation(StrictModel):
    """What every form of it has."""

    teachers: tuple[str, ...] = Field(min_length=1)
    """In the order of preference: the first that can be loaded teaches, and the trained codec says which it was."""
    codebooks: int = Field(default=1, ge=1)
    """The student is the sum of what this many codebooks add, from the first on."""
    weight: float = Field(ge=0)
    """Of the loss; 0 leaves it out, and its teacher is not asked for."""


class _Features(_Distillation):
    """Taught by features: a linear projection of the student is brought near them."""

    form: Form = "d-axis"
    """``d-axis``: the negative log-sigmoid of the cosine along time of each feature, the mean over features
    (SpeechTokenizer, arXiv:2308.16692, section 2.3); ``t-axis``: the same of the cosine of each frame (its code);
    ``cosine``: one minus the cosine of each frame (Moshi, arXiv:2410.00037, section 3.3)."""
    distance_weight: float = Field(default=0.0, ge=0)
    """Of the mean absolute difference, added to the cosine's form."""


class SpeechDistillation(_Features):
    """Taught by a speech encoder that hears the whole crop."""

    kind: Literal["speech"]
    matching: Literal["nearest", "average"] = "nearest"
    """Which of the teacher's frames a frame of the codec is compared with: that nearest in time, or the mean of
    those less than a frame of the codec away (Moshi: eight at 50 Hz for one at 12.5 Hz)."""


class UnitDistillation(_Distillation):
    """Taught by units: the student, projected to one logit per unit, is to name the unit of each frame.

    Cross-entropy (the pseudo-labels of SpeechTokenizer, section 2.3). Teachers are tokenizers of one codebook at a
    constant rate; a frame of the codec has the unit nearest in time.
    """

    kind: Literal["units"]


class TextDistillation(_Features):
    """Taught by a language model that reads what is said (DM-Codec, arXiv:2410.15017, section 3.1).

    Teachers are encoders of text, the mean over whose layers is learnt: token ``n`` is compared with frame ``n``,
    and the tokens after the last are padding, as in the paper's code.
    """

    kind: Literal["text"]
    transcribers: tuple[str, ...] = ()
    """Speech recognisers in the order of preference. Where none can be loaded, the text is the corpus's own; a
    crop that is not a whole utterance, or whose utterance has no text, then teaches nothing."""


Distillation = Annotated[SpeechDistillation | UnitDistillation | TextDistillation, Field(discriminator="kind")]


def student_has_codebooks(distillation: Mapping[str, Distillation], quantizer: StrictModel) -> str | None:
    """Report a student that is more codebooks than there are."""
    most = getattr(quantizer, "num_codebooks", None)
    for name, form in distillation.items():
        if most is not None and form.codebooks > most:
            return f"distillation.{name}.codebooks: expected at most {most}, found {form.codebooks}"
    return None
