"""What tokens tell of a text: mutual information, estimated with a model that reads texts from tokens.

The model gives the log-likelihood ``log q(y | x)`` of a text ``y`` for the tokens ``x`` of a recording, in nats.

- :func:`contrast` is the estimate of SpeechTokenizer (Zhang et al. 2023, arXiv:2308.16692), the variational CLUB of
  Cheng et al. 2020 (arXiv:2006.12013): ``1/N sum_i log q(y_i | x_i) - 1/N^2 sum_i sum_j log q(y_j | x_i)``. For the
  true conditional it is an upper bound of the mutual information. For a model that errs it is no bound, and one
  that is too sure of itself has more.
- :func:`bound` is ``1/N sum_j log( c(y_j, x_j) / (1/N sum_i c(y_j, x_i)) )``, which is a lower bound of the mutual
  information whatever ``c`` is, and never above ``log N`` (Oord et al. 2018, arXiv:1807.03748; Poole et al. 2019,
  arXiv:1905.06922). Here it is ``q(y | x)`` to the power of one by the length of ``y``: the likelihood by character
  of a model that is too sure of whole texts is still of use.

A text that cannot be read from some tokens, because they are too few, has the likelihood 0 there. The logarithm of
that would outweigh all others, so the first estimate leaves such pairs out.

Axes: ``S`` seeds, ``N`` recordings, ``M`` texts, ``U`` units, ``R`` resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from tokbench.stats import crossed_draws, percentile_interval

__all__ = ["Likelihoods", "bound", "contrast", "estimate"]

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """Log-likelihoods of texts, of models from several seeds."""

    own: np.ndarray
    """float64 [S, N], of the text of each recording."""
    others: np.ndarray
    """float64 [S, N, M], of the texts of recordings ``columns``, a recording's own one included; minus infinity
    where a text cannot be read, NaN where a pair is not to be made, both for all seeds alike."""
    columns: np.ndarray
    """int64 [M], whose texts they are."""
    units: Sequence[str]
    """Speaker or utterance of each recording [N]."""
    lengths: np.ndarray
    """int64 [N], characters of the text of each."""

    def __post_init__(self) -> None:
        num_seeds, num_recordings = self.own.shape
        expected = (num_seeds, num_recordings, len(self.columns))
        if (
            self.others.shape != expected
            or len(self.units) != num_recordings
            or len(self.lengths) != num_recordings
        ):
            msg = f"expected log-likelihoods {expected} of as many units and lengths, got {self.others.shape}, "
            raise ValueError(msg + f"{len(self.units)} and {len(self.lengths)}")

    @cached_property
    def unit(self) -> np.ndarray:
        """Number of the unit of each recording, int64 [N]."""
        _, numbers = np.unique(np.array(self.units), return_inverse=True)
        return numbers


def contrast(likelihoods: Likelihoods, weights: np.ndarray, *, per_character: bool = False) -> np.ndarray:
    """Return the estimate in nats [R, S] of units drawn ``weights`` [R, U] times, by recording or by character."""
    rows, columns = _drawn(likelihoods, weights)
    is_readable = np.isfinite(likelihoods.others[0])
    pairs = columns @ is_readable.T
    counted = rows * (pairs > 0)
    sizes = counted @ likelihoods.lengths if per_character else counted.sum(axis=1)
    found = []
    for own, others in zip(likelihoods.own, likelihoods.others, strict=True):
        sums = columns @ np.where(is_readable, others, 0.0).T
        means = np.divide(sums, pairs, out=np.zeros_like(sums), where=pairs > 0)
        found.append(_ratio((counted * (own - means)).sum(axis=1), sizes))
    return np.stack(found, axis=1)


def bound(likelihoods: Likelihoods, weights: np.ndarray) -> np.ndarray:
    """Return the lower bound in nats by recording, [R, S] of units drawn ``weights`` [R, U] times.

    A text is compared with all recordings in every draw, which has fewer different ones itself: the logarithm of
    their number would keep it below the value of the whole.
    """
    _, columns = _drawn(likelihoods, weights)
    is_made = ~np.isnan(likelihoods.others[0])
    pairs = is_made.sum(axis=0)
    found = []
    lengths = likelihoods.lengths[likelihoods.columns]
    for own, others in zip(likelihoods.own[:, likelihoods.columns], likelihoods.others, strict=True):
        # What is summed is taken by its ratio to the largest, so that it does not underflow all at once.
        made = np.where(is_made, others, -np.inf) / lengths
        largest = made.max(axis=0)
        sums = np.exp(made - largest).sum(axis=0)
        marginal = largest + np.log(sums / pairs)
        found.append(_ratio(columns @ (own / lengths - marginal), columns.sum(axis=1)))
    return np.stack(found, axis=1)


def _drawn(likelihoods: Likelihoods, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each recording is drawn, [R, N], and each text, [R, M]."""
    rows = weights[:, likelihoods.unit]
    return rows, rows[:, likelihoods.columns]


def _ratio(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ``totals / counts``, NaN where no pair was drawn."""
    ratios: np.ndarray = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
    return ratios


def estimate(
    values: Callable[[Likelihoods, np.ndarray], np.ndarray], likelihoods: Likelihoods
) -> tuple[float, Interval | None]:
    """Return the mean over seeds of ``values``, and its 95 % interval over units and seeds, None for one unit."""
    num_units = int(likelihoods.unit.max()) + 1
    draws = crossed_draws(partial(values, likelihoods), num_units=num_units, num_seeds=len(likelihoods.own))
    value = float(values(likelihoods, np.ones((1, num_units))).mean())
    return value, None if draws is None else percentile_interval(draws)
