"""Comparisons: codecs against a first one, on the utterances that both were measured on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tokbench import stats
from tokbench.errors import UsageError
from tokbench.leaderboard.cells import SourceRecord, check_comparable, read_task
from tokbench.leaderboard.spec import ALL_UTTERANCES
from tokbench.leaderboard.ties import read_utterances
from tokbench.records import MetricSummary

__all__ = ["Comparison", "RecordNotFoundError", "compare"]


class RecordNotFoundError(UsageError):
    """A comparison of something that was not measured."""

    @classmethod
    def of_task(cls, results: Path, task: str) -> "RecordNotFoundError":
        """Build the error for a task that has no records at all."""
        return cls(f"no records of {task} below {results}. Make them with: tokbench run --codec NAME --task {task}")

    @classmethod
    def of_corpus(cls, task: str, corpus: str | None, known: Sequence[str]) -> "RecordNotFoundError":
        """Build the error for a corpus that was not measured, or for one that must be named."""
        listed = ", ".join(known)
        if corpus is None:
            return cls(f"{task} was run on several corpora; choose one of them with --corpus: {listed}")
        return cls(
            f"no records of {task} on {corpus!r}, only on: {listed}. Make them with: tokbench run --corpus …"
        )

    @classmethod
    def of_codec(cls, codec: str, near: SourceRecord) -> "RecordNotFoundError":
        """Build the error for a codec that has no record where ``near`` has one."""
        task, corpus = near.record.task.id, near.record.corpus
        return cls(
            f"no record of {codec} for {task} on {corpus.name}. "
            f"Make it with: tokbench run --codec {codec} --task {task} --corpus {corpus.reference}"
        )

    @classmethod
    def of_setting(cls, codec: str, settings: Sequence[str]) -> "RecordNotFoundError":
        """Build the error for a codec with several settings of which none was named."""
        return cls(f"{codec} was measured in several settings; name one: {', '.join(settings)}")


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found."""

    task: str
    """Id with its version."""
    corpus: str
    differences: pd.DataFrame
    """One row per metric and codec after the first. Columns: ``metric``, ``title``, ``unit``, ``better``,
    ``codec``, ``baseline``; ``codec_value`` and ``baseline_value``, over all of their utterances; ``difference``,
    codec minus baseline over the utterances that both have, with its 95 % interval ``low`` to ``high`` and
    ``p_value``; ``verdict``: ``better``, ``worse``, ``different``, ``tied``, or empty where there is no interval;
    ``num_utterances`` that both have, and ``num_missing`` that one of them lacks."""
    utterances: pd.DataFrame
    """One row per metric, codec and utterance: ``metric``, ``codec``, ``baseline``, ``utterance``, ``speaker``,
    ``language``, ``codec_value``, ``baseline_value``, ``difference``; the largest differences of a metric first."""


def compare(results: Path, *, task: str, codecs: Sequence[str], corpus: str | None = None) -> Comparison:
    """Compare each of ``codecs`` (``name:setting``, or a name with one setting) with the first of them.

    ``task`` is an id, or a name whose newest measured version is taken; ``corpus`` may be left out where there is
    only one. Raises :class:`RecordNotFoundError` with the command that makes what is missing, and
    :class:`tokbench.leaderboard.cells.MixedRecordsError` for records that must not be compared.
    """
    if len(codecs) < 2:  # noqa: PLR2004
        msg = "a comparison needs two codecs or more"
        raise UsageError(msg)
    sources = _on_corpus(list(read_task(results, _newest(results, task))), results, task, corpus)
    baseline, *others = [_find(sources, codec) for codec in codecs]
    for other in others:
        check_comparable(baseline, other)
    pairs = [_Pair(baseline, other) for other in others]
    metrics = [item for item in baseline.record.metrics if item.group == ALL_UTTERANCES]
    return Comparison(
        baseline.record.task.id,
        baseline.record.corpus.name,
        pd.DataFrame([pair.difference(metric) for metric in metrics for pair in pairs]),
        pd.DataFrame([line for metric in metrics for pair in pairs for line in pair.utterances(metric)]),
    )


def _newest(results: Path, task: str) -> str:
    folders = [path.name for path in results.glob("*.v*") if task in (path.name, path.name.rpartition(".v")[0])]
    if not folders:
        raise RecordNotFoundError.of_task(results, task)
    return max(
        folders, key=lambda name: int(name.rpartition(".v")[2]) if name.rpartition(".v")[2].isdigit() else -1
    )


