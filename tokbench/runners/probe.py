"""Probes: what a small classifier, trained on the tokens, can say of phones, words, speakers and languages.

Conventions: an item is a whole utterance, or an interval of one, with the frames of its features whose centres lie
within it (the frame around its middle where there is none). The tokenizer stays as it is; a head is trained with
the recipe of the task, from several seeds. Speakers, or whatever the task names, are dealt into folds, and each
fold is the test once; or a column of the corpus tells training and test. Classes with too few items are left out.
Of slots there are several in an utterance, each with a classifier of its own.

Measures: accuracy and macro F1, means over seeds; of slots also micro F1 over those that are filled; beside them
the accuracy with what was quantized, which is the ceiling, and of the commonest class of training, which is chance.
``all`` is that of all codebooks together, ``codebook 1`` of the first.

Intervals: a bootstrap over the speakers (or utterances) of the test and over seeds.

Source: DASB (Mousavi et al. 2024, arXiv:2406.14294), whose heads these are in small.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokbench.errors import NotSupportedError
from tokbench.runners.base import Bench
from tokbench.runners.probe_ceiling import LATENTS, TOKENS, Estimate, Estimates, ProbedRunner
from tokbench.runners.probe_items import SUBJECTS, Collected, Item, ItemsRunner, answers_of, pack

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.metrics.classification import Statistic

__all__ = ["ProbeRunner"]

_STATISTICS: "dict[str, Statistic]" = {
    "_accuracy": "accuracy",
    "_macro_f1": "macro_f1",
    "_f1": "micro_f1",
    "_chance": "accuracy",
}
"""What is estimated, by the ending of a metric's name."""
_CHANCE = "_chance"


class ProbeRunner(ProbedRunner, ItemsRunner):
    """Trains a classifier on tokens, and asks it."""

    needs_codes: bool = False
    corpus_metrics = tuple(subject + end for subject in SUBJECTS for end in (*_STATISTICS, f"_accuracy_{LATENTS}"))
    interval_method = "percentile bootstrap over units and seeds"

    def packed(self, bench: Bench, audio: "Audio", items: Sequence[Item]) -> bytes:
        """Return the tokens of ``items``, and their latents where they are asked for and there are any."""
        kinds = self.kinds(self.arguments.features)
        try:
            return pack(bench, audio, items, self.arguments, kinds)
        except NotSupportedError:
            if LATENTS not in kinds:
                raise
            return pack(bench, audio, items, self.arguments, {TOKENS: kinds[TOKENS]})

    def estimates(self, view: str, collected: Collected) -> Estimates:
        """Return how often the answers to the items of the test are right."""
        from tokbench.metrics.classification import estimate  # noqa: PLC0415  (the planner needs it not)

        found = answers_of(collected, view, self.arguments, self.task.interval_by)
        numbers = {}
        for name in {name.removesuffix(f"_{LATENTS}") for name in self.metrics}:
            answers, statistic = found.majority if name.endswith(_CHANCE) else found.answers, _statistic(name)
            numbers[name] = Estimate(*estimate(answers, statistic), parts=answers.parts(statistic))
        return Estimates(numbers, found.tested)


def _statistic(name: str) -> "Statistic":
    return next(statistic for ending, statistic in _STATISTICS.items() if name.endswith(ending))
