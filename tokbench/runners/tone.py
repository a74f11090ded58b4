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

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokbench.errors import NotSupportedError, SpecError, UndefinedMetricError
from tokbench.metrics.base import Metric
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Pooled
from tokbench.runners.probe_items import SUBJECTS, Answered, Collected, Item, ItemsRunner, answers_of, pack
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
    interval_method = "percentile bootstrap over units and seeds"

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
        return list(self.pool(payloads).summaries)

    def pool(self, payloads: Iterable[bytes | None]) -> Pooled:
        """Train, test, and compare, all codebooks together utterance by utterance as well."""
        collected = Collected(payloads)
        if not collected.is_complete:
            return Pooled([self._missing(metric, collected, {}) for metric in self.metrics.values()])
        before = self._answers(collected, _BEFORE) if _BEFORE in collected.sequences else _NO_LATENTS
        views = [view for view in collected.sequences if view != _BEFORE] or [f"{_CODES}/{ALL}"]
        summaries: list[MetricSummary] = []
        components: dict[str, np.ndarray] = {}
        for view in views:
            after, group = self._answers(collected, view), view.removeprefix(f"{_CODES}/")
            for name, metric in self.metrics.items():
                if name.endswith(LATENTS) and group != ALL:
                    continue  # there are no codebooks in what was quantized
                sides = _sides(name, after, before)
                if isinstance(sides, str):
                    summaries.append(self._missing(metric, collected, {sides: collected.num_total}, group))
                    continue
                summaries.append(_number(metric, sides, collected, group))
                if group == ALL:
                    components[name] = collected.by_utterance(sides[0].tested, _parts(name, sides))
        return Pooled(summaries, components)

    def _answers(self, collected: Collected, view: str) -> Answered | str:
        """Return what is answered from a view, and by the commonest class; or why nothing is."""
        try:
            return answers_of(collected, view, self.arguments, self.task.interval_by)
        except UndefinedMetricError as error:
            return str(error)

    @staticmethod
    def _missing(metric: Metric, collected: Collected, reasons: dict[str, int], group: str = ALL) -> MetricSummary:
        num_ok = 0 if reasons else collected.num_ok
        return metric.summary(
            value=None, num_ok=num_ok, num_total=collected.num_total, reasons=reasons, group=group
        )


_NO_LATENTS = "the tokenizer does not tell what it quantizes"


def _sides(name: str, after: Answered | str, before: Answered | str) -> list[Answered] | str:
    """Return what a metric is computed from, or why it cannot be."""
    sides = [before] if name.endswith(LATENTS) else [after, before] if name.endswith(DROP) else [after]
    lacking = [side for side in sides if isinstance(side, str)]
    return lacking[0] if lacking else [side for side in sides if not isinstance(side, str)]


def _number(metric: Metric, sides: Sequence[Answered], collected: Collected, group: str) -> MetricSummary:
    from tokbench.metrics.classification import difference, estimate  # noqa: PLC0415  (the planner needs it not)

    if metric.name.endswith(DROP):
        after, before = sides
        value, interval = difference(before.answers, after.answers, "accuracy")
    else:
        value, interval = estimate(_answers(metric.name, sides[0]), "accuracy")
    return metric.summary(
        value=value, interval=interval, group=group, num_ok=collected.num_ok, num_total=collected.num_total
    )


def _answers(name: str, side: Answered) -> "Answers":
    return side.majority if name.endswith(CHANCE) else side.answers


def _parts(name: str, sides: Sequence[Answered]) -> np.ndarray:
    """Return what each item adds to a metric, totals and weights, float64 [I, S, 2]."""
    right = _answers(name, sides[0]).is_right.astype(np.float64)
    if name.endswith(DROP):  # seeds of both sides are no pairs, but however they are put, their mean is the same
        right = sides[1].answers.is_right - right
    return np.stack([right, np.ones_like(right)], axis=2)
