"""What a classifier of sounds is taught, on recordings or on what a codec makes of them."""

from pydantic import Field

from tokbench.specs.base import StrictModel
from tokbench.specs.probe import ProbeRecipe

__all__ = ["ClassLesson"]


class ClassLesson(StrictModel):
    """What to tell apart, and how to learn it."""

    label: str
    """Column of the corpus, or ``text`` or ``speaker``, whose values are the classes."""
    corpus: str = ""
    """What it is taught on, as for ``--corpus``; empty for the training part of what it is to hear."""
    centred: bool = False
    """Whether the mean of each recording is taken off its frames: what is told apart is then not how loud it is."""
    max_s: float = Field(default=5.0, gt=0)
    """Seconds of a recording that are heard, from its beginning."""
    recipe: ProbeRecipe = ProbeRecipe(
        head="bilstm", width=64, learning_rates=(3e-3,), batch_size=16, max_epochs=12, patience=0, num_seeds=1
    )
    """The networks, of one learning rate and a fixed number of epochs: nothing is set apart to choose them."""
