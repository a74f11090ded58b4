"""Alignments: which phone, word, syllable or tone is spoken when.

They lie in one CSV file beside the manifest, ``alignments.csv``, in the order of the manifest, with the columns
``id``, ``tier``, ``start_s``, ``end_s`` and ``label``. Where an utterance has no syllables, they are its words that
have one tone each, as written words of Mandarin, Cantonese and Vietnamese may be.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import get_args

from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval, Tier
from tokbench.corpora.text_files import opened
from tokbench.errors import CorpusError

__all__ = ["FILE_NAME", "AlignedUtterance", "read_alignments", "write_alignments"]

FILE_NAME = "alignments.csv"
_HEADER = ["id", "tier", "start_s", "end_s", "label"]
_TIERS = get_args(Tier)
_OVERHANG_S = 0.1
"""By which an interval may end after its segment: who aligns pads the audio."""


@dataclass(frozen=True)
class AlignedUtterance:
    """An utterance with the intervals of one tier, in order and without overlap."""

    utterance: Utterance
    intervals: tuple[Interval, ...]


def write_alignments(path: Path, rows: Iterable[tuple[str, Tier, Interval]]) -> None:
    """Write utterance id, tier and interval per row; times in seconds with microseconds."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for utterance_id, tier, interval in rows:
            times = (f"{interval.start_s:.6f}", f"{interval.end_s:.6f}")
            writer.writerow([utterance_id, tier, *times, interval.label])


def read_alignments(path: Path, utterances: Iterable[Utterance], tier: Tier) -> Iterator[AlignedUtterance]:
    """Yield each of ``utterances`` that has intervals on ``tier``.

    Both are read in step, so that memory does not grow. Raises :class:`CorpusError` if the file is missing, if it
    is malformed, if it does not follow the order of the utterances, or if an interval ends after the segment that
    its utterance is; of whole files it is not known here how long they are.
    """
    if tier not in _TIERS:
        msg = f"no tier named {tier!r}; there are {', '.join(_TIERS)}"
        raise CorpusError(msg)
    if not path.is_file():
        msg = f"{path}: no such file; this corpus has no alignments"
        raise CorpusError(msg)
    remaining = iter(utterances)
    waiting = next(remaining, None)
    for utterance_id, rows in groupby(_rows(path), key=itemgetter("id")):
        if waiting is None:
            return
        if utterance_id != waiting.id:  # not among the utterances that were asked for
            continue
        intervals = _on_tier(path, list(rows), tier)
        if intervals:
            _check_end(path, waiting, intervals)
            yield AlignedUtterance(waiting, intervals)
        waiting = next(remaining, None)
    if waiting is not None:
        msg = f"{path}: nothing about {waiting.id}, or not in the order of the manifest"
        raise CorpusError(msg)


def _check_end(path: Path, utterance: Utterance, intervals: Sequence[Interval]) -> None:
    end_s = max(interval.end_s for interval in intervals)
    if utterance.duration_s is not None and end_s > utterance.duration_s + _OVERHANG_S:
        msg = (
            f"{path}: {utterance.id}: an interval ends at {end_s:g} s of a segment of {utterance.duration_s:g} s; "
            "times count from the start of the segment"
        )
        raise CorpusError(msg)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with opened(path) as file:
        reader = csv.reader(file)
        if next(reader, None) != _HEADER:
            msg = f"{path}: the first line must be {','.join(_HEADER)}"
            raise CorpusError(msg)
        for cells in reader:
            if len(cells) != len(_HEADER):
                msg = f"{path}: line {reader.line_num}: {len(cells)} cells where {len(_HEADER)} were expected"
                raise CorpusError(msg)
            if cells[1] not in _TIERS:
                msg = f"{path}: line {reader.line_num}: no tier named {cells[1]!r}; there are {', '.join(_TIERS)}"
                raise CorpusError(msg)
            yield dict(zip(_HEADER, cells, strict=True))


def _on_tier(path: Path, rows: list[dict[str, str]], tier: Tier) -> tuple[Interval, ...]:
    found = tuple(_interval(path, row) for row in rows if row["tier"] == tier)
    if found or tier != "syllable":
        return found
    tones = {(row["start_s"], row["end_s"]) for row in rows if row["tier"] == "tone"}
    words = (row for row in rows if row["tier"] == "word")
    return tuple(_interval(path, row) for row in words if (row["start_s"], row["end_s"]) in tones)


def _interval(path: Path, row: dict[str, str]) -> Interval:
    try:
        return Interval(float(row["start_s"]), float(row["end_s"]), row["label"])
    except ValueError as error:
        msg = f"{path}: {row['id']}: {error}"
        raise CorpusError(msg) from error
