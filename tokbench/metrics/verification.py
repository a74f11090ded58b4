"""Speaker verification: the equal error rate over trials, and its interval over speakers.

A trial is a score with the speakers of both sides. Accepting all trials whose score is at least some threshold
makes two errors: the share of trials of one speaker that are rejected, and the share of trials of two speakers that
are accepted. The equal error rate is where both are the same, on straight lines between the thresholds that differ.

Axes: ``P`` trials, ``S`` speakers.
"""

from dataclasses import dataclass

import numpy as np

from tokbench.stats import MIN_SPEAKERS, NUM_RESAMPLES, percentile_interval

__all__ = ["Trials", "bootstrap", "cross_trials", "equal_error_rate"]

_SCORED_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Trials:
    """Comparisons of two utterances each."""

    scores: np.ndarray
    """float [P], the higher the more alike."""
    first: np.ndarray
    """int64 [P], the speaker of one side."""
    second: np.ndarray
    """int64 [P], the speaker of the other side."""

    @property
    def is_target(self) -> np.ndarray:
        """Whether both sides are of one speaker, bool [P]."""
        same: np.ndarray = self.first == self.second
        return same


def cross_trials(
    enrolled: np.ndarray, tested: np.ndarray, speakers: np.ndarray, *, max_trials: int | None = None, seed: int = 0
) -> Trials:
    """Return the trials of each of ``enrolled`` against each of ``tested``, but for the same recording.

    Both are float [N, D] of unit length and of the same recordings, whose ``speakers`` are int [N]. Of trials of
    one speaker, and of those of two, at most ``max_trials`` are drawn, once: memory grows with them, and not with
    the square of the recordings.
    """
    generator = np.random.default_rng(seed)
    rows, columns = [], []
    for is_target in (True, False):
        pairs = _Pairs(speakers, is_target=is_target)
        places = np.arange(pairs.num) if max_trials is None or pairs.num <= max_trials else None
        if places is None:
            places = np.sort(generator.choice(pairs.num, max_trials, replace=False))
        row, column = pairs.at(places)
        rows.append(row)
        columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    scores = np.empty(len(row), np.result_type(enrolled, tested))
    for start in range(0, len(row), _SCORED_AT_ONCE):
        some = slice(start, start + _SCORED_AT_ONCE)
        scores[some] = (enrolled[row[some]] * tested[column[some]]).sum(axis=1)
    return Trials(scores, speakers[row], speakers[column])


class _Pairs:
    """All ordered pairs of two recordings, of one speaker or of two, row by row; none of them is written out."""

    def __init__(self, speakers: np.ndarray, *, is_target: bool) -> None:
        self._codes = np.unique(speakers, return_inverse=True)[1]
        self._is_target = is_target
        sizes = np.bincount(self._codes)
        self._members = np.split(np.argsort(self._codes, kind="stable"), np.cumsum(sizes)[:-1])
        in_row = sizes[self._codes] - 1 if is_target else len(speakers) - sizes[self._codes]
        self._ends = np.cumsum(in_row)
        self.num = int(self._ends[-1]) if len(speakers) else 0

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the row and the column of the pairs at ``places``, int64 [P], counted row by row."""
        row = np.searchsorted(self._ends, places, side="right")
        within = places - np.where(row > 0, self._ends[row - 1], 0)
        column = np.empty_like(row)
        for code, members in enumerate(self._members):
            mine = self._codes[row] == code
            if self._is_target:  # the others of the same speaker: the row itself is passed over
                own = np.searchsorted(members, row[mine])
                column[mine] = members[within[mine] + (within[mine] >= own)]
            else:  # the n-th that is no member comes after as many members as have at most n others before them
                before = members - np.arange(len(members))
                column[mine] = within[mine] + np.searchsorted(before, within[mine], side="right")
        return row, column


def equal_error_rate(trials: Trials) -> float | None:
    """Return the equal error rate; None without a trial of one speaker, or without one of two."""
    ordered = _Ordered(trials)
    return ordered.rate(np.ones(len(trials.scores)))


def bootstrap(trials: Trials, *, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of the equal error rate over speakers; None for fewer than three of them.

    Speakers are drawn anew with replacement. A trial of one speaker counts as often as the speaker was drawn, one
    of two speakers as often as both of them together: the product. Of two speakers alone, every draw with both of
    them is the one that was made: there is nothing to learn from it, and no interval.
    """
    names, codes = np.unique(np.concatenate([trials.first, trials.second]), return_inverse=True)
    first, second = codes.reshape(2, -1)
    if len(names) < MIN_SPEAKERS:
        return None
    ordered, is_target = _Ordered(trials), trials.is_target
    generator = np.random.default_rng([seed, len(names)])
    values = np.full(NUM_RESAMPLES, np.nan)
    for number in range(NUM_RESAMPLES):
        counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names))).astype(np.float64)
        found = ordered.rate(np.where(is_target, counts[first], counts[first] * counts[second]))
        values[number] = np.nan if found is None else found
    low, high = percentile_interval(values)
    return (low, high) if np.isfinite(low) else None


class _Ordered:
    """Trials from the highest score to the lowest, so that weights are all that changes between resamples."""

    def __init__(self, trials: Trials) -> None:
        self._order = np.argsort(-trials.scores, kind="stable")
        self._is_target = trials.is_target[self._order]
        scores = trials.scores[self._order]
        # Equal scores are accepted together: the thresholds are the last of each.
        self._lasts = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))

    def rate(self, weights: np.ndarray) -> float | None:
        """Return the equal error rate of trials with ``weights`` [P]."""
        weights = weights[self._order]
        targets = np.cumsum(weights * self._is_target)
        others = np.cumsum(weights * ~self._is_target)
        if not len(weights) or targets[-1] == 0 or others[-1] == 0:
            return None
        missed = np.concatenate([[1.0], 1 - targets[self._lasts] / targets[-1]])
        accepted = np.concatenate([[0.0], others[self._lasts] / others[-1]])
        gap = missed - accepted  # from 1 to -1, never rising
        after = int(np.argmax(gap <= 0))
        before = after - 1
        part = gap[before] / (gap[before] - gap[after])
        return float(accepted[before] + part * (accepted[after] - accepted[before]))
