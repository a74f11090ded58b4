"""What probes have in common that are trained on tokens, and on what was quantized, which is their ceiling."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tokbench.errors import UndefinedMetricError
from tokbench.records import MetricSummary
from tokbench.runners.base import Pooled, Runner
from tokbench.runners.probe_items import Collected
from tokbench.runners.views import ALL, FeatureKind

__all__ = ["LATENTS", "TOKENS", "Estimate", "Estimates", "ProbedRunner"]

TOKENS, LATENTS = "tokens", "latents"
"""Kinds of views; the names of metrics of latents end with theirs."""
_BEFORE = f"{LATENTS}/{ALL}"
_NO_LATENTS = "the tokenizer does not tell what it quantizes"


@dataclass(frozen=True)
class Estimate:
    """A number of a view."""

    value: float
    interval: tuple[float, float] | None
    parts: np.ndarray | None = None
    """What each item of the test adds to it, totals and weights, float64 [I, S, 2]; None where it is no ratio."""


@dataclass(frozen=True)
class Estimates:
    """What is found on a view."""

    numbers: Mapping[str, Estimate]
    """By the name of a metric without what it says of latents."""
    tested: np.ndarray
    """int64 [I], which items are in the test."""


class ProbedRunner(Runner):
    """Trains a probe on each view of the tokens, and one on the latents where a metric asks for it."""

    def kinds(self, features: FeatureKind) -> dict[str, FeatureKind]:
        """Return what is looked at, the tokens as ``features``, for the metrics of the task."""
        kinds: dict[str, FeatureKind] = {TOKENS: features}
        return {**kinds, LATENTS: "latents"} if any(_is_of_latents(name) for name in self.metrics) else kinds

    @abstractmethod
    def estimates(self, view: str, collected: Collected) -> Estimates:
        """Train and test on a view that there is; raises :class:`UndefinedMetricError`."""

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return the metrics of tokens view by view, and those of latents, which have no codebooks."""
        return list(self.pool(payloads).summaries)

    def pool(self, payloads: Iterable[bytes | None]) -> Pooled:
        """Return the metrics, and what utterances add to those of all codebooks together that are ratios."""
        collected = Collected(payloads)
        views = [view for view in collected.sequences if view != _BEFORE] or [f"{TOKENS}/{ALL}"]
        summaries: list[MetricSummary] = []
        components: dict[str, np.ndarray] = {}
        for view in [*views, _BEFORE]:
            names = [name for name in self.metrics if _is_of_latents(name) == (view == _BEFORE)]
            found = self._found(view, collected) if names else ""
            summaries += self._summaries(names, view, found, collected)
            if not isinstance(found, str) and view.endswith(f"/{ALL}"):
                components |= self._components(names, found, collected)
        return Pooled(summaries, components)

    def _summaries(
        self, names: Iterable[str], view: str, found: Estimates | str, collected: Collected
    ) -> Iterator[MetricSummary]:
        for name in names:
            number = None if isinstance(found, str) else found.numbers[_of_either(name)]
            reasons = {found: collected.num_total} if isinstance(found, str) and found else {}
            yield self.metrics[name].summary(
                value=number.value if number else None,
                interval=number.interval if number else None,
                num_ok=0 if reasons else collected.num_ok,
                num_total=collected.num_total,
                reasons=reasons,
                group=view.partition("/")[2],
            )

    @staticmethod
    def _components(names: Iterable[str], found: Estimates, collected: Collected) -> dict[str, np.ndarray]:
        numbers = {name: found.numbers[_of_either(name)] for name in names}
        return {
            name: collected.by_utterance(found.tested, number.parts)
            for name, number in numbers.items()
            if number.parts is not None
        }

    def _found(self, view: str, collected: Collected) -> Estimates | str:
        """Return what is found on a view, or why nothing is; empty where that is told by utterance."""
        if not collected.is_complete:
            return ""
        if view == _BEFORE and view not in collected.sequences and collected.sequences:
            return _NO_LATENTS
        try:
            return self.estimates(view, collected)
        except UndefinedMetricError as error:
            return str(error)


def _of_either(name: str) -> str:
    return name.removesuffix(f"_{LATENTS}")


def _is_of_latents(name: str) -> bool:
    return name.endswith(f"_{LATENTS}")
