"""What `tokbench doctor` looks at."""

import importlib.metadata
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tokbench.cli import judge_states
from tokbench.codecs.registry import list_cards, list_plugins
from tokbench.codecs.state import examine as examine_card
from tokbench.corpora.registry import list_corpora
from tokbench.errors import MissingPackageError
from tokbench.metrics.catalogue import METRICS
from tokbench.metrics.catalogue import missing_packages as metric_packages
from tokbench.paths import home

__all__ = ["Finding", "examine"]


@dataclass(frozen=True)
class Finding:
    """One thing that tokbench can use."""

    kind: str
    name: str
    ready: bool
    remark: str = ""


def examine(weights: Path | None = None) -> list[Finding]:
    """Return the state of everything, without loading or downloading anything."""
    return [*_system(), *_codecs(weights), *_corpora(), *_judges(), *_metrics()]


def _system() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("system", "python", ready=True, remark=version)
    yield Finding("system", "torch", ready=True, remark=importlib.metadata.version("torch"))
    yield Finding("system", "home", ready=True, remark=f"{home()} (set TOKBENCH_HOME to move it)")


def _codecs(weights: Path | None) -> Iterator[Finding]:
    """Report each row of `tokbench list codecs`; settings next to each other with one state share a line."""
    for name, card in list_cards().items():
        for state, settings in groupby(examine_card(card, weights=weights).items(), key=lambda item: item[1]):
            first, *others = (setting for setting, _ in settings)
            span = f"{name}:{first}" + (f" … {others[-1]}" if others else "")
            yield Finding("codec", span, ready=state.is_ready, remark=state.remark)
    for name, point in list_plugins().items():
        yield Finding("codec", name, ready=True, remark=f"from {point.value}")


def _corpora() -> Iterator[Finding]:
    for name, corpus in list_corpora().items():
        yield Finding("corpus", name, ready=corpus.is_available, remark=corpus.missing)


def _judges() -> Iterator[Finding]:
    for name in judge_states.list_judges():
        state = judge_states.examine(name)
        yield Finding("judge", name, ready=state.is_ready, remark=state.remark)


def _metrics() -> Iterator[Finding]:
    """Report what is missing one by one, and the rest as a number: nobody reads forty times the same word.

    What a judge lacks is told of the judge.
    """
    num_ready = 0
    for name, metric in METRICS.items():
        missing = metric_packages(metric)
        num_ready += not missing
        if missing and not metric.judge:
            yield Finding("metric", name, ready=False, remark=str(MissingPackageError(name, missing)))
    yield Finding("metric", f"{num_ready} of {len(METRICS)} metrics", ready=num_ready > 0)
