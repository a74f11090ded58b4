"""What a language model learns from in each step: examples drawn from tokens that were made once.

An example is a function of the seed and of its number in the run alone, as crops of audio are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Literal

import numpy as np
import torch

from tokbench.errors import CorpusError
from tokbench.lm.examples import Example
from tokbench.lm.tokens import Tokens
from tokbench.training.curves import Curves
from tokbench.training.learner import Learner
from tokbench.training.loop import seed_all
from tokbench.training.utterances import held_out

__all__ = ["NUM_PREDICTED", "DrawnTokens", "TokenBatch", "TokenBatches", "TokenValidation", "split"]

NUM_PREDICTED = "num_predicted"
"""Name of how many symbols, or features, the losses of a stage are means of."""


@dataclass(frozen=True)
class TokenBatch:
    """Examples side by side."""

    examples: tuple[Example, ...]

    def to(self, device: torch.device) -> "TokenBatch":
        """Return this batch: what becomes of it goes to ``device``, once sentences are made of it."""
        del device
        return self


def split(tokens: Tokens, num_held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the examples to learn from and those of ``num_held_out`` others, a tenth at most.

    What a speaker says is learnt from or held out, and not some recordings of it each; unless that is more than a
    tenth of all, as where nobody knows who speaks: then recordings are.
    """
    largest = max(Counter(tokens.groups).values())
    is_held_out = held_out(tokens.ids if largest > len(tokens) // 10 else tokens.groups, num_held_out)
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


class DrawnTokens:
    """An endless sequence of examples, of the ``rows`` of ``tokens``.

    ``draw`` says what is equally likely: every second of the audio, or every example; without audio, it is every
    example.
    """

    def __init__(
        self,
        tokens: Tokens,
        rows: np.ndarray,
        *,
        seed: int,
        draw: Literal["by-second", "by-utterance"] = "by-utterance",
    ) -> None:
        if len(rows) == 0:
            raise CorpusError("there are no examples to learn from")
        durations_s = tokens.durations_s[rows]
        weights = durations_s if draw == "by-second" and (durations_s > 0).all() else np.ones(len(rows))
        self._tokens, self._rows, self._seed = tokens, rows, seed
        self._ends = np.cumsum(weights)

    def __getitem__(self, number: int) -> Example:
        generator = np.random.default_rng((self._seed, number))
        drawn = generator.random() * self._ends[-1]
        place = min(int(np.searchsorted(self._ends, drawn, side="right")), len(self._rows) - 1)
        row = int(self._rows[place])
        forms = self._tokens.forms(row)
        return self._tokens.example(row, forms[int(generator.integers(len(forms)))])


@dataclass(frozen=True)
class TokenBatches:
    """The batches of one process among ``num_processes``."""

    drawn: DrawnTokens
    batch_size: int
    process: int = 0
    num_processes: int = 1

    def __getitem__(self, step: int) -> TokenBatch:
        first = (step * self.num_processes + self.process) * self.batch_size
        return TokenBatch(tuple(self.drawn[number] for number in range(first, first + self.batch_size)))

    def steps(self, first: int, end: int) -> Iterator[TokenBatch]:
        """Yield the batches of the steps from ``first`` to before ``end``."""
        return (self[step] for step in range(first, end))


class TokenValidation:
    """Examples that are held out."""

    def __init__(self, tokens: Tokens, rows: np.ndarray, batch_size: int) -> None:
        examples = [tokens.example(int(row), form) for row in rows for form in tokens.forms(int(row))]
        # Batches are of one form, so that what is learnt of one form alone has no share of a batch of another.
        by_form = attrgetter("form")
        self._batches: list[TokenBatch] = []
        for _, group in groupby(sorted(examples, key=by_form), key=by_form):
            alike = tuple(group)
            starts = range(0, len(alike), batch_size)
            self._batches += [TokenBatch(alike[first : first + batch_size]) for first in starts]

    @torch.no_grad()
    def __call__(self, learner: Learner[TokenBatch], device: torch.device) -> Mapping[str, float]:
        """Return the losses of ``learner``, which is out of training mode: means over all that is predicted."""
        sums: dict[str, float] = defaultdict(float)
        nums: dict[str, float] = defaultdict(float)
        for number, batch in enumerate(self._batches):
            seed_all(0, number)
            shown = learner.validate(batch.to(device))
            for name, value in shown.items():
                stage, _, key = name.partition(".")
                if key != NUM_PREDICTED:
                    num = float(shown[f"{stage}.{NUM_PREDICTED}"])
                    sums[f"validation.{name}"] += num * float(value)
                    nums[f"validation.{name}"] += num
        return {name: total / nums[name] for name, total in sums.items() if nums[name]}

    def listen(self, learner: Learner[TokenBatch], device: torch.device, curves: Curves, step: int) -> None:
        """Write nothing: what a language model generates is heard once it is trained (``tokbench generate``)."""
