"""What tasks have in common that compare the codes of an utterance with those of what became of it.

Each thing that happens is a condition with a name, which is that of a group. An utterance counts by its frames, or
by its units. ``codebook 1`` is the mean, over conditions, of the values of one codebook on the corpus. ``all`` is
the mean, over utterances, of what each has on average under the conditions that apply to it: the mean over
conditions, where all apply to all utterances.

Intervals: a percentile bootstrap over utterances or speakers, as the task says.

Axes: ``N`` utterances, ``M`` conditions, ``K`` codebooks, ``F`` frames.
"""

import functools
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tokbench.metrics.agreement import code_agreement, unit_edits
from tokbench.metrics.base import Metric, Score
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.single_stream import FrameCodes, frame_codes
from tokbench.specs.task import Task
from tokbench.stats import MIN_UNITS, group_sums, percentile_interval, resample

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.corpora.base import Utterance

__all__ = ["EDITS", "ComparingRunner", "Comparison", "Scene"]

EDITS = "unit_edit_distance"
"""The metric that counts edits; all others are shares of equal codes."""


@dataclass(frozen=True)
class Comparison:
    """Codes of an utterance beside those of what became of it, in time with each other."""

    original: np.ndarray
    """int64 [K, F]."""
    changed: np.ndarray
    """int64 [K, F]; what is longer is trimmed."""
    changed_units: np.ndarray | None = None
    """int64 [F'], the first codebook of what was changed, where its frames were mapped in time."""

    def agreement(self) -> np.ndarray:
        """Return the share of equal codes of each codebook [K]."""
        return code_agreement(self.original, self.changed)

    def edit_rate(self) -> float:
        """Return the edits per unit of the first codebook."""
        units = self.changed[0] if self.changed_units is None else self.changed_units
        return unit_edits(self.original[0], units).rate


@dataclass(frozen=True)
class Scene:
    """What a condition has to work with."""

    bench: Bench
    utterance_id: str
    audio: "Audio"
    """Mono, at its own rate."""

    @functools.cached_property
    def prepared(self) -> "Audio":
        """The audio in the format of the tokenizer."""
        info = self.bench.tokenizer.info
        return self.audio.to_channels(info.num_channels).resample(info.sample_rate_hz)

    @functools.cached_property
    def original(self) -> FrameCodes:
        """The codes of the utterance as it is."""
        return self.encode(self.prepared)

    def encode(self, audio: "Audio") -> FrameCodes:
        """Return the codes of ``audio``."""
        return frame_codes(self.bench.tokenizer.info, self.bench.encode(audio).codes)


class ComparingRunner(Runner):
    """Compares the codes of an utterance with those of what became of it, under named conditions."""

    needs_decoder: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.names = self._names()

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the names of the conditions."""

    @abstractmethod
    def _compare(self, scene: Scene) -> Iterator[Comparison | Failure]:
        """Yield what is found under each condition, in order."""

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Encode the utterance and what becomes of it, and compare."""
        audio = utterance.read()
        scene = Scene(bench, utterance.id, audio.to_channels(1))
        original = scene.original
        found = _Found(
            speaker=utterance.speaker,
            num_frames=original.num_frames,
            num_units=unit_edits(original.indices[0], original.indices[0]).num_units,
            num_codebooks=len(original.indices),
        )
        for comparison in self._compare(scene):
            found.add(comparison)
        scores, failures = self._of_utterance(found)
        return Measurement(
            scores=scores,
            failures=failures,
            payload=found.pack(),
            audio_sha256=audio.sha256,
            duration_s=audio.duration_s,
        )

    def _of_utterance(self, found: "_Found") -> tuple[dict[str, Score], dict[str, Failure]]:
        """Return the mean over conditions that apply, or the first reason why one failed."""
        failed = [
            reason
            for reason, fine in zip(found.reasons, found.is_not_applicable, strict=True)
            if reason and not fine
        ]
        if failed:
            return {}, dict.fromkeys(self.metrics, Failure(failed[0]))
        scores = {}
        for name in self.metrics:
            values = found.values(name)
            if np.isfinite(values).any():
                scores[name] = Score(float(np.nanmean(values)) * found.weight(name), found.weight(name))
        nothing = Failure("nothing could be compared", is_not_applicable=True)
        return scores, {name: nothing for name in self.metrics if name not in scores}

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return the numbers of each condition, and of each codebook over all conditions."""
        found = [None if payload is None else _Found.unpack(payload) for payload in payloads]
        return [summary for metric in self.metrics.values() for summary in self._summaries(metric, found)]

    def _summaries(self, metric: Metric, found: "list[_Found | None]") -> Iterator[MetricSummary]:
        kept = [item for item in found if item is not None]
        places = list(range(len(self.names)))
        for place in places:
            yield self._summary(metric, found, self.names[place], _Part((place,)))
        num_codebooks = kept[0].num_codebooks if kept and metric.name != EDITS else 1
        if num_codebooks == 1:
            return
        for codebook in range(num_codebooks):
            yield self._summary(metric, found, f"codebook {codebook + 1}", _Part(tuple(places), codebook))
        for place in places:
            yield self._summary(metric, found, f"{self.names[place]}, codebook 1", _Part((place,), 0))

    def _summary(self, metric: Metric, found: "list[_Found | None]", group: str, part: "_Part") -> MetricSummary:
        """Return the mean over the conditions of ``part`` of their values on the corpus."""
        kept = [item for item in found if item is not None]
        outcomes = [part.failure(item) for item in kept]
        failed = Counter(item.reason for item in outcomes if item and not item.is_not_applicable)
        num_not_applicable = sum(item.is_not_applicable for item in outcomes if item)
        num_total = len(found) - num_not_applicable
        value, interval = None, None
        if not failed and len(kept) == len(found) and num_total > 0:
            rows = np.stack([part.values(item, metric.name) for item in kept])
            weights = np.array([[item.weight(metric.name)] for item in kept]) * np.isfinite(rows)
            groups = [item.speaker for item in kept] if self.task.interval_by == "speaker" else None
            value, interval = _mean_and_interval(np.nan_to_num(rows) * weights, weights, groups)
        return metric.summary(
            value=value,
            interval=interval,
            num_ok=len(kept) - num_not_applicable - failed.total(),
            num_total=num_total,
            num_not_applicable=num_not_applicable,
            reasons=dict(sorted(failed.items())),
            group=group,
        )


def _mean_and_interval(
    total: np.ndarray, weight: np.ndarray, groups: list[str] | None
) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over columns of the ratios of ``total`` to ``weight``, float64 [N, M], and its interval.

    A column that applies to no utterance is left out.
    """
    is_counted = weight.sum(axis=0) > 0
    total, weight = total[:, is_counted], weight[:, is_counted]
    total, weight = group_sums(total, groups), group_sums(weight, groups)
    value = float((total.sum(axis=0) / weight.sum(axis=0)).mean())
    if len(total) < MIN_UNITS:
        return value, None
    low, high = percentile_interval(resample(total, weight, rms=[False] * total.shape[1]).mean(axis=1))
    return value, ((low, high) if np.isfinite(low) else None)


