"""Intervals and comparisons over utterances or speakers.

Everything here works on components: a total and a weight per unit (an utterance, or a speaker), whose sums give
the corpus value ``total / weight`` (or its square root). Resampling units and dividing once keeps error rates
and root mean squares right, where a mean of per-utterance ratios would not be.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 6, 11 (jackknife), 13 (percentile
interval) and 15 (permutation test).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "LEVEL",
    "MIN_SPEAKERS",
    "MIN_UNITS",
    "NUM_RESAMPLES",
    "Difference",
    "bootstrap_interval",
    "crossed_draws",
    "group_sums",
    "independent",
    "interval_of",
    "jackknife_interval",
    "jackknife_interval_of",
    "num_counted",
    "over_seeds",
    "paired",
    "paired_over_seeds",
    "percentile_interval",
    "ratio",
    "resample",
    "welch",
]

LEVEL = 0.95
NUM_RESAMPLES = 1000
_CHUNK = 64
"""Resamples drawn at once, so that memory is ``_CHUNK`` times the number of units."""
MIN_UNITS = 2
MIN_SPEAKERS = 3
"""Of two speakers, every draw with both is the one that was made, which tells nothing of others."""


@dataclass(frozen=True)
class Difference:
    """First minus second, on the same units."""

    value: float
    low: float
    high: float
    p_value: float
    """Two-sided, by random sign flips of the paired units."""
    num_units: int

    @property
    def is_tied(self) -> bool:
        """Whether the 95 % interval contains 0."""
        return self.low <= 0.0 <= self.high


def group_sums(values: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Return the sums of ``values`` [N, M] over equal ``groups``, [G, M] in the order of first appearance."""
    if groups is None:
        return values
    first: dict[str, int] = {}
    index = np.array([first.setdefault(group, len(first)) for group in groups], dtype=np.int64)
    sums = np.zeros((len(first), values.shape[1]))
    np.add.at(sums, index, values)
    return sums


def ratio(total: np.ndarray, weight: np.ndarray, *, rms: np.ndarray) -> np.ndarray:
    """Return totals by weights, and the square roots of those that are root mean squares; NaN for no weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(weight > 0, total / weight, np.nan)
        return np.where(rms, np.sqrt(np.maximum(ratio, 0.0)), ratio)


def resample(total: np.ndarray, weight: np.ndarray, *, rms: Sequence[bool], seed: int = 0) -> np.ndarray:
    """Return the values [R, M] of ``R`` resamples of the units of ``total`` and ``weight``, float64 [G, M].

    The draws depend on the seed and the number of units alone: metrics of codecs that were measured on the same
    units are resampled together, whether they are handed over in one call or in several.
    """
    num_units, is_rms = len(total), np.asarray(rms)
    generator = np.random.default_rng([seed, num_units])
    rows = []
    for start in range(0, NUM_RESAMPLES, _CHUNK):
        size = min(_CHUNK, NUM_RESAMPLES - start)
        counts = generator.multinomial(num_units, np.full(num_units, 1 / num_units), size=size).astype(np.float64)
        rows.append(ratio(counts @ total, counts @ weight, rms=is_rms))
    return np.concatenate(rows)


def bootstrap_interval(
    total: np.ndarray,
    weight: np.ndarray,
    *,
    rms: Sequence[bool],
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return the 95 % percentile intervals [M, 2] of M metrics over N units; NaN where there are fewer than 2.

    ``total`` and ``weight`` are float64 [N, M]; ``rms`` says which metrics are root mean squares; ``groups``
    names the speaker of each utterance where speakers are resampled.
    """
    total, weight = group_sums(total, groups), group_sums(weight, groups)
    if len(total) < MIN_UNITS:
        return np.full((total.shape[1], 2), np.nan)
    values = resample(total, weight, rms=rms, seed=seed)
    intervals = np.array([percentile_interval(column) for column in values.T]).reshape(-1, 2)
    is_known = (weight > 0).sum(axis=0) >= MIN_UNITS
    return np.where(is_known[:, None], intervals, np.nan)


