"""What probes have in common that are trained on tokens, and on what was quantized, which is their ceiling."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from tokbench.errors import UndefinedMetricError
from tokbench.records import MetricSummary
from tokbench.runners.base import Runner
from tokbench.runners.probe_items import Collected
from tokbench.runners.views import ALL, FeatureKind

__all__ = ["LATENTS", "TOKENS", "Estimates", "ProbedRunner"]

TOKENS, LATENTS = "tokens", "latents"
"""Kinds of views; the names of metrics of latents end with theirs."""
_BEFORE = f"{LATENTS}/{ALL}"
_NO_LATENTS = "the tokenizer does not tell what it quantizes"

Estimates: TypeAlias = Mapping[str, tuple[float, tuple[float, float] | None]]
"""Value and interval, by the name of a metric without what it says of latents."""


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
        collected = Collected(payloads)
        views = [view for view in collected.sequences if view != _BEFORE] or [f"{TOKENS}/{ALL}"]
        return [summary for view in [*views, _BEFORE] for summary in self._of_view(view, collected)]

    def _of_view(self, view: str, collected: Collected) -> Iterator[MetricSummary]:
        names = [name for name in self.metrics if _is_of_latents(name) == (view == _BEFORE)]
        found = self._found(view, collected) if names else ""
        for name in names:
            value, interval = (None, None) if isinstance(found, str) else found[name.removesuffix(f"_{LATENTS}")]
            reasons = {found: collected.num_total} if isinstance(found, str) and found else {}
            yield self.metrics[name].summary(
                value=value,
                interval=interval,
                num_ok=0 if reasons else collected.num_ok,
                num_total=collected.num_total,
                reasons=reasons,
                group=view.partition("/")[2],
            )

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


def _is_of_latents(name: str) -> bool:
    return name.endswith(f"_{LATENTS}")
