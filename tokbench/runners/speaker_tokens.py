"""Speakers in tokens: whether tokens alone tell whose voice it was, of speakers that were never heard before.

Conventions: features of a recording are the embeddings of its codes, and what was quantized; a recording is their
means and deviations over its frames, or over pieces of it. Directions that tell speakers apart are found on the
training part of the corpus (:mod:`tokbench.training.voice_projection`), once for each view. Speakers of the test
are others. Every pair of two different recordings of the test is a trial, scored by the cosine; recordings whose
speaker is not named take no part.

Measures: the equal error rate over trials, of all codebooks together, of the first, and of what was quantized,
which is as good as the tokens can be. 0.5 are tokens that do not tell whose they are.

Intervals: a bootstrap over speakers.
"""

import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokbench.errors import NotSupportedError, TrainingError
from tokbench.paths import atomic_write
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Measurement
from tokbench.runners.learning import LearningArguments, LearningRunner
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.probe_items import Views, wanted_views
from tokbench.runners.speaker import rate_of
from tokbench.runners.views import ALL, views_of
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio, Features
    from tokbench.corpora.base import Utterance
    from tokbench.training.voice_projection import VoiceProjection

__all__ = ["SpeakerTokensArguments", "SpeakerTokensRunner"]

EER, LATENTS = "token_speaker_eer", "token_speaker_eer_latents"
_BEFORE = "latents"
"""Name of the view of what was quantized."""
_SPEAKER = "speaker"


class SpeakerTokensArguments(LearningArguments):
    """The ``[arguments]`` of a task on speakers in tokens."""

    views: Views = "ends"
    """Whether all codebooks are looked at, all and the first, or 1, 2, 4 … as well."""
    piece_s: float = Field(default=2.0, gt=0)
    """Length of the pieces of a recording that are learnt from, so that one recording of a speaker is several."""
    max_per_speaker: int = Field(default=40, gt=0)
    """Recordings of a speaker that are learnt from at most, the first ones of the corpus."""
    max_trials: int | None = Field(default=500_000, gt=0)
    """Trials of one speaker, and of two, that are used at most, drawn once."""


