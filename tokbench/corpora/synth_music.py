"""The corpus ``synth-music``: melodies made by rule and played on instruments made of harmonics, with their scores.

A melody is a walk on a scale: the next degree is drawn by the two before it, near ones rather than far ones, and
back after a leap (a Markov chain of order 2). ``key``, ``mode``, ``tempo`` and ``instrument`` are labels; ``notes``
is the score, ``pitch:duration`` by ``pitch:duration``, with MIDI pitches and fiftieths of a second, without gaps;
``caption`` tells all of it but the notes in words, and ``captions`` holds five ways to do so, separated by `` | ``.
``kind`` is one of

- ``melody``: one instrument, one channel;
- ``stereo``: a melody and a bass on two instruments, in two channels; ``pan`` and ``bass_pan`` tell where each is,
  at constant power. Neither place follows from the instruments, as that of the bass did in version 1.

Training and test share no melody. There is more to learn from in the split ``train-large``.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import count, product
from pathlib import Path

import numpy as np

from tokbench.corpora.generated import Clip, Recipe, Row, Sound, as_int16
from tokbench.corpora.instruments import INSTRUMENTS, Note, played
from tokbench.corpora.synth_recipe import Part
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["MODES", "NOTES_PER_SECOND", "PANS", "RATE_HZ", "RECIPE", "TONICS", "Melody"]

_GRAMMAR = Path(__file__).parent / "grammars" / "music.toml"
RATE_HZ = 24000
DURATION_S = 4.0
NOTES_PER_SECOND = 50
"""Steps of a second in which the score tells durations."""
TONICS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
"""In semitones above C."""
MODES: Mapping[str, tuple[int, ...]] = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
"""Scales in semitones above the tonic; minor is the natural one."""
PANS: Mapping[str, float] = {"left": 0.15, "middle": 0.5, "right": 0.85}
"""Places from 0, all left, to 1, all right."""
_BEATS_PER_SECOND = {"slow": 1.25, "moderate": 2.0, "fast": 3.125}
"""A beat is a whole number of fiftieths of a second."""
_NUM_MELODIES: dict[Part, int] = {"train": 192, "test": 48, "train-large": 768}
_NUM_STEREO: dict[Part, int] = {"train": 216, "test": 48, "train-large": 648}
_LOWEST, _HIGHEST = 57, 81
"""Pitches between which a melody stays."""
_LEVEL, _BASS_LEVEL, _FLOOR = 0.4, 0.35, 1e-4
_LENGTHS = (1, 1, 1, 2)
"""Beats of a note, of which one is drawn."""


class _Grammar(StrictModel):
    captions: tuple[str, ...]
    stereo_captions: tuple[str, ...]


@dataclass(frozen=True)
class Melody:
    """What is played."""

    name: str
    key: int
    """Semitones above C."""
    mode: str
    tempo: str

    def notes(self) -> list[Note]:
        """Return the score, which fills the time without gaps."""
        dice = random.Random(f"synth-music {self.name}")
        beat = round(NOTES_PER_SECOND / _BEATS_PER_SECOND[self.tempo])
        notes: list[Note] = []
        place, total = 0, round(DURATION_S * NOTES_PER_SECOND)
        degrees = [0, dice.choice((-1, 1, 2))]
        while place < total:
            length = min(beat * dice.choice(_LENGTHS), total - place)
            notes.append(Note(self._pitch(degrees[-1]), place / NOTES_PER_SECOND, length / NOTES_PER_SECOND))
            place += length
            degrees.append(self._next(degrees[-2], degrees[-1], dice))
        return notes

    def bass(self) -> list[Note]:
        """Return the tonic, the fifth and the tonic, each held for two beats, again and again."""
        length_s = 2 / _BEATS_PER_SECOND[self.tempo]
        starts = np.arange(0.0, DURATION_S - 1e-9, length_s)
        low = 36 + (self.key + 7) % 12 - 7
        pitches = (low, low + 7)
        return [
            Note(pitches[index % len(pitches)], float(start), min(length_s, DURATION_S - float(start)))
            for index, start in enumerate(starts)
        ]

    def _pitch(self, degree: int) -> int:
        scale = MODES[self.mode]
        octave, step = divmod(degree, len(scale))
        # The tonic nearest to the middle of the range.
        middle = (_LOWEST + _HIGHEST) // 2
        tonic = middle + (self.key - middle + 6) % 12 - 6
        return tonic + 12 * octave + scale[step]

    def _next(self, before: int, last: int, dice: random.Random) -> int:
        """Return the next degree: a step more often than a leap, and after a leap a step back."""
        leap = last - before
        if abs(leap) > 1:
            return last - (1 if leap > 0 else -1)
        moves = (-3, -2, -1, 0, 1, 2, 3)
        allowed = [move for move in moves if _LOWEST <= self._pitch(last + move) <= _HIGHEST]
        return last + dice.choices(allowed, weights=[_WEIGHTS[abs(move)] for move in allowed])[0]


_WEIGHTS = {0: 1, 1: 5, 2: 2, 3: 1}
"""Of a move by so many degrees, up or down."""


def _rows(*parts: Part) -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    return [
        row
        for split in parts
        for row in (
            *(_melody(grammar, split, number) for number in range(_NUM_MELODIES[split])),
            *(_stereo(grammar, split, number) for number in range(_NUM_STEREO[split])),
        )
    ]


def _melody(grammar: _Grammar, split: Part, number: int) -> Row:
    melody, instrument = _drawn(split, "melody", number)
    clip = Clip(melody.name, partial(_mono, melody, instrument))
    return _row("melody", melody, instrument, clip, grammar.captions, {})


def _stereo(grammar: _Grammar, split: Part, number: int) -> Row:
    melody, instrument = _drawn(split, "stereo", number)
    others = [name for name in INSTRUMENTS if name != instrument]
    round_index = number // len(INSTRUMENTS)
    bass = others[round_index % len(others)]
    # The places go on by one more after each round, and after all pairs of instruments: each pair comes to each.
    places = list(product(PANS, PANS))
    pan, bass_pan = places[(number + round_index + round_index // len(others)) % len(places)]
    clip = Clip(melody.name, partial(_two_channels, melody, {instrument: pan, bass: bass_pan}))
    facts = {"pan": pan, "bass": bass, "bass_pan": bass_pan}
    return _row("stereo", melody, instrument, clip, grammar.stereo_captions, facts)


def _drawn(split: Part, kind: str, number: int) -> tuple[Melody, str]:
    name = f"{split}/{kind}-{number:03d}"
    melodies = (_melody_of(name, "again " * attempt) for attempt in count())
    melody = next(melody for melody in melodies if split == "test" or tuple(melody.notes()) not in _tested())
    return melody, list(INSTRUMENTS)[number % len(INSTRUMENTS)]


def _melody_of(name: str, again: str) -> Melody:
    dice = random.Random(f"synth-music {again}what {name}")
    return Melody(name, dice.randrange(12), dice.choice(list(MODES)), dice.choice(list(_BEATS_PER_SECOND)))


@cache
def _tested() -> frozenset[tuple[Note, ...]]:
    """Return the melodies of the test: of four slow notes, two may happen to be the same."""
    numbers = {"melody": _NUM_MELODIES["test"], "stereo": _NUM_STEREO["test"]}
    return frozenset(
        tuple(_drawn("test", kind, number)[0].notes())
        for kind, num_items in numbers.items()
        for number in range(num_items)
    )


def _row(
    kind: str, melody: Melody, instrument: str, clip: Clip, templates: tuple[str, ...], facts: Mapping[str, str]
) -> Row:
    labels = {
        "key": TONICS[melody.key],
        "mode": melody.mode,
        "tempo": melody.tempo,
        "instrument": instrument,
        **facts,
    }
    captions = [template.format(**labels) for template in templates]
    notes = (f"{note.pitch}:{round(note.duration_s * NOTES_PER_SECOND)}" for note in melody.notes())
    return Row(
        id=melody.name.replace("/", "-"),
        clip=clip,
        columns={
            "split": melody.name.partition("/")[0],
            "kind": kind,
            **labels,
            "notes": " ".join(notes),
            "caption": random.Random(f"synth-music caption {melody.name}").choice(captions),
            "captions": " | ".join(captions),
        },
    )


def _mono(melody: Melody, instrument: str) -> Sound:
    return Sound(as_int16(_LEVEL * _play(melody.notes(), instrument) + _floor(melody.name)), RATE_HZ)


def _two_channels(melody: Melody, pans: Mapping[str, str]) -> Sound:
    (instrument, pan), (bass, bass_pan) = pans.items()
    parts = (
        (_LEVEL, PANS[pan], _play(melody.notes(), instrument)),
        (_BASS_LEVEL, PANS[bass_pan], _play(melody.bass(), bass)),
    )
    channels = np.stack([_floor(f"{melody.name} {side}") for side in ("left", "right")])
    for level, place, samples in parts:
        channels += level * np.outer([np.cos(place * np.pi / 2), np.sin(place * np.pi / 2)], samples)
    return Sound(as_int16(channels), RATE_HZ)


def _play(notes: list[Note], instrument: str) -> np.ndarray:
    return played(notes, INSTRUMENTS[instrument], duration_s=DURATION_S, rate_hz=RATE_HZ)


def _floor(seed: str) -> np.ndarray:
    """Return noise, float64 [T], under the music: digital silence would have no logarithm."""
    noise = np.frombuffer(random.Random(seed).randbytes(round(DURATION_S * RATE_HZ)), np.uint8)
    return _FLOOR * (noise / 127.5 - 1.0)


RECIPE = Recipe(
    name="synth-music.v4",
    labels=(
        "kind",
        "instrument",
        "key",
        "mode",
        "tempo",
        "pan",
        "bass",
        "bass_pan",
        "notes",
        "caption",
        "captions",
    ),
    rows=partial(_rows, "train", "test"),
    large={"train-large": partial(_rows, "train-large")},
)
