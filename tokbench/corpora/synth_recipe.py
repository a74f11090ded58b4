"""What the corpus ``synth`` says, and who says it: a pure function of the TOML files in ``synth_texts/``.

The speakers of a split read its sentences in turn, so that training and test share neither speakers nor sentences.
In the languages with lexical tones they also read minimal sets: one syllable with every tone. Each set begins with
another tone, so that a tone cannot be told by its place.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokbench.corpora.espeak import Voice
from tokbench.corpora.tones import with_tone
from tokbench.specs.base import StrictModel, read_toml

__all__ = [
    "LANGUAGES",
    "Part",
    "Speaker",
    "Split",
    "SyntheticUtterance",
    "list_speakers",
    "list_utterances",
    "list_voices",
    "speakers_of",
]

_TEXTS = Path(__file__).parent / "synth_texts"

LANGUAGES = ("en-us", "de", "fr", "es", "cmn", "yue", "vi")

Split = Literal["train", "test"]
Part = Literal["train", "test", "train-large", "test-large"]
"""A split of a corpus that has large ones."""
Kind = Literal["sentence", "tones"]

_SENTENCES_PER_SPEAKER = 3
_TONE_SETS_PER_SPEAKER = {"train": 2, "test": 1}


class Speaker(StrictModel):
    """A voice that exists only here."""

    name: str
    split: Split
    gender: Literal["f", "m"]
    """As it sounds."""
    variant: str
    """Voice variant of espeak-ng."""
    pitch: int
    """0 .. 99."""
    rate_wpm: int
    """Words per minute."""

    def voice(self, language: str) -> Voice:
        """Return how this speaker sounds in ``language``, as espeak-ng names it."""
        return Voice(f"{language}+{self.variant}", self.pitch, self.rate_wpm)


class _Speakers(StrictModel):
    speakers: tuple[Speaker, ...]


class _ToneSets(StrictModel):
    """Syllables, written without tone, to be spoken with every tone."""

    names: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]


class _Texts(StrictModel):
    """What is said in one language."""

    language: str
    voice: str
    """The language as espeak-ng names it."""
    train: tuple[str, ...]
    test: tuple[str, ...]
    tones: _ToneSets | None = None


@dataclass(frozen=True, kw_only=True)
class SyntheticUtterance:
    """One line of the recipe."""

    id: str
    split: Split
    kind: Kind
    is_demo: bool
    speaker: Speaker
    language: str
    text: str
    voice: Voice


def list_speakers() -> tuple[Speaker, ...]:
    """Return every speaker."""
    return read_toml(_TEXTS / "speakers.toml", _Speakers).speakers


def speakers_of(part: Part) -> list[Speaker]:
    """Return the speakers of ``part``, large or not; no one is in both training and test."""
    return [speaker for speaker in list_speakers() if speaker.split == part.removesuffix("-large")]


@functools.cache
def list_voices() -> dict[str, str]:
    """Return the language as espeak-ng names it, by tag; English without a country is that of America."""
    voices = {texts.language: texts.voice for texts in map(_texts, LANGUAGES)}
    return {"en": voices["en-us"], **voices}


def _texts(language: str) -> _Texts:
    return read_toml(_TEXTS / f"{language}.toml", _Texts)


def list_utterances() -> list[SyntheticUtterance]:
    """Return every utterance: split by split, language by language, speaker by speaker."""
    texts = [_texts(language) for language in LANGUAGES]
    splits: tuple[Split, ...] = ("train", "test")
    return [
        utterance
        for split in splits
        for language_index, content in enumerate(texts)
        for utterance in _utterances(content, split, language_index)
    ]


def _utterances(content: _Texts, split: Split, language_index: int) -> Iterator[SyntheticUtterance]:
    speakers = speakers_of(split)
    for speaker_index, speaker in enumerate(speakers):
        items = _turn(content.train if split == "train" else content.test, speaker_index, _SENTENCES_PER_SPEAKER)
        for turn, (number, text) in enumerate(items):
            # Three speakers per language, other ones in the next language, a first, a second and a third sentence.
            is_demo = split == "test" and (speaker_index - language_index) % len(speakers) == 2 * turn
            yield _utterance(content, speaker, "sentence", number, text, is_demo=is_demo)
        for number, text in _turn(_tone_sets(content, split), speaker_index, _TONE_SETS_PER_SPEAKER[split]):
            is_demo = split == "test" and speaker_index == language_index % len(speakers)
            yield _utterance(content, speaker, "tones", number, text, is_demo=is_demo)


def _turn(texts: Sequence[str], speaker_index: int, num_texts: int) -> list[tuple[int, str]]:
    """Return the number and text of what this speaker reads: the next ``num_texts``, round and round."""
    first = speaker_index * num_texts
    places = [place % len(texts) for place in range(first, first + num_texts)] if texts else []
    return [(place + 1, texts[place]) for place in places]


def _tone_sets(content: _Texts, split: Split) -> list[str]:
    if content.tones is None:
        return []
    sets, tones = [], content.tones.names
    for index, syllable in enumerate(content.tones.train if split == "train" else content.tones.test):
        first = index % len(tones)
        turned = (*tones[first:], *tones[:first])
        sets.append(", ".join(with_tone(content.language, syllable, tone) for tone in turned))
    return sets


def _utterance(
    content: _Texts, speaker: Speaker, kind: Kind, number: int, text: str, *, is_demo: bool
) -> SyntheticUtterance:
    return SyntheticUtterance(
        id=f"{content.language}-{speaker.name}-{kind}-{number:02d}",
        split=speaker.split,
        kind=kind,
        is_demo=is_demo,
        speaker=speaker,
        language=content.language,
        text=text,
        voice=speaker.voice(content.voice),
    )
