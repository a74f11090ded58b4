"""How a corpus is asked for: ``kind:location?column=value&column=value|value``."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from tokbench.errors import CorpusError, UnknownNameError

__all__ = ["LARGE_SPLITS", "CorpusReference", "Filters", "corpus_name", "may_share"]

_SPLITS = frozenset({"train", "training", "dev", "valid", "validation", "test", "eval"})
_TEST = "test"
LARGE_SPLITS = ("train-large", "test-large")
"""What splits with more recordings are called, in every corpus that is made here and has them."""
_LARGE = "large"
"""What they are called more than the splits that they are more of."""
_VERSIONED = re.compile(r"(.+?\.v\d+)-?(.*)")
"""Names of such corpora have hyphens in them, and end with a version: ``synth-words.v1-digit``."""
_MADE_HERE = "synth"
"""Such corpora are their test part where no split is asked for."""

Filters = Mapping[str, tuple[str, ...]]
"""The values that each column may have; ``&``, ``|`` and ``%`` inside a value are written as in a URL (``%26``)."""


@dataclass(frozen=True)
class CorpusReference:
    """A corpus reference taken apart."""

    kind: str
    location: str
    query: str
    """What stands after the question mark, as it was typed."""
    filters: Filters

    @classmethod
    def parse(cls, text: str) -> "CorpusReference":
        """Take ``text`` apart; raises :class:`CorpusError` for a query that is not ``column=value``."""
        head, mark, query = text.rpartition("?")
        if not mark or "/" in query.partition("=")[0]:  # a question mark in a folder's name begins no query
            head, query = text, ""
        kind, _, location = head.partition(":")
        filters: dict[str, tuple[str, ...]] = {}
        for item in query.split("&") if query else []:
            column, equals, values = item.partition("=")
            column = unquote(column)
            if not (equals and column and values):
                msg = f"{text}: expected column=value after the question mark, found {item!r}"
                raise CorpusError(msg)
            if column in filters:
                msg = f"{text}: {column} is given twice; write {column}=one|other for several values"
                raise CorpusError(msg)
            filters[column] = tuple(unquote(value) for value in values.split("|"))
        return cls(kind, location, query, filters)

    def without_folders(self, location: str = "") -> str:
        """Return the reference with ``location`` in place of this machine's folders, for a record."""
        where = f"{self.kind}:{location}" if location else self.kind
        return f"{where}?{self.query}" if self.query else where

    def with_filter(self, column: str, value: str) -> str:
        """Return the reference that asks for ``value`` in ``column``, whatever was asked for there before."""
        items = [item for item in self.query.split("&") if item and unquote(item.partition("=")[0]) != column]
        where = f"{self.kind}:{self.location}" if self.location else self.kind
        return f"{where}?{'&'.join([*items, f'{quote(column)}={quote(value)}'])}"

    def require_only(self, columns: Collection[str]) -> None:
        """Raise :class:`UnknownNameError` for a query beyond ``columns``."""
        for column in self.filters:
            if column not in columns:
                raise UnknownNameError(f"option of {self.kind}", column, columns, command="tokbench list corpora")

    def path(self) -> Path:
        """Return the location as a path; raises :class:`CorpusError` where it is empty."""
        if not self.location:
            msg = f"{self.kind}: needs a path, such as {self.kind}:some/where"
            raise CorpusError(msg)
        return Path(self.location).expanduser()


def corpus_name(stem: str, filters: Filters) -> str:
    """Return a name that any file system takes: ``stem`` and the values that were asked for."""
    parts = [stem, *("+".join(values) for values in filters.values())]
    return "-".join(re.sub(r"[^\w.+-]+", "_", part).strip(".") or "_" for part in parts)


def may_share(learnt: str, scored: str) -> bool:
    """Say whether a corpus named ``learnt`` may hold recordings that tasks on one named ``scored`` are scored on.

    Names are all that is known of what a published codec has heard. Those of :func:`corpus_name` tell what was
    asked for: values of a split and of anything else. What a name leaves open is taken to be all of it; of training
    and test together, a task scores the test.

    >>> may_share("speech-train-digits+syllables", "speech-syllables"), may_share("librispeech", "librispeech-test")
    (True, True)
    >>> may_share("speech-train-digits+syllables", "speech-digits-test"), may_share("synth.v1-train", "synth.v1")
    (False, False)
    """
    (mine, my_splits, my_words), (theirs, splits, groups) = _taken_apart(learnt), _taken_apart(scored)
    if mine != theirs:
        return False
    if _TEST in splits or (not splits and theirs.startswith(_MADE_HERE)):
        splits = {_TEST}
    heard = {word for group in my_words for word in group}
    is_split_shared = not my_splits or not splits or not my_splits.isdisjoint(splits)
    return is_split_shared and (not heard or all(not heard.isdisjoint(group) for group in groups))


def _taken_apart(name: str) -> tuple[str, set[str], list[set[str]]]:
    """Return how a name begins, the splits in it, and the alternatives of each of its other parts."""
    named = _VERSIONED.match(name.casefold())
    start, rest = (named[1], named[2]) if named else name.casefold().partition("-")[::2]
    groups = [set(part.split("+")) for part in rest.split("-") if part]
    splits = {word for group in groups for word in group if word in _SPLITS}
    others = [group - _SPLITS - {_LARGE} for group in groups]
    return start, splits, [group for group in others if group]
