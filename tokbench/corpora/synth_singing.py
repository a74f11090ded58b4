"""The corpus ``synth-singing``: syllables sung on notes, with the score.

A syllable by espeak-ng, on one pitch, is taken apart by WORLD; its vowel is held for as long as the note lasts, its
F0 becomes that of the note, and WORLD puts it together again: pitch and length are exact. ``text`` holds the
syllables, one for each note, and ``notes`` the score, ``pitch:duration`` by ``pitch:duration``, with MIDI pitches
and fiftieths of a second. Phones and syllables have their times.

Source: Morise et al. 2016, WORLD; pyworld.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np

from tokbench.corpora.espeak import Voice, speak
from tokbench.corpora.generated import Clip, Recipe, Row, Sound, as_int16, in_a_quiet_room
from tokbench.corpora.instruments import frequency_hz
from tokbench.corpora.intervals import Interval, Tier
from tokbench.corpora.spoken import PAD_S
from tokbench.corpora.synth_recipe import Speaker, Split, speakers_of

__all__ = ["RECIPE"]

_LANGUAGE = "es"
"""Its vowels stay as they are for as long as they last."""
_SYLLABLES = ("la", "do", "mi", "so", "ta", "ne", "pu", "ri")
_SCALE = (0, 2, 4, 5, 7, 9, 11)
_LENGTHS = (15, 20, 30)
"""Fiftieths of a second."""
_STEPS_PER_SECOND = 50
_NUM_NOTES = 5
_NUM_SONGS: dict[Split, int] = {"train": 288, "test": 24}
_TONICS = {"f": (60, 63), "m": (48, 51)}
"""MIDI pitches between which the tonic lies, by the gender of the singer."""
_FRAME_S = 0.005
_CUT_S = 0.01
"""The frames at both ends of a syllable, in which it begins and ends, are not held."""


@dataclass(frozen=True, eq=False)
class _Syllable:
    """A spoken syllable as WORLD sees it."""

    rate_hz: int
    spectrum: np.ndarray
    """float64 [F, D], power."""
    aperiodicity: np.ndarray
    """float64 [F, D]."""
    is_voiced: np.ndarray
    """bool [F]."""
    phones: tuple[Interval, ...]
    """A consonant and a vowel."""

    @property
    def onset(self) -> np.ndarray:
        """Frames int64 [F] of the consonant."""
        return np.arange(*(round(phone.start_s / _FRAME_S) for phone in self.phones))

    def held(self, num_frames: int) -> np.ndarray:
        """Return the frame int64 [``num_frames``] that is heard at each time: the vowel is drawn out, or cut."""
        first = round(self.phones[-1].start_s / _FRAME_S)
        last = len(self.spectrum) - round(_CUT_S / _FRAME_S)
        num_held = num_frames - len(self.onset)
        return np.concatenate([self.onset, np.linspace(first, last, num_held, endpoint=False).astype(np.int64)])


def _rows() -> list[Row]:
    splits: tuple[Split, ...] = ("train", "test")
    return [_row(split, number) for split in splits for number in range(_NUM_SONGS[split])]


def _row(split: Split, number: int) -> Row:
    name = f"{split}/{number:03d}"
    dice = random.Random(f"synth-singing {name}")
    speakers = speakers_of(split)
    singer = speakers[number % len(speakers)]
    tonic = dice.randint(*_TONICS[singer.gender])
    degrees = [dice.randrange(4)]
    for _ in range(_NUM_NOTES - 1):
        degrees.append(min(max(degrees[-1] + dice.choice((-2, -1, -1, 0, 1, 1, 2)), 0), len(_SCALE) - 1))
    notes = tuple((tonic + _SCALE[degree], dice.choice(_LENGTHS)) for degree in degrees)
    syllables = tuple(dice.choice(_SYLLABLES) for _ in notes)
    return Row(
        id=name.replace("/", "-"),
        clip=Clip(name, partial(_sound, name, singer, syllables, notes)),
        columns={
            "split": split,
            "speaker": singer.name,
            "gender": singer.gender,
            "language": _LANGUAGE,
            "text": " ".join(syllables),
            "notes": " ".join(f"{pitch}:{length}" for pitch, length in notes),
        },
    )


def _sound(name: str, singer: Speaker, syllables: Sequence[str], notes: Sequence[tuple[int, int]]) -> Sound:
    import pyworld  # noqa: PLC0415  (the planner knows corpora without it)

    voice = replace(singer.voice(_LANGUAGE), range=0)
    sung = [_analysed(text, voice) for text in syllables]
    frames_per_step = round(1 / (_STEPS_PER_SECOND * _FRAME_S))
    lengths = [length * frames_per_step for _, length in notes]
    held = [syllable.held(length) for syllable, length in zip(sung, lengths, strict=True)]
    spectrum, aperiodicity, is_voiced = (
        np.concatenate([getattr(syllable, part)[frames] for syllable, frames in zip(sung, held, strict=True)])
        for part in ("spectrum", "aperiodicity", "is_voiced")
    )
    f0_hz = np.repeat([float(frequency_hz(pitch)) for pitch, _ in notes], lengths) * is_voiced
    rate_hz = sung[0].rate_hz
    samples = pyworld.synthesize(f0_hz, spectrum, aperiodicity, rate_hz, 1000 * _FRAME_S)
    samples = samples[: round(len(f0_hz) * _FRAME_S * rate_hz)]
    quiet = in_a_quiet_room(as_int16(samples), num_padded=round(PAD_S * rate_hz), seed=f"synth-singing {name}")
    starts_s = PAD_S + _FRAME_S * np.cumsum([0, *lengths])
    times = zip(pairwise(starts_s.tolist()), syllables, sung, strict=True)
    return Sound(quiet, rate_hz, tuple(span for time in times for span in _intervals(*time)))


@lru_cache(maxsize=256)
def _analysed(text: str, voice: Voice) -> _Syllable:
    import pyworld  # noqa: PLC0415  (as above)

    speech = speak(text, voice)
    samples = speech.samples / 32768.0
    coarse_hz, times_s = pyworld.dio(samples, speech.sample_rate_hz, frame_period=1000 * _FRAME_S)
    f0_hz = pyworld.stonemask(samples, coarse_hz, times_s, speech.sample_rate_hz)
    spectrum = pyworld.cheaptrick(samples, f0_hz, times_s, speech.sample_rate_hz)
    aperiodicity = pyworld.d4c(samples, f0_hz, times_s, speech.sample_rate_hz)
    is_voiced = f0_hz > 0
    # The vowel is sung throughout, whatever the tracker makes of its edges.
    is_voiced[round(speech.phones[-1].start_s / _FRAME_S) + 2 :] = True
    return _Syllable(speech.sample_rate_hz, spectrum, aperiodicity, is_voiced, speech.phones)


def _intervals(time_s: tuple[float, float], text: str, syllable: _Syllable) -> Iterator[tuple[Tier, Interval]]:
    start_s, end_s = time_s
    vowel_s = start_s + len(syllable.onset) * _FRAME_S
    yield "word", Interval(start_s, end_s, text)
    for (first_s, last_s), phone in zip(pairwise((start_s, vowel_s, end_s)), syllable.phones, strict=True):
        yield "phone", Interval(first_s, last_s, phone.label)


RECIPE = Recipe(
    name="synth-singing.v2",
    labels=("speaker", "gender", "language", "text", "notes"),
    rows=_rows,
)
