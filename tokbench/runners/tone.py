"""Tone: what quantization costs, of lexical tones and of vowels.

Conventions: the same probe (:mod:`tokbench.runners.probe_items`) is trained on the codes and on what was quantized,
on the same items and the same split. An item is an interval of a tier, or a whole utterance. What is lost is the
accuracy with the latents less that with the codes; it says little by itself, and much beside the loss of vowels by
the same tokenizer.

Measures: both accuracies, their difference, and the accuracy of the commonest class of training, which is chance.
``all`` is that of all codebooks together, ``codebook 1`` of the first.

Intervals: a bootstrap over speakers (or utterances) and seeds; of the difference, the same draw of speakers on both
sides.

Source: Osakuade and King 2024, arXiv:2410.19935, who find that k-means units of HuBERT keep vowels and lose the
tones of Mandarin and Yoruba.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tokbench.errors import NotSupportedError, SpecError, UndefinedMetricError
from tokbench.metrics.base import Metric
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.probe_items import SUBJECTS, Collected, Item, ItemsRunner, answers_of, pack
from tokbench.runners.views import ALL
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.metrics.classification import Answers

__all__ = ["ToneRunner"]

ACCURACY, LATENTS, DROP, CHANCE = "_accuracy", "_accuracy_latents", "_accuracy_drop", "_chance"
"""How the names of metrics end."""
_CODES, _BEFORE = "codes", f"latents/{ALL}"


class ToneRunner(ItemsRunner):
    """Asks one probe of the codes, and one of what was quantized."""

    corpus_metrics = tuple(subject + end for subject in SUBJECTS for end in (ACCURACY, LATENTS, DROP, CHANCE))

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if self.arguments.features == "latents":
            raise SpecError(
                task.id, ["arguments.features: expected quantized or codes; latents are compared anyway"]
            )

    def packed(self, bench: Bench, audio: "Audio", items: Sequence[Item]) -> bytes:
        """Return ``items`` as codes and as latents, where there are any."""
        kinds = {_CODES: self.arguments.features}
        try:
            return pack(bench, audio, items, self.arguments, {**kinds, "latents": "latents"})
        except NotSupportedError:  # of the latents, or else it is raised again
            return pack(bench, audio, items, self.arguments, kinds)

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Train, test, and compare."""
        collected = Collected(payloads)
        if not collected.is_complete:
            return [self._missing(metric, collected, {}) for metric in self.metrics.values()]
        before = self._answers(collected, _BEFORE) if _BEFORE in collected.sequences else _NO_LATENTS
        views = [view for view in collected.sequences if view != _BEFORE] or [f"{_CODES}/{ALL}"]
        return [
            summary
            for view in views
            for summary in self._view(
                collected, view.removeprefix(f"{_CODES}/"), self._answers(collected, view), before
            )
        ]

    def _answers(self, collected: Collected, view: str) -> "tuple[Answers, Answers] | str":
        """Return what is answered from a view, and by the commonest class; or why nothing is."""
        try:
            return answers_of(collected, view, self.arguments, self.task.interval_by)
        except UndefinedMetricError as error:
            return str(error)

    def _view(
        self,
        collected: Collected,
        group: str,
        after: "tuple[Answers, Answers] | str",
        before: "tuple[Answers, Answers] | str",
    ) -> Iterator[MetricSummary]:
        from tokbench.metrics.classification import difference, estimate  # noqa: PLC0415  (the planner needs it not)

        for name, metric in self.metrics.items():
            if name.endswith(LATENTS) and group != ALL:
                continue  # there are no codebooks in what was quantized
            lacking = [side for side in self._sides(name, after, before) if isinstance(side, str)]
            if lacking:
                yield self._missing(metric, collected, {lacking[0]: collected.num_total}, group)
                continue
            sides = [side for side in self._sides(name, after, before) if not isinstance(side, str)]
            if name.endswith(DROP):
                value, interval = difference(sides[1][0], sides[0][0], "accuracy")
            else:
                value, interval = estimate(sides[0][1 if name.endswith(CHANCE) else 0], "accuracy")
            yield metric.summary(
                value=value, interval=interval, group=group, num_ok=collected.num_ok, num_total=collected.num_total
            )

    @staticmethod
    def _sides(
        name: str, after: "tuple[Answers, Answers] | str", before: "tuple[Answers, Answers] | str"
    ) -> "list[tuple[Answers, Answers] | str]":
        """Return what a metric is computed from."""
        if name.endswith(LATENTS):
            return [before]
        return [after, before] if name.endswith(DROP) else [after]

    @staticmethod
    def _missing(metric: Metric, collected: Collected, reasons: dict[str, int], group: str = ALL) -> MetricSummary:
        num_ok = 0 if reasons else collected.num_ok
        return metric.summary(
            value=None, num_ok=num_ok, num_total=collected.num_total, reasons=reasons, group=group
        )


_NO_LATENTS = "the tokenizer does not tell what it quantizes"
