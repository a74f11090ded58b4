"""Tone contours: whether the pitch of a syllable is still there after a codec, and still that of its tone.

Conventions: original and decoded audio become one pair as in :mod:`tokbench.runners.reconstruction`; the F0 of both
is that of :mod:`tokbench.metrics.pitch`, every 10 ms. An item is an interval of the tier of tones, or a whole
utterance whose tone a column tells. Pitch is in semitones above the median of all items of the speaker before the
codec, so that a codec that moves a voice up or down moves its tones. A judge is trained on contours of originals;
the items of its test are set apart as those of probes are (:mod:`tokbench.runners.probe_items`). It then hears the
originals of the test, and what a codec made of them.

Measures: root mean square error of the pitch, its correlation within syllables, and the share of voiced frames that
are kept, for all items, for each language and for each tone; how often the judge is right before and after, the
difference, and what it takes for what. A syllable without pitch is nothing to the judge, and so wrong.

Intervals: a bootstrap over speakers (or utterances), and over seeds where the judge answers; of the difference, the
same draw on both sides.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokbench.corpora.intervals import Tier
from tokbench.errors import UndefinedMetricError
from tokbench.metrics.base import Score
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Measurement, Runner
from tokbench.runners.probe_items import Collected, ItemSelection, items_of, pack_sequences, trainings_of
from tokbench.runners.reconstruction import PAIR_FACTS, ReconstructionArguments, pair_of
from tokbench.runners.views import ALL
from tokbench.specs.task import Task
from tokbench.stats import bootstrap_interval

if TYPE_CHECKING:
    from tokbench.corpora.base import Utterance
    from tokbench.metrics.classification import Answers
    from tokbench.metrics.tone_contours import Syllable

__all__ = ["ToneContourArguments", "ToneContourRunner"]

_CONTOUR = {
    "tone_f0_rmse_semitones": "squared_error",
    "tone_f0_correlation": "correlation",
    "tone_f0_kept": "kept_frames",
}
"""Functions of :mod:`tokbench.metrics.tone_contours` by metric."""
HEARD, ORIGINAL, DROP, CHANCE, CONFUSION = (
    f"tone_heard_{end}" for end in ("accuracy", "accuracy_original", "accuracy_drop", "chance", "confusion")
)
_VIEW = "pitch"
"""Of each item float32 [F, 2], F0 in Hz before and after, 0 where unvoiced."""
_SILENT = "nothing"
"""What a tone is taken for that has no pitch."""


class ToneContourArguments(ItemSelection, ReconstructionArguments):
    """The ``[arguments]`` of a task on tone contours."""

    tier: Tier = "tone"
    """That of the intervals."""
    num_seeds: int = Field(default=3, gt=0)
    """Judges that are trained."""


class ToneContourRunner(Runner):
    """Compares the pitch of syllables before and after a codec, and asks a judge which tones it hears."""

    needs_decoder: ClassVar[bool] = True
    needs_codes: bool = False
    corpus_metrics = (*_CONTOUR, HEARD, ORIGINAL, DROP, CHANCE, CONFUSION)
    interval_method = "percentile bootstrap over units and seeds"
    facts = {**PAIR_FACTS, "num_items": "integer"}  # noqa: RUF012  (a constant, typed in the base)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(ToneContourArguments)

    @property
    def tier(self) -> Tier | None:
        """The tier that items are taken from; none for whole utterances."""
        return self.arguments.interval_tier

    @property
    def fingerprint(self) -> str:
        """The versions of what tracks pitch and of what hears tones."""
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("pyworld", "scikit-learn"))

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the pitch of each item before and after."""
        from tokbench.metrics.pitch import track_pitch  # noqa: PLC0415  (imports pyworld)

        audio = utterance.read()
        items = items_of(utterance, audio.duration_s, self.arguments)
        measurement = Measurement(audio_sha256=audio.sha256, duration_s=audio.duration_s)
        measurement.facts = {"num_items": len(items)}
        sequences: list[np.ndarray] = []
        if items:
            decoded, _ = bench.decode(bench.encode(audio).codes)
            pair, facts = pair_of(audio, decoded, self.arguments)
            measurement.facts |= facts
            before, after = track_pitch(pair, "reference"), track_pitch(pair, "degraded")
            both = np.stack([before.f0_hz, after.f0_hz], axis=1).astype(np.float32)
            sequences = [
                both[slice(*np.searchsorted(before.times_s, [item.start_s, item.end_s]))] for item in items
            ]
        measurement.payload = pack_sequences(items, {_VIEW: sequences})
        return measurement

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Compare contours, train the judge, and ask it."""
        collected = Collected(payloads)
        if not collected.is_complete or not collected.sequences[_VIEW]:
            reasons = {"there is no item with a tone": collected.num_total} if collected.is_complete else {}
            return [self._missing(name, collected, reasons) for name in self.metrics]
        syllables = _syllables(collected)
        found = [
            summary
            for name, function in _CONTOUR.items()
            if name in self.metrics
            for summary in self._compared(name, function, syllables, collected)
        ]
        heard = [name for name in self.metrics if name not in _CONTOUR]
        try:
            return found + list(self._heard(syllables, collected)) if heard else found
        except UndefinedMetricError as error:
            return found + [self._missing(name, collected, {str(error): collected.num_total}) for name in heard]

    def _compared(
        self, name: str, function: str, syllables: Sequence["Syllable"], collected: Collected
    ) -> Iterator[MetricSummary]:
        from tokbench.metrics import tone_contours  # noqa: PLC0415  (the planner needs it not)

        scores = [getattr(tone_contours, function)(syllable) for syllable in syllables]
        parts = np.array([(score.total, score.weight) for score in scores])
        units = np.array(collected.columns[self.task.interval_by])
        for group, index in self._groups(collected).items():
            yield self._pooled(name, parts[index], units[index].tolist(), collected, group)

    def _pooled(
        self, name: str, parts: np.ndarray, units: Sequence[str], collected: Collected, group: str
    ) -> MetricSummary:
        """Return the number of totals and weights ``parts`` [n, 2] of items that belong to ``units`` [n]."""
        pooling = self.metrics[name].pooling
        value = Score(*parts.sum(axis=0)).value(pooling)
        if value is None:
            reasons = {"no frame is voiced before and after": collected.num_total}
            return self._missing(name, collected, reasons, group)
        low, high = bootstrap_interval(parts[:, :1], parts[:, 1:], rms=[pooling == "rms"], groups=units)[0]
        interval = (float(low), float(high)) if np.isfinite([low, high]).all() else None
        return self._summary(name, collected, group, value, interval)

    @staticmethod
    def _groups(collected: Collected) -> dict[str, np.ndarray]:
        """Return the items of all, of each language (or whatever has a judge of its own), and of each tone."""
        within, tones = collected.columns["within"], collected.columns["label"]
        groups: dict[str, list[int]] = {ALL: list(range(len(tones)))}
        for names in (within, [f"{here} {tone}".strip() for here, tone in zip(within, tones, strict=True)]):
            for name in sorted(set(names) - {""}):
                groups[name] = [item for item, found in enumerate(names) if found == name]
        return {name: np.array(items) for name, items in groups.items()}

    def _heard(self, syllables: Sequence["Syllable"], collected: Collected) -> Iterator[MetricSummary]:
        from tokbench.metrics.classification import difference, estimate  # noqa: PLC0415  (as above)

        names, before, after, majority = self._answers(syllables, collected)
        for group, index in _groups_of([name.rpartition(" ")[0] for name in names], after.labels).items():
            sides = {ORIGINAL: before.take(index), HEARD: after.take(index), CHANCE: majority.take(index)}
            for name, answers in sides.items():
                if name in self.metrics:
                    yield self._summary(name, collected, group, *estimate(answers, "accuracy"))
            if DROP in self.metrics:
                found = difference(sides[ORIGINAL], sides[HEARD], "accuracy")
                yield self._summary(DROP, collected, group, *found)
        if CONFUSION in self.metrics:
            yield from self._confusions(names, after, collected)

    def _answers(
        self, syllables: Sequence["Syllable"], collected: Collected
    ) -> "tuple[list[str], Answers, Answers, Answers]":
        """Return the names of what is heard, and what is heard in originals, in decoded audio, and by no ear."""
        from tokbench.metrics.classification import Answers  # noqa: PLC0415  (as above)
        from tokbench.metrics.tone_contours import contours  # noqa: PLC0415
        from tokbench.training.tone_judge import NOTHING, heard_tones  # noqa: PLC0415  (imports scikit-learn)

        classes, labels, trainings = trainings_of(collected.columns, self.arguments)
        original = contours([syllable.reference for syllable in syllables])
        decoded = contours([syllable.degraded for syllable in syllables])
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        majority = []
        for training in trainings:
            train, test = training.part.train, training.part.test
            numbers = np.append(training.classes, len(classes))
            for side, heard in zip(
                sides,
                heard_tones(
                    original[train],
                    training.labels[train],
                    original[test],
                    decoded[test],
                    num_seeds=self.arguments.num_seeds,
                ),
                strict=True,
            ):
                side.append(numbers[np.where(heard == NOTHING, len(training.classes), heard)])
            majority.append(np.full((1, len(test)), training.commonest))
        index = np.concatenate([training.part.test for training in trainings])
        units = [collected.columns[self.task.interval_by][item] for item in index]
        before, after, chance = (
            Answers(np.concatenate(found, axis=1), labels[index], units) for found in (*sides, majority)
        )
        return [name.replace("\t", " ").strip() for name in classes] + [_SILENT], before, after, chance

    def _confusions(
        self, names: Sequence[str], answers: "Answers", collected: Collected
    ) -> Iterator[MetricSummary]:
        """Yield the share of the items of a tone that are taken for another one, where it is not 0."""
        for true, tone in enumerate(names[:-1]):
            items = np.flatnonzero(answers.labels == true).tolist()
            units = [answers.units[item] for item in items]
            for heard, other in enumerate(names):
                shares = (answers.predicted[:, items] == heard).mean(axis=0)
                if heard != true and shares.any():
                    parts = np.stack([shares, np.ones(len(items))], axis=1)
                    group = f"{tone} as {other.rpartition(' ')[2]}"
                    yield self._pooled(CONFUSION, parts, units, collected, group)

    def _summary(
        self, name: str, collected: Collected, group: str, value: float, interval: tuple[float, float] | None
    ) -> MetricSummary:
        num_ok, num_total = collected.num_ok, collected.num_total
        return self.metrics[name].summary(
            value=value, interval=interval, group=group, num_ok=num_ok, num_total=num_total
        )

    def _missing(
        self, name: str, collected: Collected, reasons: Mapping[str, int], group: str = ALL
    ) -> MetricSummary:
        num_ok = 0 if reasons else collected.num_ok
        return self.metrics[name].summary(
            value=None, num_ok=num_ok, num_total=collected.num_total, reasons=reasons, group=group
        )


def _groups_of(within: Sequence[str], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the answers of all, and of each language, that of each of ``labels`` [N] being ``within`` it."""
    languages = np.array([within[label] for label in labels])
    names = sorted(set(languages.tolist()) - {""})
    return {ALL: np.arange(len(labels))} | {name: np.flatnonzero(languages == name) for name in names}


def _syllables(collected: Collected) -> list["Syllable"]:
    """Return the pitch of every item in semitones above the median of its speaker, or utterance where unnamed."""
    from tokbench.metrics.tone_contours import Syllable  # noqa: PLC0415  (the planner needs it not)

    columns = collected.columns
    voices = [
        speaker or utterance for speaker, utterance in zip(columns["speaker"], columns["utterance"], strict=True)
    ]
    voiced: dict[str, list[np.ndarray]] = {}
    for voice, pitch in zip(voices, collected.sequences[_VIEW], strict=True):
        voiced.setdefault(voice, []).append(pitch[pitch[:, 0] > 0, 0])
    medians = {
        voice: float(np.median(joined)) if len(joined := np.concatenate(parts)) else 1.0
        for voice, parts in voiced.items()
    }
    found = []
    for voice, pitch in zip(voices, collected.sequences[_VIEW], strict=True):
        f0_hz = np.where(pitch > 0, pitch, np.nan).astype(np.float64)
        found.append(Syllable(*(12 * np.log2(f0_hz / medians[voice])).T))
    return found
