"""Reconstruction: how close decoded audio is to what went in.

Conventions: reference and decoded audio are mixed to mono and resampled to the task's rate. Length, delay and
polarity are looked at before any metric; what was found is a fact of the utterance's row, and is compensated if
the task says so (a constant delay is a property of a codec, not a distortion of its sound).

Measures: whatever the task lists from the catalogue, each a function of the same pair of signals.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tokbench.errors import MissingPackageError, UndefinedMetricError
from tokbench.metrics.base import MAX_DELAY_S, Metric, Score, SignalPair
from tokbench.metrics.catalogue import METRICS, missing_packages
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.corpora.base import Utterance

__all__ = ["PAIR_FACTS", "ReconstructionArguments", "ReconstructionRunner", "pair_of", "score_pair"]

PAIR_FACTS: Mapping[str, Literal["integer", "number", "boolean", "text"]] = {
    "delay_samples": "integer",
    "inverted": "boolean",
    "correlation": "number",
    "length_difference_samples": "integer",
    "compensated": "boolean",
}
"""What :func:`pair_of` tells of a pair."""


class ReconstructionArguments(StrictModel):
    """The ``[arguments]`` of a reconstruction task."""

    sample_rate_hz: int = 16000
    """Rate at which everything is compared."""
    compensate: bool = True
    """Whether a delay or inversion that was found is undone before the metrics."""
    max_delay_s: float = MAX_DELAY_S
    """Longest delay, in either direction, that is looked for."""


class ReconstructionRunner(Runner):
    """Scores decoded audio against the original."""

    needs_decoder: ClassVar[bool] = True
    utterance_metrics = tuple(name for name, metric in METRICS.items() if metric.function)
    facts = PAIR_FACTS

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(ReconstructionArguments)

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:
        """Encode, decode, compare."""
        audio = utterance.read()
        decoded, _ = bench.decode(bench.encode(audio).codes)
        pair, facts = pair_of(audio, decoded, self.arguments)
        measurement = score_pair(pair, self.metrics)
        measurement.facts = facts
        measurement.audio_sha256, measurement.duration_s = audio.sha256, audio.duration_s
        if with_examples:
            measurement.examples = _examples(pair)
        return measurement


def pair_of(
    audio: "Audio", decoded: "Audio", arguments: ReconstructionArguments
) -> tuple[SignalPair, dict[str, Any]]:
    """Return what is to be compared, and what was found of length, delay and polarity: :data:`PAIR_FACTS`."""
    from tokbench.metrics.alignment import align, find_alignment  # noqa: PLC0415  (imports scipy)

    rate_hz = arguments.sample_rate_hz
    reference = audio.to_channels(1).resample(rate_hz).mono()
    degraded = decoded.to_channels(1).resample(rate_hz).mono()
    found = find_alignment(reference, degraded, round(arguments.max_delay_s * rate_hz))
    applied = found.credible if arguments.compensate else found.none
    pair = SignalPair(reference, align(reference, degraded, applied), rate_hz)
    facts = {
        "delay_samples": found.delay_samples,
        "inverted": found.inverted,
        "correlation": found.correlation,
        "length_difference_samples": found.length_difference,
        "compensated": applied != found.none,
    }
    return pair, facts


def score_pair(pair: SignalPair, metrics: Mapping[str, Metric]) -> Measurement:
    """Return the score, or the reason of the failure, of every metric on ``pair``."""
    measurement = Measurement()
    for name, metric in metrics.items():
        outcome = attempt(lambda metric=metric: _score(metric, pair))  # type: ignore[misc]
        if isinstance(outcome, Failure):
            measurement.failures[name] = outcome
        else:
            measurement.scores[name] = outcome
    return measurement


def _score(metric: Metric, pair: SignalPair) -> Score:
    if missing := missing_packages(metric):
        raise MissingPackageError(metric.name, missing)
    score = metric.resolve()(pair)
    value = score.value(metric.pooling)
    if value is not None and not metric.accepts(value):
        low, high = metric.bounds
        msg = f"{metric.name} is {value:g}, outside of its bounds {low} .. {high}"
        raise UndefinedMetricError(msg)
    return score


def _examples(pair: SignalPair) -> dict[str, bytes]:
    from tokbench.pictures import flac_bytes, spectrogram_png  # noqa: PLC0415  (imports torch)

    files = {}
    for name, samples in (("original", pair.reference), ("decoded", pair.degraded)):
        files[f"{name}.flac"] = flac_bytes(samples, pair.sample_rate_hz)
        files[f"{name}.png"] = spectrogram_png(samples, pair.sample_rate_hz)
    return files
