"""How a recognizer is trained by connectionist temporal classification, on features or codes that stay."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel
from tokbench.specs.probe import HeadRecipe

__all__ = ["CtcRecipe", "Lesson"]


class CtcRecipe(HeadRecipe):
    """The network, and how it learns."""

    head: Literal["convolutional", "bilstm"] = "convolutional"
    """Residual convolutions over neighbouring frames, which learn from minutes of speech, or recurrent layers in
    both directions, which want hours; DASB (Mousavi et al. 2024) has these."""
    width: int = Field(default=128, gt=0)
    """Hidden values of a layer, in each direction of a recurrent one."""
    num_layers: int = Field(default=5, gt=0)
    """Layers."""
    kernel: int = Field(default=9, gt=0)
    """Frames that a convolution sees, an odd number. Of no use to recurrent layers."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the hidden values that are left out in training."""
    min_rate_hz: float = Field(default=40.0, gt=0)
    """Frames per second that there are at least, so that no text is too long for them. Tokens of a lower rate are
    repeated; those of twice the rate or more are taken two (or three, or more) to a frame."""
    num_masks: int = Field(default=0, ge=0)
    """Stretches of an item that are hidden in training."""
    max_mask_s: float = Field(default=0.1, ge=0)
    """Length of a hidden stretch at most; it is drawn."""
    learning_rates: tuple[float, ...] = Field(default=(4e-3, 1e-3), min_length=1)
    """Highest rates: the rate rises over the first tenth of the steps, and falls to nothing over the others. All
    are tried with the first seed; the one with the lowest error rate on validation is taken, the earlier of two
    equal ones."""
    batch_size: int = Field(default=6, gt=0)
    """Items of one step, of about the same length."""
    max_epochs: int = Field(default=15, gt=0)
    """Rounds over the training items; the last weights are taken."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> Self:
        if self.kernel % 2 == 0:
            msg = f"kernel must be odd, found {self.kernel}"
            raise ValueError(msg)
        return self

    @property
    def needs_validation(self) -> bool:
        """Whether anything is chosen on validation items."""
        return len(self.learning_rates) > 1


class Lesson(StrictModel):
    """What a recognizer is taught."""

    units: Literal["phones", "characters"] = "phones"
    """What it writes down. Phones are those of the alignments, or, where a corpus has none, those that espeak-ng
    would speak its texts with."""
    corpus: str = ""
    """What it is taught on, as for ``--corpus``; empty for the training part of what it is to hear."""
    recipe: CtcRecipe = CtcRecipe(learning_rates=(4e-3,))
    """The networks, of one learning rate: nothing of so little speech is set apart to choose one."""

    @model_validator(mode="after")
    def _nothing_is_chosen(self) -> Self:
        if self.recipe.needs_validation:
            msg = "recipe.learning_rates: expected one rate, found several"
            raise ValueError(msg)
        return self
