"""The corpus ``synth-dialogue``: two people talk, each in a channel of their own.

The first asks for something in the house, the second agrees with a word and tells what was done; and once more. A
turn begins some time after the end of the one before, or a little before it. ``turns`` tells who speaks, in order
(``A B B A B B``), and ``speaker`` names both people, A first, who is in the first channel.

Dialogues of training and test are between other people.
"""

import random
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from tokbench.corpora.espeak import speak
from tokbench.corpora.generated import Clip, Recipe, Row, Sound, in_a_quiet_room
from tokbench.corpora.spoken import PAD_S
from tokbench.corpora.synth_recipe import Speaker, Split, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE"]

_GRAMMAR = Path(__file__).parent / "grammars" / "dialogue.toml"
_LANGUAGE = "en-us"
_RATE_HZ = 22050
_NUM_DIALOGUES: dict[Split, int] = {"train": 72, "test": 18}
_NUM_EXCHANGES = 2
_SHORTEST_GAP_S, _LONGEST_GAP_S = -0.2, 0.5
"""Of a turn after the one before; below 0 both speak at once for so long."""
_NAMES = "AB"


class _Grammar(StrictModel):
    requests: tuple[str, ...]
    agreements: tuple[str, ...]
    answers: tuple[str, ...]
    actions: tuple[str, ...]
    objects: tuple[str, ...]
    rooms: tuple[str, ...]


@dataclass(frozen=True)
class _Turn:
    who: int
    text: str
    gap_s: float
    """From the end of the turn before, or from the beginning."""


def _rows() -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    splits: tuple[Split, ...] = ("train", "test")
    return [_row(grammar, split, number) for split in splits for number in range(_NUM_DIALOGUES[split])]


def _row(grammar: _Grammar, split: Split, number: int) -> Row:
    name = f"{split}/{number:03d}"
    speakers = speakers_of(split)
    first = speakers[number % len(speakers)]
    second = speakers[(number + 1 + number // len(speakers) % (len(speakers) - 1)) % len(speakers)]
    turns = _turns(grammar, name)
    people = (first, second)
    return Row(
        id=name.replace("/", "-"),
        clip=Clip(name, partial(_sound, name, people, turns)),
        columns={
            "split": split,
            "speaker": "+".join(person.name for person in people),
            "language": _LANGUAGE,
            "text": " ".join(f"{turn.text}." for turn in turns),
            "turns": " ".join(_NAMES[turn.who] for turn in turns),
        },
    )


def _turns(grammar: _Grammar, name: str) -> tuple[_Turn, ...]:
    dice = random.Random(f"synth-dialogue {name}")
    wishes = list(product(grammar.actions, grammar.objects, grammar.rooms))
    turns: list[_Turn] = []
    for exchange in range(_NUM_EXCHANGES):
        wish = dict(zip(("action", "object", "room"), dice.choice(wishes), strict=True))
        said = ((0, grammar.requests), (1, grammar.agreements), (1, grammar.answers))
        for place, (who, templates) in enumerate(said):
            gap_s = round(dice.uniform(_SHORTEST_GAP_S, _LONGEST_GAP_S), 3)
            # Nobody interrupts the beginning, and no one interrupts themselves.
            is_first, is_own = exchange == place == 0, place > 1
            turns.append(
                _Turn(who, dice.choice(templates).format(**wish), abs(gap_s) if is_first or is_own else gap_s)
            )
    return tuple(turns)


def _sound(name: str, people: tuple[Speaker, Speaker], turns: tuple[_Turn, ...]) -> Sound:
    """Return int16 [2, T]."""
    spoken, end = list[tuple[int, int, np.ndarray]](), 0
    for turn in turns:
        samples = speak(turn.text, people[turn.who].voice(_LANGUAGE)).samples
        start = max(end + round(turn.gap_s * _RATE_HZ), 0)
        spoken.append((turn.who, start, samples))
        end = start + len(samples)
    channels = np.zeros((2, max(start + len(samples) for _, start, samples in spoken)), np.int16)
    for who, start, samples in spoken:
        channels[who, start : start + len(samples)] += samples
    rooms = [
        in_a_quiet_room(channel, num_padded=round(PAD_S * _RATE_HZ), seed=f"{name} {_NAMES[who]}")
        for who, channel in enumerate(channels)
    ]
    return Sound(np.stack(rooms), _RATE_HZ)


RECIPE = Recipe(
    name="synth-dialogue.v1",
    labels=("speaker", "language", "text", "turns"),
    rows=_rows,
)
