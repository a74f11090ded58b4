"""What utterances add to the metrics of a record, for every seed that a model was trained from.

Axes: ``N`` utterances, ``S`` seeds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tokbench import stats
from tokbench.errors import TokbenchError
from tokbench.leaderboard.cells import SourceRecord
from tokbench.records import component_names

__all__ = ["Components", "MissingUtterancesError", "are_measured", "difference", "num_units", "read_utterances"]


class MissingUtterancesError(TokbenchError):
    """A record without the per-utterance table that comparisons need."""

    def __init__(self, source: SourceRecord) -> None:
        record = source.record
        super().__init__(
            f"{source.path} has no {source.files.utterances.name} beside it, so that it cannot be compared. "
            f"Make it again with: tokbench run --codec {source.label} --task {record.task.id} "
            f"--corpus {record.corpus.reference}"
        )


def read_utterances(source: SourceRecord) -> pd.DataFrame:
    """Return the per-utterance table of a record, in corpus order; raises :class:`MissingUtterancesError`."""
    if not source.files.utterances.is_file():
        raise MissingUtterancesError(source)
    return pd.read_parquet(source.files.utterances)


def num_units(source: SourceRecord, utterances: pd.DataFrame) -> int:
    """Return how many speakers, or utterances, the intervals of a record were made of."""
    return utterances["speaker"].nunique() if source.record.interval.by == "speaker" else len(utterances)


def _columns(utterances: pd.DataFrame, metric: str) -> list[tuple[str, str]]:
    """Return the names of total and weight of each seed; empty for a metric of the whole corpus."""
    known = set(utterances.columns)
    if known.issuperset(component_names(metric)):
        return [component_names(metric)]
    found: list[tuple[str, str]] = []
    while known.issuperset(component_names(metric, len(found))):
        found.append(component_names(metric, len(found)))
    return found


def are_measured(utterances: pd.DataFrame, metric: str) -> bool:
    """Say whether ``metric`` was measured utterance by utterance."""
    return bool(_columns(utterances, metric))


@dataclass(frozen=True)
class Components:
    """What utterances add to a metric."""

    total: np.ndarray
    """float64 [N, S]; 0 where there is no value."""
    weight: np.ndarray
    """As ``total``; 0 where there is nothing to measure."""
    is_ok: np.ndarray
    """bool [N]: no failure. To have nothing to measure is none."""

    @classmethod
    def of(cls, utterances: pd.DataFrame, metric: str) -> "Components":
        """Read them from a per-utterance table that has them."""
        columns = _columns(utterances, metric)
        total, weight = (utterances[[names[part] for names in columns]].to_numpy(np.float64) for part in (0, 1))
        is_ok = ~(np.isnan(weight) | ((weight > 0) & ~np.isfinite(total))).any(axis=1)
        is_number = np.isfinite(total) & np.isfinite(weight)
        return cls(np.where(is_number, total, 0.0), np.where(is_number, weight, 0.0), is_ok)

    @property
    def seeds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Totals and weights [N] of each seed."""
        return list(zip(self.total.T, self.weight.T, strict=True))

    def take(self, is_taken: np.ndarray) -> "Components":
        """Return those of the utterances that ``is_taken``, bool [N]."""
        return Components(self.total[is_taken], self.weight[is_taken], self.is_ok[is_taken])

    def values(self, *, is_rms: bool) -> np.ndarray:
        """Return the value of each utterance, [N], the mean over seeds; NaN where there is none."""
        ratios = stats.ratio(self.total, self.weight, rms=np.array(is_rms))
        values: np.ndarray = np.where(self.is_ok, ratios.mean(axis=1), np.nan)
        return values


def difference(
    first: Components, second: Components, *, is_rms: bool, speakers: list[str] | None
) -> stats.Difference | None:
    """Compare two records on the same utterances, all seeds of both; None where nothing can be said.

    ``speakers`` names the one of each utterance where speakers are resampled.
    """
    return stats.paired_over_seeds(first.seeds, second.seeds, rms=is_rms, groups=speakers)
