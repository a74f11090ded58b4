"""What is found of the models of a cell, item by item, and how it is summed up.

Axes: ``N`` items, ``S`` seeds, ``M`` sums of a metric.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tokbench.metrics.base import Metric
from tokbench.records import MetricSummary
from tokbench.runners.base import Failure
from tokbench.runners.lm_scores import (
    ALL,
    CEILING,
    GUESS,
    INPUT,
    ORIGINAL,
    SHUFFLED,
    SWAPPED,
    UNTRAINED,
    estimate,
)
from tokbench.runners.payload import open_arrays, pack_arrays

__all__ = ["LOST_PARTS", "Collected", "Findings", "ratios"]

_GROUPS = (ALL, CEILING, ORIGINAL, INPUT, UNTRAINED, SHUFFLED, SWAPPED, GUESS)
"""In the order in which they are told."""
_LOST = "the utterance could not be measured"
LOST_PARTS = np.full((1, 2), np.nan)
"""Total and weight of an item that could not be measured."""


@dataclass
class Findings:
    """Sums of metrics by group, and why others have none."""

    sums: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """By ``metric/group``, of each seed; of one alone where no model has a part in it."""
    failures: dict[str, Failure] = field(default_factory=dict)

    def add(self, name: str, group: str, found: "np.ndarray | Failure") -> None:
        """Take note of a metric."""
        key = f"{name}/{group}"
        if isinstance(found, Failure):
            self.failures[key] = found
        else:
            self.sums.setdefault(key, []).append(found)

    @property
    def of_models(self) -> Mapping[str, Failure]:
        """Why the trained models have no value, by metric."""
        split = ((key.partition("/"), failure) for key, failure in self.failures.items())
        return {name: failure for (name, _, group), failure in split if group == ALL}

    def packed(self, names: Collection[str], unit: str) -> bytes:
        """Return all that is known of the metrics ``names``; ``unit`` is what the item is resampled with."""
        reasons = {key: (failure.reason, failure.is_not_applicable) for key, failure in self.failures.items()}
        sums = {
            key: np.stack(found)
            for key, found in self.sums.items()
            if key not in reasons and key.partition("/")[0] in names
        }
        return pack_arrays(told=np.array(json.dumps({"unit": unit, "reasons": reasons})), **sums)


def ratios(payload: bytes | None, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return totals and weights [S, 2] of the trained models, of those ``names`` that an utterance has.

    [1, 2] of zeros where an utterance has nothing to measure.
    """
    if payload is None:
        return {}
    with open_arrays(payload) as file:
        reasons = json.loads(str(file["told"]))["reasons"]
        keys = {name: f"{name}/{ALL}" for name in names}
        found = {name: file[key].astype(np.float64) for name, key in keys.items() if key in file.files}
        return found | {name: np.zeros((1, 2)) for name, key in keys.items() if reasons.get(key, ("", False))[1]}


class Collected:
    """What the payloads of a cell hold."""

    def __init__(self) -> None:
        self._sums: dict[str, list[np.ndarray]] = defaultdict(list)
        self._units: dict[str, list[str]] = defaultdict(list)
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)
        self._num_without: Counter[str] = Counter()
        self._num_lost = 0

    def add(self, payload: bytes | None) -> None:
        """Take note of an utterance; None for one that could not be measured."""
        if payload is None:
            self._num_lost += 1
            return
        with open_arrays(payload) as file:
            told = json.loads(str(file["told"]))
            for key in file.files:
                if key != "told":
                    self._sums[key].append(file[key])
                    self._units[key].append(told["unit"])
        for key, (reason, is_not_applicable) in told["reasons"].items():
            if is_not_applicable:
                self._num_without[key] += 1
            else:
                self._reasons[key][reason] += 1

    def groups(self, name: str) -> list[str]:
        """Return the groups in which there is anything about the metric ``name``."""
        keys = [*self._sums, *self._reasons, *self._num_without]
        found = dict.fromkeys(group for metric, _, group in (key.partition("/") for key in keys) if metric == name)
        return [group for group in _GROUPS if group in found]

    def summary(self, metric: Metric, group: str, *, is_grouped: bool) -> MetricSummary:
        """Return the number; it is missing where it is of any utterance that should have one."""
        key = f"{metric.name}/{group}"
        reasons = Counter(self._reasons[key])
        if self._num_lost:
            reasons[_LOST] += self._num_lost
        num_ok = len(self._sums[key])
        value, interval = None, None
        if num_ok and not reasons:
            units = self._units[key] if is_grouped else None
            value, interval = estimate(metric.name, np.stack(self._sums[key]), units)
        return metric.summary(
            value=value,
            interval=interval,
            num_ok=num_ok,
            num_total=num_ok + reasons.total(),
            num_not_applicable=self._num_without[key],
            reasons=dict(sorted(reasons.items())),
            group=group,
        )
