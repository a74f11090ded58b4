"""One order of all codecs of about the same bitrate, from their ranks in many columns.

Within a band of bitrate, a codec's rank in a column is 1, and 1 for each codec that is surely better, and one half
for each that it is tied with: ties share the mean of their places (Kendall 1945, The treatment of ties in ranking
problems), so that a column in which all are tied moves nobody. The rank of a question is the mean over its columns,
and the joint rank the mean over questions: each has the same weight, and none is hidden. A missing number leaves
its question without a rank, and the codec without a joint one. Questions that were asked of nobody on a corpus are
left out for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tokbench.leaderboard.cells import Row, Section
from tokbench.leaderboard.spec import Leaderboard, Ranking
from tokbench.leaderboard.ties import Draws, goodness, takes_part

__all__ = ["Band", "Ranked", "Ranks", "rank"]


@dataclass(frozen=True)
class Ranked:
    """One codec among those of its band."""

    row: Row
    place: int | None
    """From 1, equal joint ranks sharing the first of their places; None without a joint rank."""
    joint: float | None
    """Mean of the ranks of all questions; None where one is missing."""
    questions: Mapping[str, float | None]
    """Rank of each question by its heading."""


@dataclass(frozen=True)
class Band:
    """Codecs of about the same bitrate, best first, those without a joint rank last."""

    low_bps: float
    high_bps: float
    ranked: tuple[Ranked, ...]


@dataclass(frozen=True)
class Ranks:
    """The order of a section."""

    bands: tuple[Band, ...]
    """From the lowest bitrate to the highest; without those in which there is nobody."""
    headings: tuple[str, ...]
    """The questions that were asked."""
    not_asked: tuple[str, ...]
    """Questions of which nobody has a number on this corpus."""
    outside: tuple[str, ...]
    """Labels of the codecs whose bitrate is unknown or in no band."""


def rank(board: Leaderboard, section: Section) -> Ranks | None:
    """Return the order of ``section``; None where the leaderboard asks for none. Anchors take no part."""
    ranking = board.ranking
    if ranking is None:
        return None
    rows = [row for row in section.rows if not row.is_anchor]
    asked = {
        question.heading: question.columns
        for question in ranking.questions
        if any(takes_part(row.cells[key]) for row in rows for key in question.columns)
    }
    banded = {
        edges: [row for row in rows if _is_within(ranking, row, *edges)] for edges in pairwise(ranking.edges_bps)
    }
    inside = {row.label for members in banded.values() for row in members}
    draws = Draws(board)
    return Ranks(
        tuple(_band(draws, edges, members, asked) for edges, members in banded.items() if members),
        tuple(asked),
        tuple(question.heading for question in ranking.questions if question.heading not in asked),
        tuple(row.label for row in rows if row.label not in inside),
    )


def _is_within(ranking: Ranking, row: Row, low_bps: float, high_bps: float) -> bool:
    rate_bps = row.cells[ranking.rate].value
    return rate_bps is not None and low_bps <= rate_bps < high_bps


def _band(
    draws: Draws, edges: tuple[float, float], rows: Sequence[Row], asked: Mapping[str, Sequence[str]]
) -> Band:
    columns = {key: _column_ranks(draws, rows, key) for keys in asked.values() for key in keys}
    found = []
    for row in rows:
        questions = {
            heading: _mean([columns[key].get(row.label) for key in keys]) for heading, keys in asked.items()
        }
        found.append((row, questions, _mean(list(questions.values()))))
    joint = [value for _, _, value in found if value is not None]
    ranked = [
        Ranked(row, None if value is None else 1 + sum(other < value for other in joint), value, questions)
        for row, questions, value in found
    ]
    return Band(
        *edges, tuple(sorted(ranked, key=lambda item: (item.joint is None, item.joint or 0.0, item.row.label)))
    )


def _column_ranks(draws: Draws, rows: Sequence[Row], key: str) -> dict[str, float]:
    """Return the rank of each of ``rows`` that has a number in the column ``key``, by label."""
    members = [row for row in rows if takes_part(row.cells[key])]
    if not members:
        return {}
    compared = draws.compared(key, members)
    values = np.array([goodness(row.cells[key]) for row in members])
    ranks = {}
    for place, row in enumerate(members):
        tied = compared.tied_with(place)
        tied[place] = False
        ranks[row.label] = 1.0 + float((~tied & (values > values[place])).sum()) + float(tied.sum()) / 2
    return ranks


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    # Halves and thirds: rounded, so that equal means are equal whatever the order of the sum.
    return round(sum(present) / len(present), 9) if present and len(present) == len(values) else None
