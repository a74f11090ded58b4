"""The corpus ``synth-commands``: commands for a house, strings of digits, manners of speaking, and questions.

``kind`` is one of

- ``command``: one of 24 intents (``action``, ``object``, ``room``) in one of three phrases;
- ``digits``: three digits, of which training and test share no string;
- ``manner``: a command said in one of four ``manner``s, with an ``instruction`` that asks for it;
- ``question``: a recording of a command, a ``question`` about it and its ``answer`` in a word.

Speakers of training and test are others. A closed vocabulary: small models can learn to hear it and to say it.

In the split ``train-large``, everybody says every intent in all phrases, and more digits and manners; the split
``test-large`` has more manners, and nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path

from tokbench.corpora.espeak import Voice
from tokbench.corpora.generated import Clip, Recipe, Row, text_hash
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Part, Speaker, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE"]

_GRAMMAR = Path(__file__).parent / "grammars" / "commands.toml"
_LANGUAGE = "en-us"
_DIGITS_PER_SPEAKER: dict[Part, int] = {"train": 20, "test": 10, "train-large": 80}
_MANNERS_PER_SPEAKER: dict[Part, int] = {"train": 4, "test": 2, "train-large": 16, "test-large": 8}
"""Commands that a speaker says in every manner."""
_QUESTIONS_PER_COMMAND = 1
_NUM_DIGITS = 3
_GENDERS = {"f": "woman", "m": "man"}


class _Manner(StrictModel):
    pitch: int
    """Added to that of the speaker."""
    rate: float
    """Times that of the speaker."""
    range: int
    volume_percent: int
    instructions: tuple[str, ...]

    def of(self, voice: Voice) -> Voice:
        """Return ``voice`` in this manner."""
        return replace(
            voice,
            pitch=min(max(voice.pitch + self.pitch, 0), 99),
            rate_wpm=round(voice.rate_wpm * self.rate),
            range=self.range,
            volume_percent=self.volume_percent,
        )


class _Grammar(StrictModel):
    actions: tuple[str, ...]
    objects: tuple[str, ...]
    rooms: tuple[str, ...]
    phrases: tuple[str, ...]
    digits: tuple[str, ...]
    manners: dict[str, _Manner]
    questions: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Said:
    """A command as one speaker says it."""

    split: Part
    speaker: Speaker
    slots: Mapping[str, str]
    text: str
    number: str = ""
    """Of the phrase, where everybody says all of them."""

    @cached_property
    def name(self) -> str:
        """Unique in the corpus."""
        return f"{self.split}/{self.speaker.name}-{'-'.join([*self.slots.values(), *self.number])}"

    @property
    def columns(self) -> dict[str, str]:
        """What is known of it."""
        return {
            **_columns(self.split, self.speaker, self.text),
            **self.slots,
            "intent": " ".join(self.slots.values()),
        }

    def clip(self) -> Clip:
        """Return it in the speaker's usual manner."""
        return _clip(self.name, self.text, self.speaker.voice(_LANGUAGE))


def _columns(split: Part, speaker: Speaker, text: str) -> dict[str, str]:
    return {
        "split": split,
        "speaker": speaker.name,
        "gender": speaker.gender,
        "language": _LANGUAGE,
        "text": text,
    }


def _clip(name: str, text: str, voice: Voice) -> Clip:
    return Clip(name, partial(spoken, text, voice, _LANGUAGE, seed=f"synth-commands {name}"))


def _rows(*parts: Part) -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    rows: list[Row] = []
    for split in parts:
        for said in _plain_commands(grammar, split):
            rows += [_row("command", said.name, said.clip(), said.columns), *_questions(grammar, said)]
        rows += [*_manners(grammar, split), *_digits(grammar, split)]
    return rows


def _row(kind: str, name: str, clip: Clip, columns: Mapping[str, str]) -> Row:
    return Row(id=f"{kind}-{name.replace('/', '-')}", clip=clip, columns={"kind": kind, **columns})


def _plain_commands(grammar: _Grammar, split: Part) -> Iterator[_Said]:
    """Yield what is said in the usual manner."""
    if split == "train-large":
        yield from _in_all_phrases(grammar, split)
    elif split != "test-large":
        yield from _commands(grammar, split)


