"""How a probe is trained: a small head on features or codes that stay as they are."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel

__all__ = ["HeadRecipe", "ProbeRecipe"]


class HeadRecipe(StrictModel):
    """What all small networks on frozen tokens have in common."""

    embedding: int = Field(default=64, gt=0)
    """Values of the embedding of a code."""
    learning_rates: tuple[float, ...] = Field(min_length=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    """That of AdamW."""
    num_seeds: int = Field(default=3, gt=0)
    """Networks that are trained, with other first weights and another order of the items."""

    @model_validator(mode="after")
    def _rates_are_positive(self) -> Self:
        if min(self.learning_rates) <= 0:
            msg = "learning_rates must be above 0"
            raise ValueError(msg)
        return self


class ProbeRecipe(HeadRecipe):
    """The head, and how it learns."""

    head: Literal["linear", "mlp", "lstm", "bilstm"] = "linear"
    """Logistic regression on the mean of the frames, one hidden layer on it, the last state of a recurrent network,
    or both directions of one with attention over the frames."""
    width: int = Field(default=128, gt=0)
    """Hidden values of the head, in each direction; of no use to a linear one."""
    min_rate_hz: float = Field(default=40.0, gt=0)
    """Frames per second that a recurrent head hears at least. Features of twice the rate or more are averaged, two
    (or three, or more) to a frame; codes stay as they are."""
    learning_rates: tuple[float, ...] = Field(default=(1e-2, 1e-3), min_length=1)
    """All of them are tried with the first seed; the one with the lowest cross-entropy on validation is taken, the
    earlier of two equal ones."""
    batch_size: int = Field(default=128, gt=0)
    """Items of one step."""
    max_epochs: int = Field(default=40, gt=0)
    """Rounds over the training items at most."""
    patience: int = Field(default=5, ge=0)
    """Epochs without a lower cross-entropy on validation after which training ends, and the weights of the lowest
    are taken; 0 for all epochs and the last weights."""

    @property
    def needs_validation(self) -> bool:
        """Whether anything is chosen on validation items."""
        return self.patience > 0 or len(self.learning_rates) > 1
