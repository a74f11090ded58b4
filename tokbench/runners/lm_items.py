"""From the utterances of a task to what its language model learns from and is asked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from tokbench.audio import Audio
from tokbench.lm.items import CorpusMaterial, Item, Material, contents_of, group_of, notes_of, with_others
from tokbench.specs.lm_task import AROUND, names_in

if TYPE_CHECKING:
    from tokbench.corpora.base import Corpus, Utterance
    from tokbench.lm.items import Content

__all__ = ["TaskItems"]

_SLOTS, _JSON_LABEL = "slots", "label"
_NUM_PARTNERS = 64
"""Utterances among which the one is that an answer is swapped with."""
_NOTES, _EDITED = "notes", "edited_word"


class TaskItems(Material):
    """The utterances of ``corpus`` as items of ``form``, in which some contents stand for others.

    ``renamed`` holds the old name of each content by its new one, or a sentence with names in braces. Beside what
    any item has there are the companion ``noise``; ``slots``, made of a label in JSON as ``slot value; slot
    value``; ``notes`` as numbers; and, if ``is_edited``, what the recording has ``before`` and ``after`` its
    ``edited_word``.
    """

    def __init__(self, corpus: "Corpus", *, form: str, renamed: Mapping[str, str], is_edited: bool = False) -> None:
        self.corpus, self.form, self.renamed, self.is_edited = corpus, form, renamed, is_edited
        self._items = CorpusMaterial(corpus)
        self.name, self.reference, self.licence = corpus.name, corpus.reference, corpus.licence

    def __len__(self) -> int:
        return len(self.corpus)

    def __iter__(self) -> Iterator[Item]:
        utterances = self.corpus.with_intervals("word") if self.is_edited else self.corpus
        pairs = zip(utterances, with_others(self.corpus), strict=True)  # of a large corpus, not all at once
        return (self._item(utterance, other) for utterance, (_, other) in pairs)

    def item(self, utterance: "Utterance") -> Item:
        """Return what there is of ``utterance``, one of the corpus."""
        return self._item(utterance, self._others.get(utterance.id))

    def _item(self, utterance: "Utterance", other: "Utterance | None") -> Item:
        contents = contents_of(utterance, other)
        if "noise" in utterance.companions:
            contents["noise"] = utterance.read_companion("noise")
        if slots := _slots(utterance.labels.get(_JSON_LABEL, "")):
            contents[_SLOTS] = slots
        if self.is_edited:
            contents |= _around(utterance)
        chosen = {new: _chosen(contents, old) for new, old in self.renamed.items()}
        contents = {name: content for name, content in contents.items() if name not in chosen}
        contents |= {name: content for name, content in chosen.items() if content is not None}
        if isinstance(notes := contents.get(_NOTES), str):
            try:
                contents[_NOTES] = notes_of(notes)
            except ValueError:  # remarks, and no score
                del contents[_NOTES]
        return Item(utterance.id, contents, self.form, group_of(utterance, contents))

    def wrong(self, utterance: "Utterance") -> Item:
        """Return its companion that is less likely; raises :class:`NotApplicableError` where there is none."""
        contents = dict(self.item(utterance).contents) | {"audio": utterance.read_companion("wrong")}
        if text := utterance.labels.get("wrong_text", ""):
            contents["text"] = text
        return Item(f"{utterance.id} (wrong)", contents, self.form)

    def partner(self, utterance: "Utterance") -> "Utterance":
        """Return which of the utterances after this one, round and round, asks for most that is different."""
        everything, start = self._utterances, self._places[utterance.id]
        steps = range(1, min(_NUM_PARTNERS, len(everything) - 1) + 1)
        after = [everything[(start + step) % len(everything)] for step in steps]
        mine = _facts_of(utterance)
        return max(after, key=lambda other: len(mine.items() - _facts_of(other).items()), default=utterance)

    @cached_property
    def _utterances(self) -> "list[Utterance]":
        return list(self.corpus)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {utterance.id: place for place, utterance in enumerate(self._utterances)}

    @cached_property
    def _others(self) -> "dict[str, Utterance]":
        """Of each utterance another one of its speaker."""
        return {utterance.id: other for utterance, other in with_others(self.corpus) if other is not None}

    @property
    def sha256(self) -> str:
        """Hash of the corpus, and of what is made of it here."""
        times = self.corpus.intervals_sha256 if self.is_edited else ""
        facts = [3, self._items.sha256, self.form, sorted(self.renamed.items()), times]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the corpus."""
        return self.corpus.names


def _facts_of(utterance: "Utterance") -> dict[str, str]:
    """Return what is known of an utterance."""
    return {**utterance.labels, "speaker": utterance.speaker, "text": utterance.text}


def _chosen(contents: Mapping[str, "Content"], wanted: str) -> "Content | None":
    """Return the content called ``wanted``, or a sentence with contents in it; None where one of them is not there.

    >>> _chosen({"room": "hall", "text": "off"}, "{text} in the {room}")
    'off in the hall'
    """
    if not (names := names_in(wanted)):
        return contents.get(wanted)
    words = {name: content for name in names if isinstance(content := contents.get(name), str)}
    return wanted.format_map(words) if len(words) == len(names) else None


def _around(utterance: "Utterance") -> dict[str, "Content"]:
    """Return what is before the edited word and what is after it; nothing where it is not known when it is said."""
    place = utterance.labels.get(_EDITED, "")
    if not place.isdecimal() or int(place) >= len(utterance.intervals):
        return {}
    audio, word = utterance.read(), utterance.intervals[int(place)]
    start, end = (round(time_s * audio.sample_rate_hz) for time_s in (word.start_s, word.end_s))
    if not 0 < start <= end < audio.num_samples:
        return {}
    pieces = (audio.samples[:, :start], audio.samples[:, end:])
    made = (Audio(piece.contiguous(), audio.sample_rate_hz) for piece in pieces)
    return dict(zip(AROUND, made, strict=True))


def _slots(label: str) -> str:
    """Return a label in JSON in words; empty for another label.

    >>> _slots('{"size": "small", "coffeeDrink": "latte"}')
    'coffeeDrink latte; size small'
    """
    if not label.startswith("{"):
        return ""
    try:
        found = json.loads(label)
    except json.JSONDecodeError:
        return ""
    return "; ".join(f"{slot} {value}" for slot, value in sorted(found.items()))
