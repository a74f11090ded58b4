"""Item files: which stretches of which recordings ABX compares, as Libri-Light and ZeroSpeech publish them.

One line for each item, after a first line with the names of the columns: ``#file onset offset #phone prev-phone
next-phone speaker``, with times in seconds. A triphone is of its middle phone and lasts as long as all three.

Source: Libri-Light (Kahn et al. 2020, arXiv:1912.07875), ``eval/ABX_src``, and its ``ABX_data``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokbench.corpora.intervals import Interval
from tokbench.corpora.text_files import opened
from tokbench.errors import CorpusError

__all__ = ["COLUMNS", "ListedItem", "read_item_file"]

COLUMNS = ("#file", "onset", "offset", "#phone", "prev-phone", "next-phone", "speaker")


@dataclass(frozen=True, slots=True)
class ListedItem:
    """One line of an item file."""

    interval: Interval
    """When, and which phone it is."""
    previous: str
    next: str
    speaker: str


def read_item_file(path: Path) -> Mapping[str, tuple[ListedItem, ...]]:
    """Return the items of each recording, by the name of its file without an ending.

    Raises :class:`CorpusError` for a file that is missing, has other columns, or has a line that is no item.
    """
    found: dict[str, list[ListedItem]] = {}
    for name, item in _lines(path):
        found.setdefault(name, []).append(item)
    return {name: tuple(items) for name, items in found.items()}


def _lines(path: Path) -> Iterator[tuple[str, ListedItem]]:
    with opened(path) as file:
        header = tuple(file.readline().split())
        if header != COLUMNS:
            msg = f"{path}: the first line must be '{' '.join(COLUMNS)}', found '{' '.join(header)}'"
            raise CorpusError(msg)
        for number, line in enumerate(file, start=2):
            if cells := line.split():
                yield cells[0], _item(path, number, cells)


def _item(path: Path, number: int, cells: list[str]) -> ListedItem:
    if len(cells) != len(COLUMNS):
        msg = f"{path}: line {number}: {len(cells)} cells where {len(COLUMNS)} were expected"
        raise CorpusError(msg)
    _, onset, offset, phone, previous, following, speaker = cells
    try:
        return ListedItem(Interval(float(onset), float(offset), phone), previous, following, speaker)
    except ValueError as error:
        msg = f"{path}: line {number}: {error}"
        raise CorpusError(msg) from error