@dataclass
class _Found:
    """What was found on one utterance, condition by condition."""

    speaker: str
    num_frames: int
    num_units: int
    num_codebooks: int
    shares: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """Share of equal codes, float64 [conditions, K]; NaN where there is none."""
    edits: list[float] = field(default_factory=list)
    """Edits per unit; NaN where there is none."""
    reasons: list[str] = field(default_factory=list)
    """Why there is none; empty where there is."""
    is_not_applicable: list[bool] = field(default_factory=list)
    """Whether the utterance alone is the reason."""

    def add(self, comparison: Comparison | Failure) -> None:
        """Take what was found under the next condition."""
        outcome = (
            comparison
            if isinstance(comparison, Failure)
            else attempt(lambda: (comparison.agreement(), comparison.edit_rate()))
        )
        failure = outcome if isinstance(outcome, Failure) else None
        shares, edits = (np.full(self.num_codebooks, np.nan), np.nan) if isinstance(outcome, Failure) else outcome
        self.shares = np.concatenate([self.shares.reshape(-1, self.num_codebooks), shares[None]])
        self.edits.append(edits)
        self.reasons.append(failure.reason if failure else "")
        self.is_not_applicable.append(failure is not None and failure.is_not_applicable)

    def values(self, metric: str) -> np.ndarray:
        """Return the value of ``metric`` under each condition, NaN where there is none."""
        return np.array(self.edits) if metric == EDITS else self.shares.mean(axis=1)

    def weight(self, metric: str) -> int:
        """Return how much the utterance counts: units where edits are counted, and otherwise frames."""
        return self.num_units if metric == EDITS else self.num_frames

    def pack(self) -> bytes:
        """Return everything as arrays."""
        return pack_arrays(
            speaker=np.array(self.speaker),
            sizes=np.array([self.num_frames, self.num_units, self.num_codebooks]),
            shares=self.shares,
            edits=np.array(self.edits, np.float64),
            reasons=np.array(self.reasons, np.str_),
            is_not_applicable=np.array(self.is_not_applicable, np.bool_),
        )

    @classmethod
    def unpack(cls, payload: bytes) -> "_Found":
        """Read what :meth:`pack` wrote; arrays only, nothing is executed."""
        with open_arrays(payload) as file:
            num_frames, num_units, num_codebooks = file["sizes"].tolist()
            return cls(
                str(file["speaker"]),
                num_frames,
                num_units,
                num_codebooks,
                file["shares"],
                file["edits"].tolist(),
                file["reasons"].tolist(),
                file["is_not_applicable"].tolist(),
            )


@dataclass(frozen=True)
class _Part:
    """Some of what was found: conditions by place, and one codebook, or what there is of all."""

    places: tuple[int, ...]
    codebook: int | None = None

    def values(self, found: _Found, metric: str) -> np.ndarray:
        """Return the values of ``metric``, float64 [conditions], NaN where there is none."""
        values = found.values(metric) if self.codebook is None else found.shares[:, self.codebook]
        return values[list(self.places)]

    def failure(self, found: _Found) -> Failure | None:
        """Return why there is no value: the first failure, or that no condition applies."""
        told = [Failure(found.reasons[place], found.is_not_applicable[place]) for place in self.places]
        failed = [item for item in told if item.reason and not item.is_not_applicable]
        if failed:
            return failed[0]
        return told[0] if all(item.reason for item in told) else None
