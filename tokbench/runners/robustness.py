"""Robustness: whether the codes stay when the sound changes and the words do not, and when codes are coded again.

Conventions: the utterance is mixed to mono; what happens to it, happens at the rate of the corpus, and is the same
for every tokenizer. Shifts and cuts are made at the tokenizer's rate, where its frames are. The codes of a changed
utterance are compared with those of the original frame by frame, after what is known of time is undone: a shift by
the nearest whole number of frames (half a frame counts as none), another tempo in proportion, a cut from its
first frame on.

Measures: the share of codes that are equal, of all codebooks, and the edit distance of the de-duplicated codes of
the first codebook. Groups are named after what happened, ``white noise 10 dB``; ``codebook 1`` is the mean over all
that happened, for one codebook; ``all`` is that of all codebooks. Everything that happens has the same weight. An
utterance counts by its frames, or by its units.

Source: definitions of our own in the spirit of STAB (Vashishth et al. 2024, arXiv 2409.02384); coding again is MRC
of AudioCodecBench (Wang et al. 2025), the shift of 2 ms its OS.

Intervals: a percentile bootstrap over utterances or speakers, as the task says.
"""

import functools
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokbench.errors import NotApplicableError, SpecError
from tokbench.metrics.agreement import code_agreement, frames_in_proportion, unit_edits
from tokbench.metrics.base import Metric, Score
from tokbench.records import MetricSummary
from tokbench.runners import perturbations
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.single_stream import FrameCodes, frame_codes
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task
from tokbench.stats import MIN_UNITS, group_sums, percentile_interval, resample

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.corpora.base import Utterance

__all__ = ["ReencodingArguments", "ReencodingRunner", "RobustnessArguments", "RobustnessRunner"]

AGREEMENT, EDITS, AGAIN = "token_agreement", "unit_edit_distance", "reencoding_agreement"
_WHITE, _PINK = 0.0, 1.0
_MIN_FRAMES_TO_CUT = 4
_ROUNDING = 1e-6


class RobustnessArguments(StrictModel):
    """The ``[arguments]`` of a robustness task: each value is one perturbation."""

    white_noise_snr_db: tuple[float, ...] = ()
    """Energy of the utterance in that of noise with a flat spectrum."""
    pink_noise_snr_db: tuple[float, ...] = ()
    """The same of noise with a power of 1/f."""
    rt60_s: tuple[float, ...] = ()
    """Seconds in which the sound of a room falls by 60 dB."""
    pitch_semitones: tuple[float, ...] = ()
    """By which the pitch is raised."""
    tempo: tuple[float, ...] = ()
    """How many times as fast it is said."""
    gain_db: tuple[float, ...] = ()
    """By which it is louder."""
    codec_chain: tuple[str, ...] = ()
    """Codecs that were there before, such as ``opus:12kbps``."""
    shift_samples: tuple[int, ...] = ()
    """Zeros before the utterance, at the tokenizer's rate."""
    shift_s: tuple[float, ...] = ()
    """Seconds of silence before the utterance."""
    shift_frames: tuple[float, ...] = ()
    """Frames of silence before the utterance."""
    kept_share: tuple[float, ...] = ()
    """Share in the middle of the utterance that is encoded on its own."""


class ReencodingArguments(StrictModel):
    """The ``[arguments]`` of a reencoding task."""

    generations: tuple[int, ...] = Field(default=(1, 2, 5, 10), min_length=1)
    """How many times the codes have been decoded and encoded again when they are compared with the first."""


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
class _Scene:
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
        return frame_codes(self.bench.tokenizer.info.name, self.bench.encode(audio).codes)


Condition = Callable[[_Scene], Comparison]
"""What happens to an utterance."""


class _ComparingRunner(Runner):
    """Compares the codes of an utterance with those of what became of it, under named conditions."""

    needs_decoder: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.names = self._names()

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the names of the conditions."""

    @abstractmethod
    def _compare(self, scene: _Scene) -> Iterator[Comparison | Failure]:
        """Yield what is found under each condition, in order."""

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Encode the utterance and what becomes of it, and compare."""
        audio = utterance.read()
        scene = _Scene(bench, utterance.id, audio.to_channels(1))
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


class RobustnessRunner(_ComparingRunner):
    """Changes the sound in ways that the words do not follow."""

    def __init__(self, task: Task) -> None:
        self.arguments = task.checked_arguments(RobustnessArguments)
        self._conditions = dict(_conditions(self.arguments))
        if not self._conditions:
            raise SpecError(task.id, ["arguments: no perturbation is named"])
        super().__init__(task)

    def _names(self) -> list[str]:
        return list(self._conditions)

    def _compare(self, scene: _Scene) -> Iterator[Comparison | Failure]:
        for condition in self._conditions.values():
            yield attempt(lambda condition=condition: condition(scene))  # type: ignore[misc]


class ReencodingRunner(_ComparingRunner):
    """Decodes codes and encodes what comes out, again and again."""

    needs_decoder: ClassVar[bool] = True

    def __init__(self, task: Task) -> None:
        self.arguments = task.checked_arguments(ReencodingArguments)
        super().__init__(task)

    def _names(self) -> list[str]:
        return [_generation(number) for number in sorted(set(self.arguments.generations))]

    def _compare(self, scene: _Scene) -> Iterator[Comparison | Failure]:
        codes = scene.bench.encode(scene.prepared).codes
        for number in range(1, max(self.arguments.generations) + 1):
            audio, _ = scene.bench.decode(codes)
            codes = scene.bench.encode(audio).codes
            if number in self.arguments.generations:
                again = frame_codes(scene.bench.tokenizer.info.name, codes)
                yield Comparison(scene.original.indices, again.indices)


