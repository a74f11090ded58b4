"""The corpus ``synth-sentences``: a small world to learn a language from, and pairs that ask what was learnt.

Training tells stories of two sentences (``kind=story``) and says words (``kind=word``). The test has pairs: of each
recording the companion ``wrong``, in words ``wrong_text``, is one that a model of this language finds less likely:

- ``word``: a word against one that differs by a phone and is none, in the manner of sWUGGY;
- ``agreement``: a sentence against one whose verb does not agree with its subject, in the manner of sBLIMP;
- ``story``: a story against one whose second sentence is of another person, in the manner of the spoken StoryCloze.

Speakers, stories and sentences of ``agreement`` in the test are others than those of training. Its words are those
of training, said by others, and so are some first sentences of its stories.

Source: Nguyen et al. 2020, The Zero Resource Speech Benchmark 2021 (arXiv:2011.11588), of sWUGGY and sBLIMP; Hassid
et al. 2023, TWIST (arXiv:2305.13009), of the spoken StoryCloze.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from pathlib import Path

from tokbench.corpora.generated import Clip, Recipe, Row, text_hash
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Speaker, Split, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE", "Story", "list_stories"]

_GRAMMAR = Path(__file__).parent / "grammars" / "sentences.toml"
_LANGUAGE = "en-us"
_NUM_STORIES: dict[Split, int] = {"train": 240, "test": 48}
_NUM_AGREEMENTS = 48


class _Person(StrictModel):
    one: str
    many: str
    does: tuple[str, ...]


class _Grammar(StrictModel):
    adjectives: tuple[str, ...]
    people: tuple[_Person, ...]
    words: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Story:
    """Two sentences about one person, or about several of a kind."""

    person: _Person
    others: tuple[_Person, ...]
    """The people of the other stories."""
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
        return self._told(self.deeds[1])

    @property
    def wrong_text(self) -> str:
        """The first sentence, and one of another person."""
        deeds = [deed for person in self.others for deed in person.does]
        return self._told(deeds[int(text_hash(self.text), 16) % len(deeds)])

    def _told(self, ending: str) -> str:
        pronoun = "he" if self.is_one else "they"
        return f"{self.first()}. {pronoun} {self._does(ending, is_one=self.is_one)}."

    @staticmethod
    def _does(deed: str, *, is_one: bool) -> str:
        return deed.format(s="s" if is_one else "")


def list_stories(split: Split) -> list[Story]:
    """Return the stories of ``split``: of all there are, dealt out by their hashes."""
    first = 0 if split == "train" else _NUM_STORIES["train"]
    return _all_stories()[first : first + _NUM_STORIES[split]]


def _all_stories() -> list[Story]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    told = [
        Story(person, tuple(other for other in grammar.people if other != person), adjective, is_one, deeds)
        for person, adjective, is_one in product(grammar.people, grammar.adjectives, (True, False))
        for deeds in permutations(person.does, 2)
    ]
    return sorted(told, key=lambda story: text_hash(story.text))


def _unheard() -> list[Story]:
    """Return a story for each first sentence that no story of training begins with."""
    heard = {story.first() for story in list_stories("train")}
    return list({story.first(): story for story in _all_stories() if story.first() not in heard}.values())


def _rows() -> list[Row]:
    rows: list[Row] = []
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        speakers = speakers_of(split)
        for index, story in enumerate(list_stories(split)):
            speaker = speakers[index % len(speakers)]
            rows.append(_row(split, "story", f"{index:03d}", speaker, story.text, story.wrong_text))
        rows += _words(split)
    return [*rows, *_agreements()]


def _agreements() -> Iterator[Row]:
    """Yield as many sentences about one as about several: who always adds an s, or never, is right by halves."""
    stories, speakers = _unheard(), speakers_of("test")
    by_number = [[story for story in stories if story.is_one is is_one] for is_one in (True, False)]
    for index in range(_NUM_AGREEMENTS):
        mine = by_number[index % 2]
        turn, place = divmod(index // 2, len(mine))
        # Who says a sentence again is somebody else.
        story, speaker = mine[place], speakers[(place + turn) % len(speakers)]
        yield _row("test", "agreement", f"{index:03d}", speaker, story.first(), story.first(agrees=False))


def _words(split: Split) -> Iterator[Row]:
    for (real, wrong), speaker in product(read_toml(_GRAMMAR, _Grammar).words, speakers_of(split)):
        yield _row(split, "word", f"{real}-{speaker.name}", speaker, real, wrong)


def _row(split: Split, kind: str, number: str, speaker: Speaker, text: str, wrong_text: str) -> Row:
    name = f"{split}/{kind}-{number}"
    is_pair = split == "test"
    return Row(
        id=name.replace("/", "-"),
        clip=_clip(name, text, speaker),
        companions={"wrong": _clip(f"{name}-wrong", wrong_text, speaker)} if is_pair else {},
        columns={
            "split": split,
            "kind": kind,
            "speaker": speaker.name,
            "gender": speaker.gender,
            "language": _LANGUAGE,
            "text": text,
            "wrong_text": wrong_text if is_pair else "",
        },
    )


def _clip(name: str, text: str, speaker: Speaker) -> Clip:
    # Both of a pair lie in the same noise: it is not to tell them apart.
    seed = f"synth-sentences {name.removesuffix('-wrong')}"
    return Clip(name, partial(spoken, text, speaker.voice(_LANGUAGE), _LANGUAGE, seed=seed))


RECIPE = Recipe(
    name="synth-sentences.v1",
    labels=("kind", "speaker", "gender", "language", "text", "wrong_text", "wrong_path", "wrong_sha256"),
    rows=_rows,
)
