"""The corpus ``synth-words``: single words, each by every speaker in several takes.

``kind`` is ``digit`` (ten of them) or ``keyword`` (ten commands); ``text`` is the word. Speakers of training and
test are others. A take differs in pitch and rate; in the split ``train-large`` there are 16 of each word by each
speaker.
"""

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from tokbench.corpora.generated import Clip, Recipe, Row
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Part, Speaker, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE"]

_GRAMMAR = Path(__file__).parent / "grammars" / "words.toml"
_LANGUAGE = "en-us"


class _Take(StrictModel):
    pitch: int
    """Added to that of the speaker."""
    rate: float
    """Times that of the speaker."""


class _Grid(StrictModel):
    """Takes of a word: each pitch at each rate."""

    pitches: tuple[int, ...]
    rates: tuple[float, ...]

    def takes(self) -> list[_Take]:
        """Return them all."""
        return [_Take(pitch=pitch, rate=rate) for pitch, rate in product(self.pitches, self.rates)]


class _Grammar(StrictModel):
    words: dict[str, tuple[str, ...]]
    """By kind."""
    takes: tuple[_Take, ...]
    large: _Grid


def _rows(*parts: Part) -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    return [
        _row(part, speaker, kind, word, number, take)
        for part in parts
        for speaker in speakers_of(part)
        for kind, words in grammar.words.items()
        for word in words
        for number, take in enumerate(grammar.large.takes() if part == "train-large" else grammar.takes, start=1)
    ]


def _row(split: Part, speaker: Speaker, kind: str, word: str, number: int, take: _Take) -> Row:
    usual = speaker.voice(_LANGUAGE)
    voice = replace(usual, pitch=usual.pitch + take.pitch, rate_wpm=round(usual.rate_wpm * take.rate))
    name = f"{split}/{speaker.name}-{word}-{number}"
    return Row(
        id=f"{kind}-{name.replace('/', '-')}",
        clip=Clip(name, partial(spoken, word, voice, _LANGUAGE, seed=f"synth-words {name}")),
        columns={
            "split": split,
            "kind": kind,
            "speaker": speaker.name,
            "gender": speaker.gender,
            "language": _LANGUAGE,
            "text": word,
        },
    )


RECIPE = Recipe(
    name="synth-words.v1",
    labels=("kind", "speaker", "gender", "language", "text"),
    rows=partial(_rows, "train", "test"),
    large={"train-large": partial(_rows, "train-large")},
)
