"""Speaker: whose voice decoded speech still is, to the ear of a judge.

Conventions: the judge hears original and decoded audio, each mixed to mono and resampled to its rate. Every pair of
two different recordings is a trial: the original of one, and what a codec made of the other. Recordings whose
speaker the corpus does not name take no part in trials.

Measures: the cosine of both embeddings of an utterance, and the equal error rate over trials.

Intervals: of the equal error rate, a bootstrap over speakers.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokbench.errors import NotApplicableError, UndefinedMetricError
from tokbench.judges.base import SpeakerEncoder
from tokbench.judges.registry import find_speaker_encoder
from tokbench.metrics.base import Score
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Failure, Measurement, attempt
from tokbench.runners.judged import JudgedArguments, JudgedRunner
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.corpora.base import Utterance

__all__ = ["SpeakerArguments", "SpeakerRunner", "rate_of"]

SIMILARITY, EER = "speaker_similarity", "speaker_eer"


class SpeakerArguments(JudgedArguments):
    """The ``[arguments]`` of a speaker task."""

    judge: str = "resemblyzer"
    """Who listens: ``resemblyzer``, ``ecapa`` or ``wavlm-sv``. Other judges are other tasks."""
    max_trials: int | None = Field(default=500_000, gt=0)
    """Trials of one speaker, and of two, that are used at most, drawn once."""


class SpeakerRunner(JudgedRunner[SpeakerEncoder]):
    """Compares voices before and after a codec."""

    needs_decoder: ClassVar[bool] = True
    needs_codes: bool = False
    utterance_metrics = (SIMILARITY,)
    corpus_metrics = (EER,)
    interval_method = "percentile bootstrap; over speakers of the equal error rate"

    arguments: SpeakerArguments

    def _read_arguments(self, task: Task) -> None:
        self.arguments = task.checked_arguments(SpeakerArguments)

    def _find_judge(self) -> SpeakerEncoder:
        return find_speaker_encoder(self.arguments.judge)

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the cosine of the voices before and after, and both embeddings."""
        audio = utterance.read()
        measurement = Measurement(audio_sha256=audio.sha256, duration_s=audio.duration_s)
        original = attempt(lambda: self._of_original(audio))
        embeddings = (
            original if isinstance(original, Failure) else attempt(lambda: self._both(bench, audio, original))
        )
        if isinstance(embeddings, Failure):
            measurement.failures = {name: embeddings for name in self.metrics if name != EER}
            # Of a recording without a voice there is no trial, which costs no codec anything.
            measurement.payload = _packed(np.zeros((2, 0)), "") if embeddings.is_not_applicable else None
            return measurement
        if SIMILARITY in self.metrics:
            cosine = float(np.clip(embeddings[0].astype(np.float64) @ embeddings[1], -1.0, 1.0))
            measurement.scores[SIMILARITY] = Score(cosine)
        measurement.payload = _packed(embeddings, utterance.speaker)
        return measurement

    def _of_original(self, audio: "Audio") -> np.ndarray:
        try:
            embedding: np.ndarray = self._judge.embed([audio])[0]
        except UndefinedMetricError as error:
            raise NotApplicableError(f"original: {error}") from error
        return embedding

    def _both(self, bench: Bench, audio: "Audio", original: np.ndarray) -> np.ndarray:
        return np.stack([original, self._judge.embed([self._decoded(bench, audio)])[0]])

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return the equal error rate over all trials."""
        if EER not in self.metrics:
            return []
        pairs, speakers, num_total, num_silent = [], [], 0, 0
        for payload in payloads:
            num_total += 1
            if payload is None:
                continue
            with open_arrays(payload) as file:
                embeddings, speaker = file["embeddings"], str(file["speaker"])
            if embeddings.size == 0:
                num_silent += 1
                continue
            pairs.append(embeddings)
            speakers.append(speaker)
        num_total -= num_silent
        value, interval, reason = None, None, "an utterance could not be measured"
        if len(pairs) == num_total:
            value, interval = rate_of(pairs, speakers, self.arguments.max_trials)
            reason = "there are no two recordings of one speaker, or no two speakers"
        return [
            self.metrics[EER].summary(
                value=value,
                interval=interval,
                num_ok=len(pairs),
                num_total=num_total,
                num_not_applicable=num_silent,
                reasons={reason: num_total} if value is None else None,
            )
        ]


def rate_of(
    pairs: Sequence[np.ndarray], speakers: Sequence[str], max_trials: int | None
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the equal error rate over the trials of ``pairs`` [N, 2, D], and its interval.

    The first of a pair is enrolled, and the second of another recording is tested; both have unit length. Where a
    recording's speaker is not named, it takes no part. None where there are no trials of either kind.
    """
    from tokbench.metrics import verification  # noqa: PLC0415  (used at the end of a cell alone)

    named = [place for place, speaker in enumerate(speakers) if speaker]
    if not named:
        return None, None
    embeddings = np.stack([pairs[place] for place in named])
    _, codes = np.unique([speakers[place] for place in named], return_inverse=True)
    trials = verification.cross_trials(embeddings[:, 0], embeddings[:, 1], codes, max_trials=max_trials)
    value = verification.equal_error_rate(trials)
    return value, verification.bootstrap(trials) if value is not None else None


def _packed(embeddings: np.ndarray, speaker: str) -> bytes:
    return pack_arrays(embeddings=embeddings.astype(np.float32), speaker=np.str_(speaker))