def interval_of(
    value: Callable[[np.ndarray], float], sums: np.ndarray, groups: Sequence[str] | None = None
) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean over seeds of ``value`` of sums [M]; ``sums`` [N, S, M] are of N units.

    For a score that is made of several sums. ``groups`` as above; None for fewer than 2 units.
    """
    units = _units_by_seed(sums, groups)
    num_seeds, num_units, _ = units.shape

    def values(weights: np.ndarray) -> np.ndarray:
        return np.array([[value(row) for row in weights @ unit] for unit in units]).T

    drawn = crossed_draws(values, num_units=num_units, num_seeds=num_seeds)
    interval = (np.nan, np.nan) if drawn is None else percentile_interval(drawn)
    return interval if np.isfinite(interval[0]) else None


def jackknife_interval_of(
    value: Callable[[np.ndarray], float], sums: np.ndarray, groups: Sequence[str] | None = None
) -> tuple[float, float] | None:
    """Return as :func:`interval_of`, by leaving out one unit at a time.

    For a score that grows where units are drawn twice, as a distance of covariances does: of its resamples, most
    lie above it. The variance over units, of the mean over seeds, and that of the mean over seeds are added.
    """
    units = _units_by_seed(sums, groups)
    totals = units.sum(axis=1)
    found = np.array([value(total) for total in totals])
    without = [
        np.mean([value(total - unit) for total, unit in zip(totals, left_out, strict=True)])
        for left_out in units.swapaxes(0, 1)
    ]
    variance = found.var(ddof=1) / len(found) if len(found) > 1 else 0.0
    interval = jackknife_interval(float(found.mean()), np.array(without), variance=float(variance))
    return interval if interval is not None and np.isfinite(interval).all() else None


def _units_by_seed(sums: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Return the sums float64 [S, U, M] of units, which are ``groups`` if there are any; of ``sums`` [N, S, M]."""
    return np.stack([group_sums(of_seed.astype(np.float64), groups) for of_seed in sums.swapaxes(0, 1)])


