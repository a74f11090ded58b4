"""The corpus ``synth-sentences``: a small world to learn a language from, and pairs that ask what was learnt.

Training tells stories of two sentences (``kind=story``), each by four of its speakers, and says words
(``kind=word``). The test has pairs, each by all of its speakers: of each recording the companion ``wrong``, in
words ``wrong_text``, is one that a model of this language finds less likely:

- ``word``: a word against one that differs by a phone and is none, in the manner of sWUGGY. Every two phones that
  follow each other in it do so in training, and half of what is no word is the likelier one by its phones alone;
- ``agreement``: a sentence against one whose verb does not agree with its subject, in the manner of sBLIMP. Of each
  verb there are as many of one as of several, so that who always adds an s, or never, is right by halves;
- ``story``: a story against one whose second sentence is of another person, in the manner of the spoken StoryCloze.
  Two stories swap their endings, so that how often words are heard tells nothing.

Speakers, stories and sentences of ``agreement`` in the test are others than those of training. Its words are those
of training, said by others, and so are the first sentences of its stories.

Source: Nguyen et al. 2020, The Zero Resource Speech Benchmark 2021 (arXiv:2011.11588), of sWUGGY and sBLIMP; Hassid
et al. 2023, TWIST (arXiv:2305.13009), of the spoken StoryCloze.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from pathlib import Path

from tokbench.corpora.generated import Clip, Recipe, Row, text_hash
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Speaker, Split, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE", "Story", "list_first_sentences", "list_stories", "list_swaps"]

_GRAMMAR = Path(__file__).parent / "grammars" / "sentences.toml"
_LANGUAGE = "en-us"
_NUM_TELLERS = 4
"""Speakers who tell a story of training."""


class _Person(StrictModel):
    one: str
    many: str
    does: tuple[str, ...]


class _Grammar(StrictModel):
    adjectives: tuple[str, ...]
    people: tuple[_Person, ...]
    swaps: tuple[tuple[str, str], ...]
    words: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Story:
    """Two sentences about one person, or about several of a kind."""

    person: _Person
    adjective: str
    is_one: bool
    deeds: tuple[str, str]

    def first(self, *, agrees: bool = True) -> str:
        """Return the first sentence, whose verb agrees with its subject, or does not."""
        subject = self.person.one if self.is_one else self.person.many
        return f"the {self.adjective} {subject} {self._does(self.deeds[0], is_one=self.is_one == agrees)}"

    @property
    def text(self) -> str:
        """Both sentences."""
        return self.with_ending_of(self)

    def with_ending_of(self, other: "Story") -> str:
        """Return the first sentence, and the second one of ``other``, told of this person."""
        pronoun = "he" if self.is_one else "they"
        return f"{self.first()}. {pronoun} {self._does(other.deeds[1], is_one=self.is_one)}."

    @staticmethod
    def _does(deed: str, *, is_one: bool) -> str:
        return deed.format(s="s" if is_one else "")


def list_stories(split: Split) -> list[Story]:
    """Return the stories of ``split``, in the order of their hashes.

    Training tells all that are not in the test, but none that begins with a sentence that must agree.
    """
    tested = [story for pair in list_swaps() for story in pair]
    if split == "test":
        return _by_hash(tested)
    unheard = {story.first() for story in _unheard()}
    return _by_hash(story for story in _all_stories() if story not in tested and story.first() not in unheard)


def list_swaps() -> list[tuple[Story, Story]]:
    """Return the stories of the test, those together that swap their endings.

    Each deed is the ending once of one person and once of several, and the first deed as often; so training has all
    endings equally often.
    """
    grammar = read_toml(_GRAMMAR, _Grammar)
    return [
        (_with_ending(grammar, one, is_one=is_one), _with_ending(grammar, other, is_one=is_one))
        for is_one in (True, False)
        for one, other in grammar.swaps
    ]


def list_first_sentences() -> list[str]:
    """Return everything with which a story of this world may begin."""
    return list(dict.fromkeys(story.first() for story in _all_stories()))


def _with_ending(grammar: _Grammar, ending: str, *, is_one: bool) -> Story:
    """Return the story of the test that ends with the deed ``ending``."""
    person = next(person for person in grammar.people if ending in person.does)
    place = person.does.index(ending)
    first = person.does[(place + (1 if is_one else 2)) % len(person.does)]
    return Story(person, _adjective(grammar, person, first, step=1 + place), is_one, (first, ending))


def _unheard() -> list[Story]:
    """Return a story for each first sentence that is kept for agreement: of each deed with one adjective."""
    grammar = read_toml(_GRAMMAR, _Grammar)
    return [
        Story(person, _adjective(grammar, person, deed, step=0), is_one, (deed, person.does[place - 1]))
        for person in grammar.people
        for place, deed in enumerate(person.does)
        for is_one in (True, False)
    ]


def _adjective(grammar: _Grammar, person: _Person, deed: str, *, step: int) -> str:
    """Return an adjective: each as often as the others, and others for steps that differ by less than there are."""
    index = grammar.people.index(person) + person.does.index(deed) + step
    return grammar.adjectives[index % len(grammar.adjectives)]


def _all_stories() -> list[Story]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    return [
        Story(person, adjective, is_one, (first, second))
        for person, adjective, is_one in product(grammar.people, grammar.adjectives, (True, False))
        for first, second in permutations(person.does, 2)
    ]


def _by_hash(stories: Iterable[Story]) -> list[Story]:
    return sorted(stories, key=lambda story: text_hash(story.text))


def _rows() -> list[Row]:
    return [*_told(), *_pairs("story", _swapped()), *_pairs("agreement", _agreements()), *_words()]


def _told() -> Iterator[Row]:
    """Yield the stories of training, each by the next few speakers."""
    speakers = speakers_of("train")
    for index, story in enumerate(list_stories("train")):
        for step in range(_NUM_TELLERS):
            speaker = speakers[(index + step) % len(speakers)]
            yield _row("train", "story", f"{index:03d}-{speaker.name}", speaker, story.text)


def _swapped() -> Iterator[tuple[str, str]]:
    for one, other in list_swaps():
        yield one.text, one.with_ending_of(other)
        yield other.text, other.with_ending_of(one)


def _agreements() -> Iterator[tuple[str, str]]:
    for story in _unheard():
        yield story.first(), story.first(agrees=False)


def _pairs(kind: str, texts: Iterable[tuple[str, str]]) -> Iterator[Row]:
    """Yield each of ``texts``, right and wrong, by every speaker of the test."""
    for (index, (text, wrong_text)), speaker in product(enumerate(texts), speakers_of("test")):
        yield _row("test", kind, f"{index:03d}-{speaker.name}", speaker, text, wrong_text)


def _words() -> Iterator[Row]:
    words = read_toml(_GRAMMAR, _Grammar).words
    for (real, _), speaker in product(words, speakers_of("train")):
        yield _row("train", "word", f"{real}-{speaker.name}", speaker, real)
    for (real, wrong), speaker in product(words, speakers_of("test")):
        yield _row("test", "word", f"{real}-{speaker.name}", speaker, real, wrong)


def _row(split: Split, kind: str, number: str, speaker: Speaker, text: str, wrong_text: str = "") -> Row:
    name = f"{split}/{kind}-{number}"
    return Row(
        id=name.replace("/", "-"),
        clip=_clip(name, text, speaker),
        companions={"wrong": _clip(f"{name}-wrong", wrong_text, speaker)} if wrong_text else {},
        columns={
            "split": split,
            "kind": kind,
            "speaker": speaker.name,
            "gender": speaker.gender,
            "language": _LANGUAGE,
            "text": text,
            "wrong_text": wrong_text,
        },
    )


def _clip(name: str, text: str, speaker: Speaker) -> Clip:
    # Both of a pair lie in the same noise: it is not to tell them apart.
    seed = f"synth-sentences {name.removesuffix('-wrong')}"
    return Clip(name, partial(spoken, text, speaker.voice(_LANGUAGE), _LANGUAGE, seed=seed))


RECIPE = Recipe(
    name="synth-sentences.v2",
    labels=("kind", "speaker", "gender", "language", "text", "wrong_text", "wrong_path", "wrong_sha256"),
    rows=_rows,
)