class SpeakerTokensRunner(LearningRunner):
    """Tells speakers apart by tokens."""

    needs_decoder: ClassVar[bool] = False
    needs_codes: bool = False
    corpus_metrics = (EER, LATENTS)
    interval_method = "percentile bootstrap over speakers"
    arguments: SpeakerTokensArguments

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(SpeakerTokensArguments)

    def missing(self) -> str | None:
        """Return why there is nothing to learn from, or nothing to ask about that is new."""
        if (reason := super().missing()) is not None:
            return reason
        known = {utterance.speaker for utterance in self.learnt} - {""}
        both = sorted(known & {utterance.speaker for utterance in self.measured})
        if both:
            return f"{self.learnt.reference}: {both[0]} is learnt from, and is to be told apart unheard"
        return None if len(known) > 1 else f"{self.learnt.reference} names fewer than two speakers to learn from"

    @property
    def fingerprint(self) -> str:
        """What is learnt from, and by what."""
        return f"{super().fingerprint}, scikit-learn {importlib.metadata.version('scikit-learn')}"

    def teach(self, bench: Bench, path: Path) -> None:
        """Find the directions of every view."""
        from safetensors.numpy import save  # noqa: PLC0415  (the planner knows runners without)

        from tokbench.training.voice_projection import VoiceProjection, statistics_of  # noqa: PLC0415

        statistics: dict[str, list[np.ndarray]] = defaultdict(list)
        speakers: dict[str, list[str]] = defaultdict(list)
        for utterance in self._lessons():
            for view, features in self._features(bench, utterance.read()):
                for piece in _pieces(features, self.arguments.piece_s):
                    statistics[view].append(statistics_of(piece))
                    speakers[view].append(utterance.speaker)
        arrays: dict[str, np.ndarray] = {}
        for view, rows in statistics.items():
            _, codes = np.unique(speakers[view], return_inverse=True)
            try:
                found = VoiceProjection.fit(np.stack(rows), codes)
            except ValueError as error:
                raise TrainingError(f"{view} of {bench.tokenizer.info.name}: {error}") from error
            arrays |= {f"{view}.mean": found.mean, f"{view}.directions": found.directions}
        with atomic_write(path) as temporary:
            temporary.write_bytes(save(arrays))

    def _lessons(self) -> Iterator["Utterance"]:
        """Yield the recordings that are learnt from."""
        counts: Counter[str] = Counter()
        for utterance in self.learnt:
            counts[utterance.speaker] += 1
            if utterance.speaker and counts[utterance.speaker] <= self.arguments.max_per_speaker:
                yield utterance

    def _features(self, bench: Bench, audio: "Audio") -> Iterator[tuple[str, "Features"]]:
        yield from wanted_views(bench, audio, self.arguments.views, "quantized")
        if LATENTS in self.metrics:
            try:
                yield from ((_BEFORE, features) for _, features in views_of(bench, audio, "latents"))
            except NotSupportedError:
                return  # what is quantized is not told

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return where the recording lies in every view."""
        from tokbench.training.voice_projection import statistics_of  # noqa: PLC0415  (imports scikit-learn)

        audio = utterance.read()
        projections = _read(self.file(bench))
        found = {
            f"at:{view}": projections[view].embed(statistics_of(features.values.numpy())[None])[0]
            for view, features in self._features(bench, audio)
        }
        return Measurement(
            payload=pack_arrays(**found, **{_SPEAKER: np.str_(utterance.speaker)}),
            audio_sha256=audio.sha256,
            duration_s=audio.duration_s,
        )

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return the equal error rates over all trials."""
        places: dict[str, list[np.ndarray]] = defaultdict(list)
        speakers, num_total = [], 0
        for payload in payloads:
            num_total += 1
            if payload is None:
                continue
            with open_arrays(payload) as file:
                speakers.append(str(file[_SPEAKER]))
                for key in file.files:
                    if key.startswith("at:"):
                        places[key.removeprefix("at:")].append(file[key])
        if not places or len(speakers) < num_total:
            return [self._summary(name, ALL, None, len(speakers), num_total) for name in self.metrics]
        found = []
        for view, rows in places.items():
            name = LATENTS if view == _BEFORE else EER
            if name in self.metrics:
                rate = rate_of([np.stack([row, row]) for row in rows], speakers, self.arguments.max_trials)
                found.append(self._summary(name, ALL if view == _BEFORE else view, rate, num_total, num_total))
        if LATENTS in self.metrics and _BEFORE not in places:
            reasons = {"the tokenizer does not tell what it quantizes": num_total}
            found.append(self.metrics[LATENTS].summary(value=None, num_ok=0, num_total=num_total, reasons=reasons))
        return found

    def _summary(
        self,
        name: str,
        group: str,
        rate: tuple[float | None, tuple[float, float] | None] | None,
        num_ok: int,
        num_total: int,
    ) -> MetricSummary:
        value, interval = rate or (None, None)
        reasons = {"there are no two recordings of one speaker, or no two speakers": num_total}
        return self.metrics[name].summary(
            value=value,
            interval=interval,
            group=group,
            num_ok=num_ok,
            num_total=num_total,
            reasons=reasons if rate is not None and value is None else None,
        )


def _pieces(features: "Features", piece_s: float) -> list[np.ndarray]:
    """Return the frames [F, D] of all whole pieces of a recording, or all of a shorter one."""
    frames = features.values.numpy()
    length = max(round(piece_s * features.frame_rate_hz), 1)
    whole = range(0, len(frames) - length + 1, length)
    return [frames[start : start + length] for start in whole] or [frames]


@lru_cache(maxsize=2)
def _read(path: Path) -> dict[str, "VoiceProjection"]:
    """Return the projection of each view."""
    from safetensors.numpy import load_file  # noqa: PLC0415  (the planner knows runners without)

    from tokbench.training.voice_projection import VoiceProjection  # noqa: PLC0415  (imports scikit-learn)

    arrays = load_file(path)
    views = {name.rpartition(".")[0] for name in arrays}
    return {view: VoiceProjection(arrays[f"{view}.mean"], arrays[f"{view}.directions"]) for view in views}
