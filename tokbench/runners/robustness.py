"""Robustness: whether the codes stay when the sound changes and the words do not, and when codes are coded again.

Conventions: the utterance is mixed to mono; what happens to it, happens at the rate of the corpus, and is the same
for every tokenizer. Shifts and cuts are made at the tokenizer's rate, where its frames are. The codes of a changed
utterance are compared with those of the original frame by frame, after what is known of time is undone: a shift by
the nearest whole number of frames (half a frame counts as none), another tempo by where the centre of each frame
comes to lie, in seconds, a cut from its first frame on.

Measures: the share of codes that are equal, of all codebooks, and the edit distance of the de-duplicated codes of
the first codebook. Groups are named after what happened, ``white noise 10 dB``; what ``all`` and ``codebook 1`` are
stands in :mod:`tokbench.runners.comparing`.

Source: definitions of our own in the spirit of STAB (Vashishth et al. 2024, arXiv 2409.02384); coding again is MRC
of AudioCodecBench (Wang et al. 2025), the shift of 2 ms its OS.

Intervals: a percentile bootstrap over utterances or speakers, as the task says.
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokbench.errors import NotApplicableError, SpecError
from tokbench.metrics.agreement import frames_in_proportion
from tokbench.runners import perturbations
from tokbench.runners.base import Failure, attempt
from tokbench.runners.comparing import EDITS, ComparingRunner, Comparison, Scene
from tokbench.runners.single_stream import frame_codes
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio

__all__ = ["ReencodingArguments", "ReencodingRunner", "RobustnessArguments", "RobustnessRunner"]

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
    """Codecs that were there before, such as ``opus:12kbps``, or several in turn: ``gsm > opus:6kbps``."""
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


Condition = Callable[[Scene], Comparison]
"""What happens to an utterance."""


class RobustnessRunner(ComparingRunner):
    """Changes the sound in ways that the words do not follow."""

    utterance_metrics = ("token_agreement", EDITS)

    def __init__(self, task: Task) -> None:
        self.arguments = task.checked_arguments(RobustnessArguments)
        self._conditions = dict(_conditions(self.arguments))
        if not self._conditions:
            raise SpecError(task.id, ["arguments: no perturbation is named"])
        super().__init__(task)

    def _names(self) -> list[str]:
        return list(self._conditions)

    def _compare(self, scene: Scene) -> Iterator[Comparison | Failure]:
        for condition in self._conditions.values():
            yield attempt(lambda condition=condition: condition(scene))  # type: ignore[misc]


class ReencodingRunner(ComparingRunner):
    """Decodes codes and encodes what comes out, again and again."""

    needs_decoder: ClassVar[bool] = True
    utterance_metrics = ("reencoding_agreement",)

    def __init__(self, task: Task) -> None:
        self.arguments = task.checked_arguments(ReencodingArguments)
        super().__init__(task)

    def _names(self) -> list[str]:
        return [_generation(number) for number in sorted(set(self.arguments.generations))]

    def _compare(self, scene: Scene) -> Iterator[Comparison | Failure]:
        codes = scene.bench.encode(scene.prepared).codes
        for number in range(1, max(self.arguments.generations) + 1):
            audio, _ = scene.bench.decode(codes)
            codes = scene.bench.encode(audio).codes
            if number in self.arguments.generations:
                again = frame_codes(scene.bench.tokenizer.info, codes)
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

    def __call__(self, scene: Scene) -> Comparison:
        generator = perturbations.generator_for(scene.utterance_id, self.seed)
        audio = self.change(scene.audio, generator=generator)
        original, changed = scene.original.indices, scene.encode(audio).indices
        if round(audio.duration_s * scene.audio.sample_rate_hz) == scene.audio.num_samples:
            return Comparison(original, changed)
        ratio = audio.duration_s / scene.audio.duration_s
        places = frames_in_proportion(original.shape[1], changed.shape[1], ratio)
        return Comparison(original, changed[:, places], changed_units=changed[0])


def _louder(audio: "Audio", *, gain_db: float, generator: np.random.Generator) -> "Audio":  # noqa: ARG001
    return perturbations.at_gain(audio, gain_db)


def _coded(audio: "Audio", *, codec: str, generator: np.random.Generator) -> "Audio":  # noqa: ARG001
    return perturbations.through_codecs(audio, codec)


def _shifted(
    scene: Scene, *, num_samples: int | None = None, seconds: float = 0.0, num_frames: float = 0.0
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


def _cut(scene: Scene, *, share: float) -> Comparison:
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