def crossed_draws(
    values: Callable[[np.ndarray], np.ndarray], *, num_units: int, num_seeds: int, salt: int = 0
) -> np.ndarray | None:
    """Return the values [R] of ``R`` resamples of units and of seeds, each with replacement, apart from each other.

    ``values`` gives [R, S], one for each seed, of the units drawn as often as weights float64 [R, U] say. The units
    that are drawn depend on their number alone, the seeds on ``salt`` as well. None for fewer than 2 units.

    Source: the pigeonhole bootstrap of Owen 2007, arXiv:0712.1111.
    """
    if num_units < MIN_UNITS:
        return None
    units = np.random.default_rng([0, num_units])
    seeds = np.random.default_rng([1, num_seeds, salt])
    weights = units.multinomial(num_units, np.full(num_units, 1 / num_units), size=NUM_RESAMPLES)
    shares = seeds.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=NUM_RESAMPLES) / num_seeds
    drawn: np.ndarray = (values(weights.astype(np.float64)) * shares).sum(axis=1)
    return drawn


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of resampled ``values`` [R], those in which nothing was counted (NaN) left out."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.nan, np.nan
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def paired(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    rms: bool = False,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Difference | None:
    """Compare two codecs on the same utterances; None with fewer than 2 units in which something was counted.

    Each of ``first`` and ``second`` is (totals, weights), float64 [N], in the same order of utterances. The
    interval is that of :func:`over_seeds`, the p-value that of label swaps.
    """
    return paired_over_seeds([first], [second], rms=rms, groups=groups, seed=seed)


def _sign_flip(total: np.ndarray, weight: np.ndarray, rms: np.ndarray, observed: float, seed: int) -> float:
    """Return the share of label swaps whose difference is at least as large as ``observed``."""
    generator = np.random.default_rng([seed, len(total), 1])
    extreme = 1  # the observed labelling counts as one of the permutations, so that p is never 0
    for start in range(0, NUM_RESAMPLES, _CHUNK):
        size = min(_CHUNK, NUM_RESAMPLES - start)
        swap = generator.integers(0, 2, size=(size, len(total))).astype(np.float64)
        sides = []
        for mine, other in ((0, 1), (1, 0)):
            total_side = (1 - swap) @ total[:, mine] + swap @ total[:, other]
            weight_side = (1 - swap) @ weight[:, mine] + swap @ weight[:, other]
            sides.append(ratio(total_side, weight_side, rms=rms[:1]))
        extreme += int((np.abs(sides[0] - sides[1]) >= abs(observed) - 1e-12).sum())
    return extreme / (NUM_RESAMPLES + 1)


def paired_over_seeds(
    first: Sequence[tuple[np.ndarray, np.ndarray]],
    second: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    rms: bool = False,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Difference | None:
    """Compare two designs, each trained from several seeds, on the same utterances; None as for :func:`paired`.

    Each of ``first`` and ``second`` holds, for every seed, (totals, weights), float64 [N]. The interval is that of
    :func:`over_seeds`, and so is the p-value; of one seed each, it is that of label swaps.
    """
    total, weight = (
        np.column_stack([group_sums(item[part][:, None], groups) for item in (*first, *second)]) for part in (0, 1)
    )
    if num_counted(weight) < MIN_UNITS:
        return None
    is_rms = np.full(total.shape[1], rms)
    observed = ratio(total.sum(axis=0), weight.sum(axis=0), rms=is_rms)
    if np.isnan(observed).any():
        return None
    values = resample(total, weight, rms=is_rms.tolist(), seed=seed)
    mine, theirs = (slice(None, len(first)), slice(len(first), None))
    drawn = values[:, mine].mean(axis=1) - values[:, theirs].mean(axis=1)
    found = over_seeds(drawn, observed[mine], observed[theirs], num_counted(weight))
    if len(first) == len(second) == 1:
        return replace(found, p_value=_sign_flip(total, weight, is_rms, found.value, seed))
    return found


def num_counted(weight: np.ndarray) -> int:
    """Return in how many units something was counted, of ``weight`` [N, M]; the others tell nothing."""
    return int((weight > 0).any(axis=1).sum())


def over_seeds(drawn: np.ndarray, first: np.ndarray, second: np.ndarray, num_units: int) -> Difference:
    """Return the difference of two means over seeds, and how sure it is of utterances and of seeds.

    ``drawn`` [R] are differences of these means on resamples of ``num_units`` units, on each of which all seeds are
    heard; ``first`` and ``second`` [S] are the values that each seed has on all units. The variance is what the
    units contribute, that of ``drawn`` by U / (U - 1), as a bootstrap of few units is too narrow (Hesterberg 2015,
    What teachers should know about the bootstrap, section 3.2), and what the seeds contribute, s² / S for the S of
    each design, which are no pairs. Both contain the interaction of the two, so that the interval errs towards a
    tie (as the one of Owen 2007, The pigeonhole bootstrap, does). It is Student's, with the degrees of freedom of
    Satterthwaite (1946): few speakers, or few seeds, know little of their own variance.
    """
    by_unit = float(np.nanvar(drawn, ddof=1)) * num_units / (num_units - 1)
    return _student(first, second, [(by_unit, num_units - 1)], num_units)


def independent(
    first: tuple[float, float], second: tuple[float, float], num_units: int
) -> tuple[float, float, float]:
    """Return first minus second and the ends of its interval, as if their errors had nothing to do with each other.

    Each is a value and half of its 95 % interval, of ``num_units`` utterances or speakers. For values of a whole
    corpus, to which no utterance can be said to add. What both share makes the true error smaller.

    As in :func:`over_seeds`, a variance is taken to be U / (U - 1) of that of the interval, and the interval of the
    difference is Student's (Welch 1947); of fewer than two units it has no ends.
    """
    from scipy import special  # noqa: PLC0415  (as below)

    value = first[0] - second[0]
    variances = np.square([first[1], second[1]]) / special.ndtri((1 + LEVEL) / 2) ** 2
    if not np.isfinite(variances).all() or num_units < MIN_UNITS:
        return value, -math.inf, math.inf
    parts = [(variance * num_units / (num_units - 1), num_units - 1) for variance in variances.tolist()]
    found = _student(np.array([first[0]]), np.array([second[0]]), parts, num_units)
    return found.value, found.low, found.high


def welch(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """Compare two designs by a statistic of the whole corpus that each has from several seeds (Welch 1947).

    None where neither has more than one: nothing is known of how far seeds differ.
    """
    values = np.array(first), np.array(second)
    return _student(*values, [], len(first) + len(second)) if max(map(len, values)) >= MIN_UNITS else None


def _student(
    first: np.ndarray, second: np.ndarray, others: Sequence[tuple[float, int]], num_units: int
) -> Difference:
    """Return the difference of two means over seeds, whose variance is theirs and that of ``others``.

    Each of ``others`` is a variance and its degrees of freedom. A single seed is taken to vary as those of the
    other side do.
    """
    from scipy import special  # noqa: PLC0415  (leaderboards do without it, and come at once)

    sides = [values for values in (first, second) if len(values) > 1]
    seeds = [(values.var(ddof=1) / len(values), len(values) - 1) for values in sides]
    if len(sides) == 1:
        share = 1 / len(first) + 1 / len(second)
        seeds = [(sides[0].var(ddof=1) * share, len(sides[0]) - 1)]
    parts = [*others, *seeds]
    value = float(first.mean() - second.mean())
    variance = sum(part for part, _ in parts)
    if variance == 0.0:
        return Difference(value, value, value, float(value == 0.0), num_units)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(variance))
    p_value = float(2 * special.stdtr(freedom, -abs(value) / np.sqrt(variance)))
    return Difference(value, value - half, value + half, p_value, num_units)


def jackknife_interval(
    value: float, leave_one_out: np.ndarray, *, variance: float = 0.0
) -> tuple[float, float] | None:
    """Return the 95 % interval of a corpus statistic from its values [G] with one group of utterances left out.

    For statistics that are no ratio of sums (entropy, code lengths); None with fewer than 2 groups. ``variance`` is
    that of the value for other reasons than utterances, and is added.
    Variance ``(G - 1) / G · Σ (θ_g - mean θ)²`` (Efron & Tibshirani 1993, eq. 11.5), normal quantile.
    """
    num_groups = len(leave_one_out)
    if num_groups < MIN_UNITS:
        return None
    deviation = leave_one_out - leave_one_out.mean()
    error = float(np.sqrt((num_groups - 1) / num_groups * (deviation**2).sum() + variance))
    normal_quantile = 1.959963984540054  # Φ⁻¹(0.975)
    return value - normal_quantile * error, value + normal_quantile * error
