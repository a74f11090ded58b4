"""The corpus ``synth-mixtures``: speech to be cleaned, picked out, edited or said by others, with exact answers.

A recording is what there is; the companion ``target`` is what it is to become. ``speaker``, ``text`` and the
companion ``enrolment``, another sentence of that voice, are of the target. ``kind`` is one of

- ``noise``: with white, pink, brown or babbling noise, ``snr_db`` below the speech; ``noise`` holds it alone;
- ``room``: in a room of ``rt60_s``; the target is the sound that comes straight;
- ``talkers``: two people at once, the one that is meant ``level_db`` above the other;
- ``edit``: with another word in the place ``edited_word`` (from 0 on); ``source_text`` is what is said;
- ``voice``: by ``source_speaker``, to be said by ``speaker``.

Nothing is louder than full scale: a recording and its companions are made quieter together where it would be.

The enrolment is neither what is heard nor what is asked for: up to version 3, an edit could lead to it.

Everybody meets everybody, as the one who is meant and as the other one: where the pair of voices tells which of
them is meant, as it did in version 1, a model learns to do without the enrolment. Nor do the noise, the room, the
level and the word that is put in follow from the speaker. There is more to learn from in the split ``train-large``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from tokbench.corpora.acoustics import coloured_noise, drawn_response, mixed_at
from tokbench.corpora.generated import Clip, Recipe, Row, Sound, as_int16, text_hash
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Part, Speaker, speakers_of
from tokbench.corpora.synth_sentences import list_first_sentences

__all__ = ["RECIPE"]

_LANGUAGE = "en-us"
_NUM_ITEMS: dict[Part, int] = {"train": 384, "test": 72, "train-large": 1152}
"""Of each kind."""
_SNRS_DB = (-5, 0, 5, 10, 15)
_SNR_STEP = 3
"""Another one than that of the noises, so that each noise comes at each ratio."""
_NOISES = {"white": 0.0, "pink": 1.0, "brown": 2.0}
"""Exponents of the fall of the power with frequency."""
_BABBLE = "babble"
_NUM_BABBLERS = 5
_RT60S_S = (0.3, 0.6, 0.9, 1.3)
_DIRECT_DB = 0.0
_LEVELS_DB = (-5, 0, 5)
_FULL_SCALE = 32768.0
_NUM_REMEMBERED = 64
"""Sentences of espeak-ng that are held in memory: most are wanted several times in a row."""
_EDITED_WORD = 1
"""The adjective."""


@dataclass(frozen=True)
class _Line:
    """What somebody says."""

    text: str
    speaker: Speaker

    def samples(self) -> np.ndarray:
        """Return float64 [T]."""
        return self.sound().samples / _FULL_SCALE

    def sound(self) -> Sound:
        """Return the recording, the same each time."""
        return _said(self.text, self.speaker)

    def clip(self, split: Part) -> Clip:
        """Return the clip, of which there is one for each text and speaker."""
        return Clip(f"{split}/{self.speaker.name}-{text_hash(self.text)[:12]}", self.sound)


@lru_cache(_NUM_REMEMBERED)
def _said(text: str, speaker: Speaker) -> Sound:
    return spoken(text, speaker.voice(_LANGUAGE), _LANGUAGE, seed=f"synth-mixtures {speaker.name} {text}")


class _Items:
    """The items of one split, each a function of its number."""

    def __init__(self, split: Part) -> None:
        self.split = split
        self._speakers = speakers_of(split)
        self._texts = _texts(split)
        self.adjectives = sorted({text.split()[_EDITED_WORD] for text in self._texts})

    def turn(self, number: int, *, step: int = 1) -> int:
        """Return a number by which to choose: it begins elsewhere for each speaker, and grows by ``step`` a round.

        Modulo a number that has no factor in common with ``step``, it takes all values for everybody, a round each.
        """
        round_index, speaker_index = divmod(number, len(self._speakers))
        return speaker_index + step * round_index

    def line(self, number: int) -> _Line:
        """Return what is said in item ``number``."""
        return _Line(self._text(number), self._speakers[number % len(self._speakers)])

    def same_line(self, number: int) -> _Line:
        """Return what is said in item ``number``, by somebody else."""
        return _Line(self._text(number), self._other(number, 0))

    def other_line(self, number: int, line: _Line) -> _Line:
        """Return a sentence of the speaker of ``line`` that is neither that nor what is said in item ``number``."""
        own = {self._text(number), line.text}
        start = len(self._texts) // 2
        after = (self._text(number, start + step) for step in range(len(self._texts)))
        return _Line(next(text for text in after if text not in own), line.speaker)

    def others(self, number: int, count: int) -> list[_Line]:
        """Return other sentences by other people."""
        return [_Line(self._text(number, 7 * (index + 1)), self._other(number, index)) for index in range(count)]

    def _text(self, number: int, step: int = 0) -> str:
        """Return the sentence of item ``number``, or one that is so many sentences further on.

        Where everybody would begin anew with a sentence that they have said, all go on to the next one: so each
        sentence comes to each speaker.
        """
        round_index = number // math.lcm(len(self._texts), len(self._speakers))
        return self._texts[(number + round_index + step) % len(self._texts)]

    def _other(self, number: int, index: int) -> Speaker:
        """Return one of the other people; with another ``index`` another one, and others the next round."""
        num_speakers = len(self._speakers)
        round_index, speaker_index = divmod(number, num_speakers)
        # Steps to the speaker who is as far away on the other side come next to each other, 1 and -1, 2 and -2: a
        # pair that comes one way comes the other way soon, also where there are not rounds enough for all pairs.
        steps = sorted(range(1, num_speakers), key=lambda step: (min(step, num_speakers - step), step))
        return self._speakers[(speaker_index + steps[(round_index + index) % len(steps)]) % num_speakers]


def _texts(split: Part) -> list[str]:
    """Return the sentences of ``split``: all adjectives with what follows, so that no edit leads to others."""
    texts = sorted(list_first_sentences(), key=text_hash)
    kinds = {
        text: text_hash(" ".join(word for place, word in enumerate(text.split()) if place != _EDITED_WORD))
        for text in texts
    }
    order = sorted(set(kinds.values()))
    num_test = len(order) // 4
    mine = set(order[:num_test] if split == "test" else order[num_test:])
    return [text for text in texts if kinds[text] in mine]


def _rows(*parts: Part) -> list[Row]:
    return [
        kind(items, number)
        for items in map(_Items, parts)
        for kind in (_noise, _room, _talkers, _edit, _voice)
        for number in range(_NUM_ITEMS[items.split])
    ]


def _noise(items: _Items, number: int) -> Row:
    line = items.line(number)
    kinds = [*_NOISES, _BABBLE]
    name = kinds[items.turn(number) % len(kinds)]
    snr_db = _SNRS_DB[items.turn(number, step=_SNR_STEP) % len(_SNRS_DB)]
    babblers = items.others(number, _NUM_BABBLERS) if name == _BABBLE else []

    def parts() -> Sequence[np.ndarray]:
        clean = line.samples()
        generator = _generator("noise", items.split, number)
        if babblers:
            drawn = sum(_fitted(other.samples(), len(clean)) for other in babblers)
        else:
            drawn = coloured_noise(len(clean), _NOISES[name], generator).astype(np.float64)
        noisy = mixed_at(clean, np.asarray(drawn), snr_db)
        return noisy, clean, noisy - clean

    clips = _together(f"{items.split}/noise-{number:03d}", ("mixed", "target", "noise"), parts, line)
    return _row(items, "noise", number, line, clips, {"noise": name, "snr_db": str(snr_db)})


def _room(items: _Items, number: int) -> Row:
    line = items.line(number)
    rt60_s = _RT60S_S[items.turn(number) % len(_RT60S_S)]

    def parts() -> Sequence[np.ndarray]:
        from scipy.signal import fftconvolve  # noqa: PLC0415  (the planner knows corpora without scipy)

        clean, generator = line.samples(), _generator("room", items.split, number)
        response = drawn_response(line.sound().sample_rate_hz, rt60_s, _DIRECT_DB, generator).astype(np.float64)
        return fftconvolve(clean, response)[: len(clean)], clean

    clips = _together(f"{items.split}/room-{number:03d}", ("mixed", "target"), parts, line)
    return _row(items, "room", number, line, clips, {"rt60_s": str(rt60_s)})


def _talkers(items: _Items, number: int) -> Row:
    line = items.line(number)
    (other,) = items.others(number, 1)
    level_db = _LEVELS_DB[items.turn(number) % len(_LEVELS_DB)]

    def parts() -> Sequence[np.ndarray]:
        clean = line.samples()
        return mixed_at(clean, _fitted(other.samples(), len(clean)), level_db), clean

    clips = _together(f"{items.split}/talkers-{number:03d}", ("mixed", "target"), parts, line)
    facts = {"level_db": str(level_db), "source_speaker": other.speaker.name, "source_text": other.text}
    return _row(items, "talkers", number, line, clips, facts)


def _edit(items: _Items, number: int) -> Row:
    before = items.line(number)
    words = before.text.split()
    adjectives = [adjective for adjective in items.adjectives if adjective != words[_EDITED_WORD]]
    words[_EDITED_WORD] = adjectives[items.turn(number) % len(adjectives)]
    after = _Line(" ".join(words), before.speaker)
    clips = {"mixed": before.clip(items.split), "target": after.clip(items.split)}
    facts = {"source_text": before.text, "edited_word": str(_EDITED_WORD)}
    return _row(items, "edit", number, after, clips, facts)


def _voice(items: _Items, number: int) -> Row:
    source, target = items.line(number), items.same_line(number)
    clips = {"mixed": source.clip(items.split), "target": target.clip(items.split)}
    return _row(items, "voice", number, target, clips, {"source_speaker": source.speaker.name})


def _row(
    items: _Items, kind: str, number: int, line: _Line, clips: Mapping[str, Clip], facts: Mapping[str, str]
) -> Row:
    enrolment = items.other_line(number, line).clip(items.split)
    companions = {name: clip for name, clip in clips.items() if name != "mixed"}
    return Row(
        id=f"{kind}-{items.split}-{number:03d}",
        clip=clips["mixed"],
        companions={**companions, "enrolment": enrolment},
        columns={
            "split": items.split,
            "kind": kind,
            "speaker": line.speaker.name,
            "gender": line.speaker.gender,
            "language": _LANGUAGE,
            "text": line.text,
            **facts,
        },
    )


def _together(
    name: str, names: Sequence[str], parts: Callable[[], Sequence[np.ndarray]], line: _Line
) -> dict[str, Clip]:
    """Return a clip for each of ``parts``, which are made quieter together where one is louder than full scale."""

    def make(index: int) -> Sound:
        made, sound = _made(parts), line.sound()
        loudest = max(float(np.abs(part).max()) for part in made)
        return Sound(as_int16(made[index] / max(loudest, 1.0)), sound.sample_rate_hz, sound.intervals)

    return {part: Clip(f"{name}-{part}", partial(make, index)) for index, part in enumerate(names)}


@lru_cache(1)
def _made(parts: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Return the parts of an item; its clips are written one after another, and need them made once."""
    return parts()


def _fitted(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """Return [``num_samples``]: cut, or with silence after it."""
    return np.pad(samples[:num_samples], (0, max(num_samples - len(samples), 0)))


def _generator(kind: str, split: Part, number: int) -> np.random.Generator:
    return np.random.default_rng(int(text_hash(f"synth-mixtures {kind} {split} {number}")[:16], 16))


RECIPE = Recipe(
    name="synth-mixtures.v5",
    labels=(
        "kind",
        "speaker",
        "gender",
        "language",
        "text",
        "source_speaker",
        "source_text",
        "noise",
        "snr_db",
        "rt60_s",
        "level_db",
        "edited_word",
        "target_path",
        "target_sha256",
        "enrolment_path",
        "enrolment_sha256",
        "noise_path",
        "noise_sha256",
    ),
    rows=partial(_rows, "train", "test"),
    large={"train-large": partial(_rows, "train-large")},
)
