"""Probes: what a small classifier, trained on the tokens, can say of phones, words, speakers and languages.

Conventions: an item is a whole utterance, or an interval of one, with the frames of its features whose centres lie
within it (the frame around its middle where there is none). The tokenizer stays as it is; a head is trained with
the recipe of the task, from several seeds. Speakers, or whatever the task names, are dealt into folds, and each
fold is the test once; or a column of the corpus tells training and test. Classes with too few items are left out.

Measures: accuracy and macro F1, means over seeds; beside them the accuracy of the commonest class of training,
which is chance. ``all`` is that of all codebooks together, ``codebook 1`` of the first.

Intervals: a bootstrap over the speakers (or utterances) of the test and over seeds.

Source: DASB (Mousavi et al. 2024, arXiv:2406.14294), whose heads these are in small.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from tokbench.errors import UndefinedMetricError
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.probe_items import SUBJECTS, Collected, Item, ItemsRunner, answers_of, pack
from tokbench.runners.views import ALL

if TYPE_CHECKING:
    from tokbench.audio import Audio

__all__ = ["ProbeRunner"]

ACCURACY, LATENTS, MACRO_F1, CHANCE = "_accuracy", "_accuracy_latents", "_macro_f1", "_chance"
"""How the names of metrics end; that of latents is for tasks that look at nothing else."""
_KIND = "tokens"


class ProbeRunner(ItemsRunner):
    """Trains a classifier on tokens, and asks it."""

    needs_codes: ClassVar[bool] = False
    corpus_metrics = tuple(subject + end for subject in SUBJECTS for end in (ACCURACY, LATENTS, MACRO_F1, CHANCE))

    def packed(self, bench: Bench, audio: "Audio", items: Sequence[Item]) -> bytes:
        """Return the tokens of ``items``."""
        return pack(bench, audio, items, self.arguments, {_KIND: self.arguments.features})

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Train, test, and return how often the answers are right."""
        from tokbench.metrics.classification import Statistic, estimate  # noqa: PLC0415  (the planner needs it not)

        collected = Collected(payloads)
        num_ok, num_total = collected.num_ok, collected.num_total
        if not collected.is_complete:
            return [
                metric.summary(value=None, num_ok=num_ok, num_total=num_total) for metric in self.metrics.values()
            ]
        found: list[MetricSummary] = []
        for view in list(collected.sequences) or [f"{_KIND}/{ALL}"]:
            group = view.removeprefix(f"{_KIND}/")
            try:
                answers, majority = answers_of(collected, view, self.arguments, self.task.interval_by)
            except UndefinedMetricError as error:
                reasons = {str(error): num_total}
                found += [
                    metric.summary(
                        value=None, reasons=reasons, group=group, num_ok=0, num_total=collected.num_total
                    )
                    for metric in self.metrics.values()
                ]
                continue
            for name, metric in self.metrics.items():
                statistic: Statistic = "macro_f1" if name.endswith(MACRO_F1) else "accuracy"
                value, interval = estimate(majority if name.endswith(CHANCE) else answers, statistic)
                found.append(
                    metric.summary(value=value, interval=interval, num_ok=num_ok, num_total=num_total, group=group)
                )
        return found
