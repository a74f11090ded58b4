"""The corpus ``synth-parallel``: the same sentences in four languages, each sentence in the voice of one person.

A row is a pair: what is said in ``language``, and the companion ``target`` that says the same in
``target_language``, in words ``target_text``. English is one of both. The sentences come out of a small grammar, so
that a small model can learn to translate; training and test share its words, but neither sentences nor speakers.
There are four times as many sentences to learn from in the split ``train-large``.
"""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Self

from pydantic import model_validator

from tokbench.corpora.generated import Clip, Recipe, Row, text_hash
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Part, Speaker, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE", "Sentence", "list_sentences"]

_GRAMMAR = Path(__file__).parent / "grammars" / "parallel.toml"
_PIVOT = "en-us"
_NUM_SENTENCES: dict[Part, int] = {"train": 240, "test": 30, "train-large": 960}
_SLOTS = ("number", "vehicle", "place", "day")


class _Language(StrictModel):
    """Words and word order of one language."""

    voice: str
    """The language as espeak-ng names it."""
    go: str
    come: str
    day: tuple[str, ...]
    number: tuple[str, ...]
    vehicle: tuple[str, ...]
    place: tuple[str, ...]

    def say(self, template: str, choice: tuple[int, ...]) -> str:
        """Return the sentence with the words at ``choice``, one number for each slot."""
        words = {slot: getattr(self, slot)[index] for slot, index in zip(_SLOTS, choice, strict=True)}
        text: str = getattr(self, template)
        return text.format(**words)


class _Grammar(StrictModel):
    templates: tuple[str, ...]
    languages: dict[str, _Language]

    @model_validator(mode="after")
    def _languages_have_the_same_words(self) -> Self:
        for slot in _SLOTS:
            if len({len(getattr(language, slot)) for language in self.languages.values()}) > 1:
                msg = f"every language needs as many words for {slot}"
                raise ValueError(msg)
        return self


class Sentence(StrictModel):
    """What is said in all languages."""

    number: int
    """Its place in its split."""
    split: Part
    speaker: Speaker
    texts: dict[str, str]
    """By language."""
    voices: dict[str, str]
    """By language, as espeak-ng names it."""

    def clip(self, language: str) -> Clip:
        """Return the recording in ``language``."""
        name = f"{self.split}/{self.number:03d}-{language}"
        voice = self.speaker.voice(self.voices[language])
        return Clip(name, partial(spoken, self.texts[language], voice, language, seed=f"synth-parallel {name}"))


def list_sentences(*splits: Part) -> list[Sentence]:
    """Return the sentences of ``splits``, speakers in turn.

    Training has those whose English has the smallest hashes, and the test the next; the large training has those of
    the usual one, and what comes after the test.
    """
    grammar = read_toml(_GRAMMAR, _Grammar)
    sizes = [range(len(getattr(grammar.languages[_PIVOT], slot))) for slot in _SLOTS]
    said = [
        {name: language.say(template, choice) for name, language in grammar.languages.items()}
        for template in grammar.templates
        for choice in product(*sizes)
    ]
    said.sort(key=lambda texts: text_hash(texts[_PIVOT]))
    voices = {name: language.voice for name, language in grammar.languages.items()}
    num_train, num_test, num_large = (_NUM_SENTENCES[part] for part in ("train", "test", "train-large"))
    learnt, tested, further = said[:num_train], said[num_train:][:num_test], said[num_train + num_test :]
    texts_of = {"train": learnt, "test": tested, "train-large": (learnt + further)[:num_large]}
    return [
        Sentence(number=place, split=split, speaker=speakers[place % len(speakers)], texts=texts, voices=voices)
        for split in splits
        for speakers in [speakers_of(split)]
        for place, texts in enumerate(texts_of[split])
    ]


def _rows(*splits: Part) -> list[Row]:
    return [
        _row(sentence, *pair)
        for sentence in list_sentences(*splits)
        for other in sentence.texts
        if other != _PIVOT
        for pair in ((_PIVOT, other), (other, _PIVOT))
    ]


def _row(sentence: Sentence, source: str, target: str) -> Row:
    return Row(
        id=f"{sentence.split}-{sentence.number:03d}-{source}-{target}",
        clip=sentence.clip(source),
        companions={"target": sentence.clip(target)},
        columns={
            "split": sentence.split,
            "speaker": sentence.speaker.name,
            "gender": sentence.speaker.gender,
            "language": source,
            "text": sentence.texts[source],
            "target_language": target,
            "target_text": sentence.texts[target],
        },
    )


RECIPE = Recipe(
    name="synth-parallel.v2",
    labels=(
        "speaker",
        "gender",
        "language",
        "text",
        "target_language",
        "target_text",
        "target_path",
        "target_sha256",
    ),
    rows=partial(_rows, "train", "test"),
    large={"train-large": partial(_rows, "train-large")},
)
