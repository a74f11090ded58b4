"""The corpus ``synth-words``: single words, each by every speaker in several takes.

``kind`` is ``digit`` (ten of them) or ``keyword`` (ten commands); ``text`` is the word. Speakers of training and
test are others. A take differs in pitch and rate.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from tokbench.corpora.generated import Clip, Recipe, Row
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Speaker, Split, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE"]

_GRAMMAR = Path(__file__).parent / "grammars" / "words.toml"
_LANGUAGE = "en-us"


class _Take(StrictModel):
    pitch: int
    """Added to that of the speaker."""
    rate: float
    """Times that of the speaker."""


class _Grammar(StrictModel):
    words: dict[str, tuple[str, ...]]
    """By kind."""
    takes: tuple[_Take, ...]


def _rows() -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    splits: tuple[Split, ...] = ("train", "test")
    return [
        _row(split, speaker, kind, word, number, take)
        for split in splits
        for speaker in speakers_of(split)
        for kind, words in grammar.words.items()
        for word in words
        for number, take in enumerate(grammar.takes, start=1)
    ]


def _row(split: Split, speaker: Speaker, kind: str, word: str, number: int, take: _Take) -> Row:
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
    rows=_rows,
)
