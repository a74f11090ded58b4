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
from torch import Tensor

from tokbench.errors import CorpusError
from tokbench.lm.crops import bound, kept_whole, with_short_inputs
from tokbench.lm.examples import Example
from tokbench.lm.sentences import Writing
from tokbench.lm.tokens import Tokens
from tokbench.specs.lm import LmSpec
from tokbench.specs.lm_streams import FeatureSource
from tokbench.training.curves import Curves
from tokbench.training.learner import Learner
from tokbench.training.loop import seed_all
from tokbench.training.utterances import held_out

__all__ = [
    "NUM_PREDICTED",
    "DrawnTokens",
    "TokenBatch",
    "TokenBatches",
    "TokenValidation",
    "leave_out_long",
    "split",
]

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
    is_used = np.ones(len(tokens), dtype=bool)
    is_used[tokens.unused] = False
    return np.flatnonzero(~is_held_out & is_used), np.flatnonzero(is_held_out & is_used)


def leave_out_long(tokens: Tokens) -> str:
    """Leave out of ``tokens`` what fits no context and cannot be cut; return a sentence about it, if there is any.

    Raises :class:`CorpusError` where nothing else is left.
    """
    too_long: dict[int, tuple[str, int]] = {}
    for name in tokens.spec.stages:
        writing = Writing(tokens.spec, name)
        for form in writing.stage.forms:
            for index, num_steps in _long(tokens, writing, form):
                tokens.leave_out(index, form)
                if num_steps > too_long.get(index, ("", 0))[1]:
                    too_long[index] = (f"{num_steps} of {writing.network.context} steps of {name}", num_steps)
    if not too_long:
        return ""
    longest = max(too_long, key=lambda index: too_long[index][1])
    sentence = (
        f"{len(too_long)} of {len(tokens)} examples are longer than the context, cannot be cut, and are left out; "
        f"the longest, {tokens.ids[longest]}, takes {too_long[longest][0]} (a longer one: network.context)."
    )
    if len(tokens.unused) == len(tokens):
        raise CorpusError(f"{tokens.spec.name}: {sentence}")
    return sentence


def _long(tokens: Tokens, writing: Writing, form_name: str) -> Iterator[tuple[int, int]]:
    """Yield the examples of a form that are kept whole and do not fit, and the steps that they take."""
    form, spec = writing.stage.forms[form_name], tokens.spec
    names = dict.fromkeys(writing.stage.part(each).stream for each in (*form.inputs, *form.outputs))
    lengths = {name: tokens.lengths(name) for name in (*names, *bound(writing.stage, form))}
    is_there = np.all([each >= 0 for each in lengths.values()], axis=0)
    rows = np.flatnonzero(is_there & kept_whole(writing, form_name, lengths))
    if len(rows) == 0:
        return
    # Nothing has to be read where even the longest of each together would fit.
    longest = {name: _alternating(spec, name, int(each[rows].max())) for name, each in lengths.items()}
    if _num_steps(writing, Example(longest, form_name)) <= writing.network.context:
        return
    for index in map(int, rows):
        if form_name in tokens.forms(index):
            num_steps = _num_steps(writing, tokens.example(index, form_name))
            if num_steps > writing.network.context:
                yield index, num_steps


def _num_steps(writing: Writing, example: Example) -> int:
    return writing.num_steps(with_short_inputs(writing, example.form, example))


def _alternating(spec: LmSpec, name: str, num_frames: int) -> Tensor:
    """Return values of a stream of which no two frames in succession are alike."""
    source = spec.stream(name)
    if isinstance(source, FeatureSource):
        return torch.zeros(num_frames, source.dimension)
    return (torch.arange(num_frames) % 2).expand(len(source.sizes), -1)


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
