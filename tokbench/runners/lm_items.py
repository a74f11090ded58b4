"""From the utterances of a task to what its language model learns from and is asked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from tokbench.lm.items import CorpusMaterial, Item, Material, contents_of, with_others

if TYPE_CHECKING:
    from tokbench.corpora.base import Corpus, Utterance
    from tokbench.lm.items import Content

__all__ = ["TaskItems"]

_SLOTS, _JSON_LABEL = "slots", "label"
_NOTES = "notes"


class TaskItems(Material):
    """The utterances of ``corpus`` as items of ``form``, in which some contents stand for others.

    ``renamed`` holds the old name of each content by its new one. Beside what any item has there are the companion
    ``noise``; ``slots``, made of a label in JSON as ``slot value; slot value``; and ``notes`` as numbers.
    """

    def __init__(self, corpus: "Corpus", *, form: str, renamed: Mapping[str, str]) -> None:
        self.corpus, self.form, self.renamed = corpus, form, renamed
        self._items = CorpusMaterial(corpus)
        self.name, self.reference, self.licence = corpus.name, corpus.reference, corpus.licence

    def __len__(self) -> int:
        return len(self.corpus)

    def __iter__(self) -> Iterator[Item]:
        return (self.item(utterance) for utterance in self.corpus)

    def item(self, utterance: "Utterance") -> Item:
        """Return what there is of ``utterance``, one of the corpus."""
        contents = contents_of(utterance, self._others.get(utterance.id))
        if "noise" in utterance.companions:
            contents["noise"] = utterance.read_companion("noise")
        if slots := _slots(utterance.labels.get(_JSON_LABEL, "")):
            contents[_SLOTS] = slots
        chosen = {new: contents[old] for new, old in self.renamed.items() if old in contents}
        lost = {new for new, old in self.renamed.items() if old not in contents}
        contents = {name: content for name, content in contents.items() if name not in lost} | chosen
        if isinstance(notes := contents.get(_NOTES), str):
            contents[_NOTES] = _numbers(notes)
        return Item(utterance.id, contents, self.form)

    def wrong(self, utterance: "Utterance") -> Item:
        """Return its companion that is less likely; raises :class:`NotApplicableError` where there is none."""
        contents = dict(self.item(utterance).contents) | {"audio": utterance.read_companion("wrong")}
        if text := utterance.labels.get("wrong_text", ""):
            contents["text"] = text
        return Item(f"{utterance.id} (wrong)", contents, self.form)

    @cached_property
    def _others(self) -> "dict[str, Utterance]":
        """Of each utterance another one of its speaker."""
        return {utterance.id: other for utterance, other in with_others(self.corpus) if other is not None}

    @property
    def sha256(self) -> str:
        """Hash of the corpus, and of what is made of it here."""
        facts = [1, self._items.sha256, self.form, sorted(self.renamed.items())]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the corpus."""
        return self.corpus.names


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


def _numbers(notes: str) -> "Content":
    """Return int64 [2, N], the pitches and lengths of a score as a manifest tells it.

    >>> _numbers("60:25 62:50").tolist()
    [[60, 62], [25, 50]]
    """
    pairs = [[int(part) for part in note.split(":")] for note in notes.split()]
    return torch.tensor(pairs, dtype=torch.int64).T.contiguous()
