"""What findings are made of: a claim, a verdict that is computed, and evidence in words and numbers."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from findings_records import Gap, Records, counted, number, place, rate, table, told

from tokbench.leaderboard.cells import SourceRecord
from tokbench.leaderboard.numbers import with_digits
from tokbench.metrics.catalogue import METRICS

__all__ = [
    "Finding",
    "Pair",
    "Verdict",
    "by_size",
    "num_clear",
    "numbers",
    "of_kinds",
    "of_pairs",
    "some_of",
    "taught_and_not",
    "verdict_of",
]

Verdict = Literal["reproduced", "reproduced in part", "not reproduced", "undecided", "not measured"]
Pair = tuple[SourceRecord, SourceRecord, Gap]
"""Two records and by how much the first, which is expected to be better, is."""
TAUGHT = {"speechtokenizer-tiny": "encodec-tiny", "speechtokenizer": "encodec"}
"""Codecs whose first codebook has a teacher, and the ones to compare them with."""
UNITS = re.compile(r"^(?P<features>.+)-km(?P<size>\d+)$")
"""Names of k-means units: of which features, and how many."""
NUM_TOLD = 6
"""Exceptions that are named; the others are counted."""


@dataclass(frozen=True)
class Finding:
    """A claim and what became of it."""

    claim: str
    source: str
    verdict: Verdict
    evidence: str
    table: tuple[str, ...] = ()
    """Lines of a table, its head included."""
    reason: str = ""
    """What may have kept the claim from being reproduced; told where it was not."""
    caveat: str = ""
    """What the two differ in beside what the claim is about, in sentences."""


def of_pairs(
    claim: str,
    source: str,
    pairs: Sequence[Pair],
    *,
    what: str,
    shown: tuple[str, ...],
    reason: str,
) -> Finding:
    """Return what follows from pairs whose first is expected to be better."""
    if not pairs:
        return Finding(claim, source, "not measured", "There are no records of both.")
    more, less = num_clear(gap for *_, gap in pairs)
    against = [
        f"`{first.label}` against `{second.label}` on {first.record.corpus.name}"
        for first, second, gap in pairs
        if gap.high < 0
    ]
    listed = some_of(against)
    corpora = ", ".join(sorted({first.record.corpus.name for first, *_ in pairs}))
    middle = statistics.median(gap.value for *_, gap in pairs)
    side = "against" if middle < 0 else "in favour of"
    evidence = (
        f"In {more} of {counted(len(pairs), 'pair')} ({corpora}) {what}, clearly; in {less} the opposite is clear"
        f"{listed}. The median difference is {with_digits(abs(middle))} {side} the claim."
    )
    return Finding(claim, source, verdict_of(more, less, len(pairs)), evidence, table=shown, reason=reason)


def some_of(told: Sequence[str], separator: str = ", ") -> str:
    """Return the first of what is ``told``, as it follows a number of them; nothing for none."""
    if not told:
        return ""
    return f"{', among them' if len(told) > NUM_TOLD else ':'} {separator.join(told[:NUM_TOLD])}"


def num_clear(gaps: Iterable[Gap]) -> tuple[int, int]:
    """Return how many of ``gaps`` clearly speak for the first, and how many against it."""
    clear = [gap.value > 0 for gap in gaps if gap.is_clear]
    return sum(clear), len(clear) - sum(clear)


def verdict_of(num_for: int, num_against: int, num_total: int) -> Verdict:
    """Return what follows from how many comparisons clearly speak for a claim, and how many against it."""
    if not num_for and not num_against:
        return "undecided"
    if not num_for:
        return "not reproduced"
    if num_against > num_for:
        return "not reproduced"
    return "reproduced" if not num_against and 2 * num_for > num_total else "reproduced in part"


def numbers(
    sources: Sequence[SourceRecord], records: Records, metrics: Mapping[str, str], group: str = "all"
) -> tuple[str, ...]:
    """Return a table of the numbers of ``sources``, metrics by heading, best first by the last of them."""
    last = list(metrics)[-1]
    better = METRICS[last].better
    sign = -1.0 if better == "higher" else 1.0

    def order(source: SourceRecord) -> tuple[str, float, str]:
        summary = number(source, last, group)
        return source.record.corpus.name, sign * ((summary.value if summary else None) or 0.0), source.label

    rows = [
        [
            *place(source),
            records.kind(source),
            rate(source),
            *(told(number(source, metric, group)) for metric in metrics),
        ]
        for source in sorted({source.path: source for source in sources}.values(), key=order)
    ]
    return table(("corpus", "tokenizer", "kind", "kbit/s", *metrics.values()), rows) if rows else ()


def of_kinds(
    sources: Sequence[SourceRecord], records: Records, first: str, second: Sequence[str]
) -> Iterator[tuple[SourceRecord, SourceRecord]]:
    """Yield every two records of one corpus, one of the kind ``first`` and one of the kinds ``second``."""
    for one in sources:
        for other in sources:
            is_pair = records.kind(one) == first and records.kind(other) in second
            if is_pair and one.record.corpus.name == other.record.corpus.name:
                yield one, other


def by_size(sources: Iterable[SourceRecord]) -> Iterator[tuple[tuple[str, str], list[tuple[int, SourceRecord]]]]:
    """Yield, by corpus and features, the records of units of the same features with their number, fewest first."""
    ladders: dict[tuple[str, str], list[tuple[int, SourceRecord]]] = defaultdict(list)
    for source in sources:
        found = UNITS.match(source.record.codec.name)
        if found and "dedup" not in source.record.codec.setting:
            ladders[source.record.corpus.name, found["features"]].append((int(found["size"]), source))
    for where in sorted(ladders):
        yield where, sorted(ladders[where], key=lambda entry: entry[0])


def taught_and_not(
    sources: Sequence[SourceRecord], *, same_setting: bool = False
) -> Iterator[tuple[SourceRecord, SourceRecord]]:
    """Yield records of a taught codec with those of its counterpart: of the most codebooks, or of each setting."""
    for taught, other in TAUGHT.items():
        for corpus in sorted({source.record.corpus.name for source in sources}):
            mine, theirs = (
                {
                    source.record.codec.setting: source
                    for source in sources
                    if (source.record.codec.name, source.record.corpus.name) == (name, corpus)
                }
                for name in (taught, other)
            )
            if same_setting:
                yield from ((mine[setting], theirs[setting]) for setting in mine if setting in theirs)
            elif mine and theirs:
                yield _largest(mine.values()), _largest(theirs.values())


def _largest(sources: Iterable[SourceRecord]) -> SourceRecord:
    return max(sources, key=lambda source: (source.record.codec.bitrate_bps or 0.0, source.record.codec.setting))
