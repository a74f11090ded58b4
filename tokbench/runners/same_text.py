"""Same text: whether tokens are the same when another speaker says the same.

Conventions: two utterances of one language by different speakers make a pair where they have the same text, or the
same values of the columns that the task names. Of each codebook, runs of a code become one unit, and edits are
counted from either utterance of a pair to the other. Beside each pair stands one of another text: the first
utterance with what else the second speaker says, from the next utterance of the corpus on, joined and cut (repeated
where there is too little) to as many frames as the same text has there. Readings of one text are alike in length,
and edits grow with a difference in length, whatever the codes: with another length, codes that know nothing of the
text would seem to know it. At most so many pairs of a text are compared, drawn once. Recordings whose speaker the
corpus does not name take no part.

Measures: edits by units for the same text and for another one, over all pairs, and 1 less the ratio of both.
``all`` is the mean over codebooks, ``codebook 1`` is that of one.

Source: definitions of our own in the spirit of the speaker invariance of STAB (Vashishth et al. 2024, arXiv
2409.02384); the unit edit distance is after Gat et al. 2022 (arXiv 2209.15483).

Intervals: a percentile bootstrap over texts: pairs of one text are no independent ones.

Axes: ``P`` pairs, ``K`` codebooks, ``F`` frames.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokbench.errors import UndefinedMetricError
from tokbench.metrics.agreement import unit_edits
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.single_stream import frame_codes
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task
from tokbench.stats import MIN_UNITS, group_sums, percentile_interval, resample

if TYPE_CHECKING:
    from tokbench.corpora.base import Utterance

__all__ = ["SameTextArguments", "SameTextRunner"]

SAME, OTHER, INVARIANCE = "same_text_edit_distance", "other_text_edit_distance", "speaker_invariance"


class SameTextArguments(StrictModel):
    """The ``[arguments]`` of a same-text task."""

    alike: tuple[str, ...] = Field(default=("text",), min_length=1)
    """Columns of the corpus that say what is said: ``text``, or any other."""
    max_pairs: int = Field(default=20, gt=0)
    """Pairs of one text that are compared at most, each in both directions."""


@dataclass(frozen=True)
class _Said:
    """One utterance."""

    place: int
    """In the corpus."""
    what: str
    language: str
    speaker: str
    indices: np.ndarray
    """int64 [K, F]."""


@dataclass(frozen=True)
class _Pairs:
    """What was counted, pair by pair."""

    texts: list[str]
    """What is said, of each of P pairs."""
    edits: np.ndarray
    """float64 [P, K, 2], of the same text and of another."""
    units: np.ndarray
    """float64 [P, K], of the utterances that edits begin from."""


class SameTextRunner(Runner):
    """Compares the units of speakers who say the same."""

    needs_decoder: ClassVar[bool] = False
    corpus_metrics = (SAME, OTHER, INVARIANCE)
    interval_method = "percentile bootstrap over texts"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(SameTextArguments)

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the codes, and what is said by whom."""
        audio = utterance.read()
        frames = frame_codes(bench.tokenizer.info, bench.encode(audio).codes)
        columns = {"text": utterance.text, **utterance.labels}
        values = [columns.get(name, "") for name in self.arguments.alike]
        payload = pack_arrays(
            indices=frames.indices.astype(np.int32),
            what=np.array("\t".join(values) if all(values) else ""),
            language=np.array(utterance.language),
            speaker=np.array(utterance.speaker),
        )
        return Measurement(payload=payload, audio_sha256=audio.sha256, duration_s=audio.duration_s)

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return how far apart the same text is by other speakers, and how far another text."""
        found = [None if payload is None else _unpack(payload, place) for place, payload in enumerate(payloads)]
        kept = [item for item in found if item is not None]
        num_ok, num_total = len(kept), len(found)
        if not kept or num_ok < num_total:
            return [
                metric.summary(value=None, num_ok=num_ok, num_total=num_total) for metric in self.metrics.values()
            ]
        pairs = attempt(lambda: _compared(kept, self.arguments.max_pairs))
        if isinstance(pairs, Failure):
            reasons = {pairs.reason: num_total}
            return [
                metric.summary(value=None, num_ok=0, num_total=num_total, reasons=reasons)
                for metric in self.metrics.values()
            ]
        return [
            metric.summary(value=value, interval=interval, num_ok=num_ok, num_total=num_total, group=group)
            for name, metric in self.metrics.items()
            for group, (value, interval) in _numbers(pairs, name).items()
        ]


def _unpack(payload: bytes, place: int) -> _Said:
    with open_arrays(payload) as file:
        what, language, speaker = (str(file[name]) for name in ("what", "language", "speaker"))
        return _Said(place, what, language, speaker, file["indices"].astype(np.int64))


def _compared(kept: Sequence[_Said], max_pairs: int) -> _Pairs:
    """Count edits; raises :class:`UndefinedMetricError` where no two speakers say the same."""
    by_text: dict[tuple[str, str], list[_Said]] = defaultdict(list)
    by_speaker: dict[tuple[str, str], list[_Said]] = defaultdict(list)
    for item in kept:
        if item.what and item.speaker:
            by_text[item.language, item.what].append(item)
            by_speaker[item.language, item.speaker].append(item)
    generator = np.random.default_rng(0)
    texts, edits, units = [], [], []
    for (language, what), said in by_text.items():
        pairs = [(one, two) for one in said for two in said if one.place < two.place and one.speaker != two.speaker]
        if len(pairs) > max_pairs:
            drawn = np.sort(generator.choice(len(pairs), max_pairs, replace=False))
            pairs = [pairs[place] for place in drawn]
        for one, two in [*pairs, *((two, one) for one, two in pairs)]:
            other = _other(two, by_speaker[language, two.speaker])
            if other is None:
                continue
            texts.append(f"{language} {what}")
            found = [
                (unit_edits(codes, same), unit_edits(codes, another))
                for codes, same, another in zip(one.indices, two.indices, other, strict=True)
            ]
            edits.append([(same.num_edits, another.num_edits) for same, another in found])
            units.append([same.num_units for same, _ in found])
    if not texts:
        msg = "no two speakers say the same in one language, and one of them something else"
        raise UndefinedMetricError(msg)
    return _Pairs(texts, np.array(edits, np.float64), np.array(units, np.float64))


def _other(said: _Said, of_speaker: Sequence[_Said]) -> np.ndarray | None:
    """Return codes of what else the speaker says, from the next utterance on, in as many frames as ``said`` has.

    Int64 [K, F]; None where there is nothing else.
    """
    others = [item for item in of_speaker if item.what != said.what]
    later = [item for item in others if item.place > said.place]
    earlier = [item for item in others if item.place < said.place]
    joined, num_frames, num_wanted = [], 0, said.indices.shape[1]
    for item in (*later, *earlier):
        joined.append(item.indices)
        num_frames += item.indices.shape[1]
        if num_frames >= num_wanted:
            break
    if num_frames == 0:
        return None
    indices: np.ndarray = np.concatenate(joined, axis=1)[:, np.arange(num_wanted) % num_frames]
    return indices


def _numbers(pairs: _Pairs, metric: str) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Return the value of ``metric`` and its interval, over all codebooks and of each."""
    num_codebooks = pairs.units.shape[1]
    total = group_sums(pairs.edits.reshape(len(pairs.texts), -1), pairs.texts)
    weight = group_sums(np.repeat(pairs.units, 2, axis=1), pairs.texts)
    shape = (-1, num_codebooks, 2)
    values = _measured((total.sum(axis=0) / weight.sum(axis=0)).reshape(shape), metric)[0]
    draws = np.empty((0, num_codebooks))
    if len(total) >= MIN_UNITS:
        draws = _measured(resample(total, weight, rms=[False] * total.shape[1]).reshape(shape), metric)
    columns = {"all": (float(values.mean()), draws.mean(axis=1))}
    for codebook in range(num_codebooks if num_codebooks > 1 else 0):
        columns[f"codebook {codebook + 1}"] = (float(values[codebook]), draws[:, codebook])
    return {
        group: (value, percentile_interval(drawn) if len(drawn) else None)
        for group, (value, drawn) in columns.items()
    }


def _measured(rates: np.ndarray, metric: str) -> np.ndarray:
    """Return float64 [R, K] of the edits by units of the same text and of another, [R, K, 2]."""
    same, other = rates[..., 0], rates[..., 1]
    if metric != INVARIANCE:
        chosen: np.ndarray = same if metric == SAME else other
        return chosen
    # Where no edit is needed even for another text, the codes say nothing at all, and are not invariant.
    ratio: np.ndarray = 1 - np.divide(same, other, out=np.ones_like(same), where=other > 0)
    return ratio
