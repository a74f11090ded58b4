"""What ABX compares: stretches of utterances with labels, from alignments, item files or columns of the corpus."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tokbench.corpora.item_files import ListedItem, read_item_file
from tokbench.corpora.tones import is_tonal, tone_of, without_tone
from tokbench.paths import items_dir
from tokbench.runners.views import FeatureKind
from tokbench.specs.base import StrictModel

if TYPE_CHECKING:
    from tokbench.corpora.base import Utterance
    from tokbench.corpora.intervals import Interval, Tier

__all__ = ["COLUMNS", "AbxArguments", "Label", "item_file_path", "labels_of"]

COLUMNS = ("category", "previous", "next", "speaker", "language", "alike")
"""What is known of an item."""
_LONGEST_GAP_S = 1e-3


class AbxArguments(StrictModel):
    """The ``[arguments]`` of an ABX task."""

    items: Literal["phone", "triphone", "word", "syllable", "tone", "utterance"] = "triphone"
    """What is to be told apart. A triphone is of its middle phone."""
    item_file: str = ""
    """Phones or triphones that a file in the format of Libri-Light lists, in the place of alignments: a path, or a
    name below ``$TOKBENCH_HOME/items``. ``items`` then only says which of the two they are."""
    category: str = "label"
    """Of whole utterances: the column of the corpus that says what they are, or ``text``."""
    context: Literal["within", "any"] = "within"
    """Whether A, B and X have the same neighbours (of phones), or are one syllable but for the tone (of tones)."""
    alike: tuple[str, ...] = ()
    """Of whole utterances: columns that A, B and X have in common."""
    features: FeatureKind = "quantized"
    """What is compared."""
    distance: Literal["angular", "cosine", "euclidean", "kl-symmetric", "identical"] = "angular"
    """Of two frames."""
    pooling: Literal["none", "mean", "hamming"] = "none"
    """Whether an item is its frames, their mean, or their mean under a Hamming window."""
    max_items: int = Field(default=10, ge=0)
    """Items of one category, context and speaker that are used at most, 0 for all: ``max_size_group`` of
    Libri-Light."""
    max_across: int = Field(default=5, ge=0)
    """Other speakers from whom X is taken at most, 0 for all: ``max_x_across`` of Libri-Light."""
    drop_last_frame: bool = False
    """Whether an item goes without its last frame, as in the code of Libri-Light."""

    @property
    def tier(self) -> "Tier | None":
        """The tier that items are taken from; none for whole utterances, and for those of a file."""
        if self.item_file or self.items == "utterance":
            return None
        if self.items == "tone":
            # Tones are read from how a syllable is written, where it must be known which syllable it is.
            return "syllable" if self.context == "within" else "tone"
        return "phone" if self.items == "triphone" else self.items

    @property
    def has_neighbours(self) -> bool:
        """Whether A, B and X have the same neighbours."""
        return self.context == "within" and self.items in {"phone", "triphone"}


@dataclass(frozen=True)
class Label:
    """An item before its frames are known."""

    start_s: float
    end_s: float
    columns: tuple[str, str, str, str, str, str]
    """Those of :data:`COLUMNS`."""

    @property
    def speaker(self) -> str:
        """Who says it; empty where that is not known."""
        return self.columns[COLUMNS.index("speaker")]


def labels_of(utterance: "Utterance", duration_s: float, arguments: AbxArguments) -> Iterator[Label]:
    """Yield the items of an utterance of ``duration_s`` seconds.

    Raises :class:`tokbench.errors.CorpusError` for an item file that cannot be read.
    """
    if arguments.item_file:
        yield from _listed(utterance, arguments)
    elif arguments.items == "utterance":
        category = _column(utterance, arguments.category)
        alike = "\t".join(_column(utterance, name) for name in arguments.alike)
        if category:
            yield _label(utterance, 0.0, duration_s, category, alike=alike)
    elif arguments.items == "tone" and arguments.tier == "syllable":
        yield from _tones(utterance)
    elif arguments.items in {"phone", "triphone"}:
        yield from _phones(utterance, is_triphone=arguments.items == "triphone")
    else:
        for item in utterance.intervals:
            yield _label(utterance, item.start_s, item.end_s, item.label)


def _label(
    utterance: "Utterance",
    start_s: float,
    end_s: float,
    category: str,
    *,
    around: tuple[str, str] = ("", ""),
    alike: str = "",
) -> Label:
    return Label(start_s, end_s, (category, *around, utterance.speaker, utterance.language, alike))


def _column(utterance: "Utterance", name: str) -> str:
    return utterance.text if name == "text" else utterance.labels.get(name, "")


def _phones(utterance: "Utterance", *, is_triphone: bool) -> Iterator[Label]:
    intervals = utterance.intervals
    for place, interval in enumerate(intervals):
        before = intervals[place - 1] if place else None
        after = intervals[place + 1] if place + 1 < len(intervals) else None
        first, last = interval, interval
        if is_triphone:
            if before is None or after is None or not _touch(before, interval) or not _touch(interval, after):
                continue
            first, last = before, after
        around = _name(before), _name(after)
        yield _label(utterance, first.start_s, last.end_s, interval.label, around=around)


def _name(interval: "Interval | None") -> str:
    return interval.label if interval is not None else ""


def _touch(first: "Interval", second: "Interval") -> bool:
    """Say whether nothing lies between two intervals: a pause makes no context."""
    return second.start_s - first.end_s < _LONGEST_GAP_S


def _tones(utterance: "Utterance") -> Iterator[Label]:
    language = utterance.language
    if not is_tonal(language):
        return
    for item in utterance.intervals:
        tone, rest = tone_of(language, item.label), without_tone(language, item.label)
        yield _label(utterance, item.start_s, item.end_s, tone, alike=rest)


def _listed(utterance: "Utterance", arguments: AbxArguments) -> Iterator[Label]:
    found = _item_file(item_file_path(arguments.item_file))
    for item in found.get(utterance.id) or found.get(utterance.path.stem, ()):
        interval = item.interval
        columns = (interval.label, item.previous, item.next, item.speaker, utterance.language, "")
        yield Label(interval.start_s, interval.end_s, columns)


def item_file_path(name: str) -> Path:
    """Return where the item file ``name`` is looked for: as a path, and below ``$TOKBENCH_HOME/items``."""
    path = Path(name).expanduser()
    return path if path.is_file() else items_dir() / path


@functools.lru_cache(maxsize=2)
def _item_file(path: Path) -> Mapping[str, tuple[ListedItem, ...]]:
    return read_item_file(path)
