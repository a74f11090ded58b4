"""What utterances add to the metrics of a record, for every seed that a model was trained from.

Axes: ``N`` utterances, ``S`` seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pandas as pd

from tokbench import stats
from tokbench.errors import TokbenchError
from tokbench.leaderboard.cells import MixedRecordsError, SourceRecord, results_option, run_command
from tokbench.records import component_names, read_rows

__all__ = [
    "Components",
    "MissingUtterancesError",
    "UtteranceTables",
    "are_measured",
    "check_same_audio",
    "command_like",
    "difference",
    "num_units",
    "read_utterances",
    "units_of",
]

_AUDIO = "audio_sha256"


class MissingUtterancesError(TokbenchError):
    """A record without the per-utterance table that comparisons need."""

    def __init__(self, source: SourceRecord) -> None:
        super().__init__(
            f"{source.path} has no {source.files.utterances.name} beside it, so that it cannot be compared. "
            f"Make it again with: {command_like(source.label, source)}"
        )


def command_like(codec: str, near: SourceRecord) -> str:
    """Return the command that measures ``codec`` as the record ``near`` was measured, and puts it beside that."""
    return run_command(codec, near.record.task.id, near.record) + results_option(near.files.results)


def read_utterances(source: SourceRecord) -> pd.DataFrame:
    """Return the per-utterance table of a record, by the ids of its utterances, in corpus order.

    Raises :class:`MissingUtterancesError` where there is none, and :class:`tokbench.errors.RecordError` for one
    that cannot be read.
    """
    if not source.files.utterances.is_file():
        raise MissingUtterancesError(source)
    table: pd.DataFrame = read_rows(source.files.utterances).to_pandas()
    return table.set_index("utterance")


class UtteranceTables:
    """The per-utterance tables of records that are compared, each of which is read once."""

    def __init__(self) -> None:
        self._tables: dict[str, pd.DataFrame] = {}
        self._same_audio: set[tuple[str, str]] = set()

    def of(self, *sources: SourceRecord) -> list[pd.DataFrame]:
        """Return the table of each of ``sources``, by the ids of its utterances, in corpus order.

        Raises :class:`MissingUtterancesError` for a record without one, and :class:`MixedRecordsError` where an
        utterance of one is another recording than that of the same name in the first.
        """
        for source in sources:
            if source.path not in self._tables:
                self._tables[source.path] = read_utterances(source)
            if (pair := (sources[0].path, source.path)) not in self._same_audio:
                check_same_audio(*((each, self._tables[each.path]) for each in (sources[0], source)))
                self._same_audio.add(pair)
        return [self._tables[source.path] for source in sources]


def check_same_audio(first: tuple[SourceRecord, pd.DataFrame], second: tuple[SourceRecord, pd.DataFrame]) -> None:
    """Raise :class:`MixedRecordsError` where the utterances of two records are other recordings of the same names.

    Files of the same names and sizes have the same corpus hash; the rows tell them apart.
    """
    (one, table), (other, others) = first, second
    if _AUDIO not in table or _AUDIO not in others:
        return
    expected = _heard(table)
    for utterance, sha256 in _heard(others).items():
        if expected.get(utterance, sha256) != sha256:
            raise MixedRecordsError(
                f"the audio of {utterance}", one.path, other.path, (expected[utterance], sha256)
            )


def _heard(utterances: pd.DataFrame) -> dict[str, str]:
    """Return the hashes of the recordings by utterance; what could not be read has none."""
    known = utterances[_AUDIO].dropna()
    return dict(zip(known.index.astype(str), known, strict=True))


def units_of(source: SourceRecord, utterances: pd.DataFrame) -> list[str] | None:
    """Return what each utterance is resampled with, its speaker or its text; None where each is by itself."""
    by = source.record.interval.by
    return None if by == utterances.index.name else utterances[by].tolist()


def num_units(source: SourceRecord, utterances: pd.DataFrame) -> int:
    """Return how many utterances, speakers or texts the intervals of a record were made of."""
    units = units_of(source, utterances)
    return len(utterances) if units is None else len({*units})


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

    @classmethod
    def joined(cls, trials: Sequence["Components"]) -> "Components":
        """Put the seeds of several records of the same utterances side by side."""
        total, weight = (np.hstack([getattr(each, part) for each in trials]) for part in ("total", "weight"))
        return cls(total, weight, np.all([each.is_ok for each in trials], axis=0))

    def take(self, is_taken: np.ndarray) -> "Components":
        """Return those of the utterances that ``is_taken``, bool [N]."""
        return Components(self.total[is_taken], self.weight[is_taken], self.is_ok[is_taken])

    def values(self, *, is_rms: bool) -> np.ndarray:
        """Return the value of each utterance, [N], the mean over seeds; NaN where there is none."""
        ratios = stats.ratio(self.total, self.weight, rms=np.array(is_rms))
        values: np.ndarray = np.where(self.is_ok, ratios.mean(axis=1), np.nan)
        return values


def difference(
    first: Components, second: Components, *, is_rms: bool, units: list[str] | None
) -> stats.Difference | None:
    """Compare all seeds of both on the utterances on which neither failed; None where nothing can be said.

    ``units`` are those of :func:`units_of`.
    """
    is_complete = first.is_ok & second.is_ok
    seeds = [each.take(is_complete).seeds for each in (first, second)]
    groups = None if units is None else list(compress(units, is_complete))
    return stats.paired_over_seeds(*seeds, rms=is_rms, groups=groups)