def _commands(grammar: _Grammar, split: Part) -> Iterator[_Said]:
    """Yield every intent by every speaker; who says which phrase of it goes in turns."""
    for speaker_index, speaker in enumerate(speakers_of(split)):
        for index, slots in enumerate(_intents(grammar)):
            phrase = grammar.phrases[(index + speaker_index) % len(grammar.phrases)]
            yield _Said(split, speaker, slots, phrase.format(**slots))


def _in_all_phrases(grammar: _Grammar, split: Part) -> Iterator[_Said]:
    """Yield every intent by every speaker in every phrase."""
    for speaker, slots in product(speakers_of(split), _intents(grammar)):
        for number, phrase in enumerate(grammar.phrases, start=1):
            yield _Said(split, speaker, slots, phrase.format(**slots), str(number))


def _intents(grammar: _Grammar) -> list[dict[str, str]]:
    return [
        dict(zip(("action", "object", "room"), values, strict=True))
        for values in product(grammar.actions, grammar.objects, grammar.rooms)
    ]


def _questions(grammar: _Grammar, said: _Said) -> Iterator[Row]:
    answers = {**said.slots, "gender": _GENDERS[said.speaker.gender]}
    asked = [(slot, question) for slot, questions in grammar.questions.items() for question in questions]
    asked.sort(key=lambda item: text_hash(f"{said.name} {item[1]}"))
    for slot, question in asked[:_QUESTIONS_PER_COMMAND]:
        columns = {**said.columns, "question": question, "answer": answers[slot]}
        yield _row("question", said.name, said.clip(), columns)


def _manners(grammar: _Grammar, split: Part) -> Iterator[Row]:
    told = sorted(_commands(grammar, split), key=lambda said: text_hash(said.name))
    for speaker in speakers_of(split):
        mine = [said for said in told if said.speaker == speaker][: _MANNERS_PER_SPEAKER[split]]
        for index, said in enumerate(mine):
            for name, manner in grammar.manners.items():
                full = f"{said.name}-{name}"
                clip = _clip(full, said.text, manner.of(speaker.voice(_LANGUAGE)))
                instruction = manner.instructions[int(text_hash(full), 16) % len(manner.instructions)]
                columns = {**said.columns, "manner": name, "instruction": instruction}
                # Another recording of the voice in its usual manner, which tells who is to speak, and not how.
                usual = mine[(index + 1) % len(mine)].clip()
                row = _row("manner", full, clip, columns)
                yield replace(row, companions={"enrolment": usual})


def _digits(grammar: _Grammar, split: Part) -> Iterator[Row]:
    """Yield strings that nobody else says in ``split``; those of a large training are of the usual one, or new."""
    strings = sorted((" ".join(digits) for digits in product(grammar.digits, repeat=_NUM_DIGITS)), key=text_hash)
    end_of_training = len(speakers_of("train")) * _DIGITS_PER_SPEAKER["train"]
    end_of_test = end_of_training + len(speakers_of("test")) * _DIGITS_PER_SPEAKER["test"]
    training, test = strings[:end_of_training], strings[end_of_training:end_of_test]
    mine = test if split == "test" else [*training, *strings[end_of_test:]]
    for index, speaker in enumerate(speakers_of(split)):
        number = _DIGITS_PER_SPEAKER.get(split, 0)
        texts = mine[index * number : (index + 1) * number]
        clips = [
            _clip(f"{split}/{speaker.name}-{text.replace(' ', '-')}", text, speaker.voice(_LANGUAGE))
            for text in texts
        ]
        for place, (text, clip) in enumerate(zip(texts, clips, strict=True)):
            row = _row("digits", clip.name, clip, _columns(split, speaker, text))
            yield replace(row, companions={"enrolment": clips[(place + 1) % number]})


RECIPE = Recipe(
    name="synth-commands.v1",
    labels=(
        "kind",
        "speaker",
        "gender",
        "language",
        "text",
        "intent",
        "action",
        "object",
        "room",
        "manner",
        "instruction",
        "question",
        "answer",
        "enrolment_path",
        "enrolment_sha256",
    ),
    rows=partial(_rows, "train", "test"),
    large={
        "train-large": partial(_rows, "train-large"),
        "test-large": partial(_rows, "test-large"),
    },
)