def _generation(number: int) -> str:
    return f"generation {number}"


def _conditions(arguments: RobustnessArguments) -> Iterator[tuple[str, Condition]]:
    """Yield each perturbation with its name."""
    noises = (("white", _WHITE, arguments.white_noise_snr_db), ("pink", _PINK, arguments.pink_noise_snr_db))
    for colour, exponent, ratios_db in noises:
        for snr_db in ratios_db:
            noise = functools.partial(perturbations.in_noise, snr_db=snr_db, exponent=exponent)
            yield f"{colour} noise {snr_db:g} dB", _Heard(noise, f"{colour} noise")
    for rt60_s in arguments.rt60_s:
        yield (
            f"reverberation {rt60_s:g} s",
            _Heard(functools.partial(perturbations.in_a_room, rt60_s=rt60_s), "room"),
        )
    for semitones in arguments.pitch_semitones:
        change = functools.partial(perturbations.at_pitch, semitones=semitones)
        yield f"pitch {semitones:+g} semitones", _Heard(change, "pitch")
    for factor in arguments.tempo:
        yield f"tempo {factor:g}", _Heard(functools.partial(perturbations.at_tempo, factor=factor), "tempo")
    for gain_db in arguments.gain_db:
        yield f"gain {gain_db:+g} dB", _Heard(functools.partial(_louder, gain_db=gain_db), "gain")
    for codec in arguments.codec_chain:
        yield codec, _Heard(functools.partial(_coded, codec=codec), codec)
    yield from _in_time(arguments)


def _in_time(arguments: RobustnessArguments) -> Iterator[tuple[str, Condition]]:
    for count in arguments.shift_samples:
        yield f"shift {count} sample{'s' * (count > 1)}", functools.partial(_shifted, num_samples=count)
    for seconds in arguments.shift_s:
        yield f"shift {1000 * seconds:g} ms", functools.partial(_shifted, seconds=seconds)
    for frames in arguments.shift_frames:
        yield f"shift {frames:g} frame{'s' * (frames > 1)}", functools.partial(_shifted, num_frames=frames)
    for share in arguments.kept_share:
        yield f"middle {100 * share:g} % alone", functools.partial(_cut, share=share)


@dataclass(frozen=True)
class _Heard:
    """A change of the sound; where it lasts as long as before, frames are compared as they are."""

    change: "Callable[..., Audio]"
    """Takes the audio and a generator."""
    seed: str
    """What draws together: levels of one noise are the same noise."""

    def __call__(self, scene: _Scene) -> Comparison:
        generator = perturbations.generator_for(scene.utterance_id, self.seed)
        audio = self.change(scene.audio, generator=generator)
        original, changed = scene.original.indices, scene.encode(audio).indices
        if round(audio.duration_s * scene.audio.sample_rate_hz) == scene.audio.num_samples:
            return Comparison(original, changed)
        places = frames_in_proportion(original.shape[1], changed.shape[1])
        return Comparison(original, changed[:, places], changed_units=changed[0])


def _louder(audio: "Audio", *, gain_db: float, generator: np.random.Generator) -> "Audio":  # noqa: ARG001
    return perturbations.at_gain(audio, gain_db)


def _coded(audio: "Audio", *, codec: str, generator: np.random.Generator) -> "Audio":  # noqa: ARG001
    return perturbations.through_codec(audio, codec)


def _shifted(
    scene: _Scene, *, num_samples: int | None = None, seconds: float = 0.0, num_frames: float = 0.0
) -> Comparison:
    """Begin with zeros, and take away as many whole frames from the codes."""
    import torch  # noqa: PLC0415  (the planner knows runners without torch)

    from tokbench.audio import Audio  # noqa: PLC0415

    audio, original = scene.prepared, scene.original
    rate_hz, frame_rate_hz = audio.sample_rate_hz, original.frame_rate_hz
    if num_samples is None:
        exact = (seconds + num_frames / frame_rate_hz) * rate_hz
        # Downwards, so that half a frame is never more than half of one.
        num_samples = max(math.floor(exact + _ROUNDING), 1)
    later = Audio(torch.nn.functional.pad(audio.samples, (num_samples, 0)), rate_hz)
    whole = math.ceil(num_samples * frame_rate_hz / rate_hz - 0.5 - _ROUNDING)
    changed = scene.encode(later).indices[:, whole:]
    return Comparison(original.indices, changed[:, : original.num_frames])


def _cut(scene: _Scene, *, share: float) -> Comparison:
    """Encode whole frames in the middle without what is around them."""
    from tokbench.audio import Audio  # noqa: PLC0415  (imports torch)

    audio, original = scene.prepared, scene.original
    if original.num_frames < _MIN_FRAMES_TO_CUT:
        msg = f"{original.num_frames} frames have no middle"
        raise NotApplicableError(msg)
    kept = max(round(original.num_frames * share), 1)
    first = (original.num_frames - kept) // 2
    start, stop = (round(frame * audio.sample_rate_hz / original.frame_rate_hz) for frame in (first, first + kept))
    alone = scene.encode(Audio(audio.samples[:, start:stop].contiguous(), audio.sample_rate_hz))
    return Comparison(original.indices[:, first : first + kept], alone.indices[:, :kept])
