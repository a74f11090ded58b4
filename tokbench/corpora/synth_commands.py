"""The corpus ``synth-commands``: commands for a house, strings of digits, manners of speaking, and questions.

``kind`` is one of

- ``command``: one of 24 intents (``action``, ``object``, ``room``) in one of three phrases;
- ``digits``: three digits, of which training and test share no string;
- ``manner``: a command said in one of four ``manner``s, with an ``instruction`` that asks for it;
- ``question``: a recording of a command, a ``question`` about it and its ``answer`` in a word.

Speakers of training and test are others. A closed vocabulary: small models can learn to hear it and to say it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path

from tokbench.corpora.espeak import Voice
from tokbench.corpora.generated import Clip, Recipe, Row, text_hash
from tokbench.corpora.spoken import spoken
from tokbench.corpora.synth_recipe import Speaker, Split, speakers_of
from tokbench.specs.base import StrictModel, read_toml

__all__ = ["RECIPE"]

_GRAMMAR = Path(__file__).parent / "grammars" / "commands.toml"
_LANGUAGE = "en-us"
_SPLITS: tuple[Split, ...] = ("train", "test")
_DIGITS_PER_SPEAKER: dict[Split, int] = {"train": 20, "test": 10}
_MANNERS_PER_SPEAKER: dict[Split, int] = {"train": 4, "test": 2}
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

    split: Split
    speaker: Speaker
    slots: Mapping[str, str]
    text: str

    @cached_property
    def name(self) -> str:
        """Unique in the corpus."""
        return f"{self.split}/{self.speaker.name}-{'-'.join(self.slots.values())}"

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


def _columns(split: Split, speaker: Speaker, text: str) -> dict[str, str]:
    return {
        "split": split,
        "speaker": speaker.name,
        "gender": speaker.gender,
        "language": _LANGUAGE,
        "text": text,
    }


def _clip(name: str, text: str, voice: Voice) -> Clip:
    return Clip(name, partial(spoken, text, voice, _LANGUAGE, seed=f"synth-commands {name}"))


def _rows() -> list[Row]:
    grammar = read_toml(_GRAMMAR, _Grammar)
    rows: list[Row] = []
    for split in _SPLITS:
        for said in _commands(grammar, split):
            rows += [_row("command", said.name, said.clip(), said.columns), *_questions(grammar, said)]
        rows += [*_manners(grammar, split), *_digits(grammar, split)]
    return rows


def _row(kind: str, name: str, clip: Clip, columns: Mapping[str, str]) -> Row:
    return Row(id=f"{kind}-{name.replace('/', '-')}", clip=clip, columns={"kind": kind, **columns})


def _commands(grammar: _Grammar, split: Split) -> Iterator[_Said]:
    """Yield every intent by every speaker; who says which phrase of it goes in turns."""
    for speaker_index, speaker in enumerate(speakers_of(split)):
        for index, values in enumerate(product(grammar.actions, grammar.objects, grammar.rooms)):
            slots = dict(zip(("action", "object", "room"), values, strict=True))
            phrase = grammar.phrases[(index + speaker_index) % len(grammar.phrases)]
            yield _Said(split, speaker, slots, phrase.format(**slots))


def _questions(grammar: _Grammar, said: _Said) -> Iterator[Row]:
    answers = {**said.slots, "gender": _GENDERS[said.speaker.gender]}
    asked = [(slot, question) for slot, questions in grammar.questions.items() for question in questions]
    asked.sort(key=lambda item: text_hash(f"{said.name} {item[1]}"))
    for slot, question in asked[:_QUESTIONS_PER_COMMAND]:
        columns = {**said.columns, "question": question, "answer": answers[slot]}
        yield _row("question", said.name, said.clip(), columns)


def _manners(grammar: _Grammar, split: Split) -> Iterator[Row]:
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


def _digits(grammar: _Grammar, split: Split) -> Iterator[Row]:
    strings = sorted((" ".join(digits) for digits in product(grammar.digits, repeat=_NUM_DIGITS)), key=text_hash)
    num_training = len(speakers_of("train")) * _DIGITS_PER_SPEAKER["train"]
    mine = strings[:num_training] if split == "train" else strings[num_training:]
    for index, speaker in enumerate(speakers_of(split)):
        number = _DIGITS_PER_SPEAKER[split]
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
    rows=_rows,
)