def _on_corpus(sources: Sequence[SourceRecord], results: Path, task: str, corpus: str | None) -> list[SourceRecord]:
    names = sorted({source.record.corpus.name for source in sources})
    if not names:
        raise RecordNotFoundError.of_task(results, task)
    if (corpus is None and len(names) > 1) or corpus not in (None, *names):
        raise RecordNotFoundError.of_corpus(task, corpus, names)
    return [source for source in sources if source.record.corpus.name == (corpus or names[0])]


def _find(sources: Sequence[SourceRecord], codec: str) -> SourceRecord:
    exact = [source for source in sources if source.label == codec]
    named = exact or [source for source in sources if source.record.codec.name == codec]
    if not named:
        raise RecordNotFoundError.of_codec(codec, sources[0])
    if len(named) > 1:
        raise RecordNotFoundError.of_setting(codec, [source.label for source in named])
    return named[0]


class _Pair:
    """A codec and the one that it is compared with."""

    def __init__(self, baseline: SourceRecord, codec: SourceRecord) -> None:
        self.baseline, self.codec = baseline, codec
        tables = read_utterances(codec), read_utterances(baseline)
        self.table = (
            tables[0]
            .merge(
                tables[1], on="utterance", how="outer", sort=False, suffixes=("", " of baseline"), validate="1:1"
            )
            .sort_values(["index", "index of baseline"], kind="stable")
        )
        self._names = set(tables[0].columns) & set(tables[1].columns)

    def _is_measured(self, metric: str) -> bool:
        return {f"{metric}.total", f"{metric}.weight"} <= self._names

    def _complete(self, metric: str) -> pd.DataFrame:
        """Return the rows in which neither of the two failed; a weight of 0 is no failure."""
        weights = [f"{metric}.weight", f"{metric}.weight of baseline"]
        return self.table.dropna(subset=weights)

    def _components(self, table: pd.DataFrame, metric: str, suffix: str) -> tuple[np.ndarray, np.ndarray]:
        total, weight = (table[f"{metric}.{part}{suffix}"].fillna(0.0).to_numpy() for part in ("total", "weight"))
        return total, weight

    def difference(self, metric: MetricSummary) -> dict[str, Any]:
        """Return the line of ``metric`` in the table of differences."""
        name = metric.name
        mine, theirs = self.codec.record.metric(name), self.baseline.record.metric(name)
        line: dict[str, Any] = {
            "metric": name,
            "title": metric.title,
            "unit": metric.unit,
            "better": metric.better,
            "codec": self.codec.label,
            "baseline": self.baseline.label,
            "codec_value": mine.value if mine else None,
            "baseline_value": theirs.value if theirs else None,
        }
        if not self._is_measured(name):
            values = line["codec_value"], line["baseline_value"]
            return line | {"difference": None if None in values else values[0] - values[1], "verdict": ""}
        table = self._complete(name)
        groups = table["speaker"].tolist() if self.baseline.record.interval.by == "speaker" else None
        found = stats.paired(
            self._components(table, name, ""),
            self._components(table, name, " of baseline"),
            rms=metric.pooling == "rms",
            groups=groups,
        )
        counts = {"num_utterances": len(table), "num_missing": len(self.table) - len(table)}
        if found is None:
            return line | {"difference": None, "verdict": ""} | counts
        numbers = {"difference": found.value, "low": found.low, "high": found.high, "p_value": found.p_value}
        return line | numbers | {"verdict": _verdict(found, metric.better)} | counts

    def utterances(self, metric: MetricSummary) -> Iterator[dict[str, Any]]:
        """Yield the utterances on which both have a value, the largest difference first."""
        name = metric.name
        if not self._is_measured(name):
            return
        table = self._complete(name)
        values = []
        for suffix in ("", " of baseline"):
            total, weight = self._components(table, name, suffix)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(weight > 0, total / weight, np.nan)
            values.append(np.sqrt(np.maximum(ratio, 0.0)) if metric.pooling == "rms" else ratio)
        listing = table.assign(codec_value=values[0], baseline_value=values[1], difference=values[0] - values[1])
        listing = listing.dropna(subset="difference").sort_values(
            "difference", key=lambda d: -d.abs(), kind="stable"
        )
        columns = ["utterance", "speaker", "language", "codec_value", "baseline_value", "difference"]
        labels = {"metric": name, "codec": self.codec.label, "baseline": self.baseline.label}
        yield from ({**labels, **line} for line in listing[columns].to_dict("records"))


def _verdict(found: stats.Difference, better: str | None) -> str:
    if found.is_tied:
        return "tied"
    if better is None:
        return "different"
    return "better" if (found.value > 0) == (better == "higher") else "worse"
