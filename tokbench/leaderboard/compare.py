"""Comparisons: codecs against a first one, on the utterances that both were measured on."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tokbench import stats
from tokbench.codecs.registry import is_code, list_cards, list_plugins, one
from tokbench.errors import UnknownNameError, UsageError
from tokbench.leaderboard.cells import SourceRecord, check_comparable, read_task, results_option
from tokbench.leaderboard.components import (
    Components,
    UtteranceTables,
    are_measured,
    command_like,
    difference,
    num_units,
    units_of,
)
from tokbench.leaderboard.spec import ALL_UTTERANCES
from tokbench.records import MetricSummary
from tokbench.specs.task import list_tasks

__all__ = ["Comparison", "RecordNotFoundError", "compare"]


class RecordNotFoundError(UsageError):
    """A comparison of something that was not measured."""

    @classmethod
    def of_task(cls, results: Path, task: str) -> "RecordNotFoundError":
        """Build the error for a task that has no records at all."""
        command = f"tokbench run --codec NAME --task {shlex.quote(task)}{results_option(results)}"
        return cls(f"no records of {task} below {results}. Make them with: {command}")

    @classmethod
    def of_corpus(cls, results: Path, task: str, corpus: str | None, known: Sequence[str]) -> "RecordNotFoundError":
        """Build the error for a corpus that was not measured, or for one that must be named."""
        listed = ", ".join(known)
        if corpus is None:
            return cls(f"{task} was run on several corpora; choose one of them with --corpus: {listed}")
        command = f"tokbench run --codec NAME --task {shlex.quote(task)} --corpus {shlex.quote(corpus)}"
        made = f"Make them with: {command}{results_option(results)}"
        return cls(f"no records of {task} on {corpus!r}, only on: {listed}. {made}")

    @classmethod
    def of_codec(cls, codec: str, near: SourceRecord) -> "RecordNotFoundError":
        """Build the error for a codec that has no record where ``near`` has one."""
        where = f"{near.record.task.id} on {near.record.corpus.name}"
        return cls(f"no record of {codec} for {where}. Make it with: {command_like(codec, near)}")

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
    ``num_utterances`` that both have, and ``num_missing`` that one of them lacks. A metric of the whole corpus, to
    which no utterance can be said to add, has the difference of both values, with the interval of independent
    errors, and neither p-value nor counts."""
    utterances: pd.DataFrame
    """One row per metric, codec and utterance: ``metric``, ``codec``, ``baseline``, ``utterance``, ``speaker``,
    ``language``, ``codec_value``, ``baseline_value``, ``difference``; the largest differences of a metric first."""


def compare(results: Path, *, task: str, codecs: Sequence[str], corpus: str | None = None) -> Comparison:
    """Compare each of ``codecs`` (``name:setting``, or a name with one setting) with the first of them.

    ``task`` is an id, or a name whose newest measured version is taken; ``corpus`` may be left out where there is
    only one. A folder, a file and a corpus may be given as they are run. Raises :class:`UnknownNameError` for a
    name that neither tokbench nor a record knows, :class:`RecordNotFoundError` with the command that makes what is
    missing, and :class:`tokbench.leaderboard.cells.MixedRecordsError` for records that must not be compared.
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
        known = {*list_tasks(), *(path.name for path in results.glob("*.v*"))}
        if task not in known | {name.rpartition(".v")[0] for name in known} and not task.endswith(".toml"):
            raise UnknownNameError("task", task, known, command="tokbench list tasks")
        raise RecordNotFoundError.of_task(results, task)
    return max(
        folders, key=lambda name: int(name.rpartition(".v")[2]) if name.rpartition(".v")[2].isdigit() else -1
    )


def _on_corpus(sources: Sequence[SourceRecord], results: Path, task: str, corpus: str | None) -> list[SourceRecord]:
    names = sorted({source.record.corpus.name for source in sources})
    if not names:
        raise RecordNotFoundError.of_task(results, task)
    meant = {source.record.corpus.name for source in sources if _is_meant(source, corpus)}
    if len(meant) != 1:
        raise RecordNotFoundError.of_corpus(results, task, corpus, names)
    return [source for source in sources if source.record.corpus.name in meant]


def _is_meant(source: SourceRecord, corpus: str | None) -> bool:
    """Say whether a record is of ``corpus``, as records call it or as it is asked for; None for any."""
    return corpus in {None, source.record.corpus.name, source.record.corpus.reference}


def _find(sources: Sequence[SourceRecord], codec: str) -> SourceRecord:
    name = _name(codec) if "/" in codec or is_code(codec) else codec
    exact = [source for source in sources if source.label == name]
    named = exact or [source for source in sources if source.record.codec.name == name]
    if not named:
        if name == codec:
            _check_name(codec, sources)
        raise RecordNotFoundError.of_codec(codec, sources[0])
    if len(named) > 1:
        raise RecordNotFoundError.of_setting(codec, [source.label for source in named])
    return named[0]


def _check_name(codec: str, sources: Sequence[SourceRecord]) -> None:
    """Raise :class:`UnknownNameError` for a codec or a setting that neither tokbench nor a record knows."""
    name, _, setting = codec.partition(":")
    cards = list_cards()
    known = {*cards, *list_plugins(), *(source.record.codec.name for source in sources)}
    if name not in known:
        raise UnknownNameError("codec", name, known, command="tokbench list codecs")
    if name in cards and setting:
        recorded = {source.record.codec.setting for source in sources if source.record.codec.name == name}
        if setting not in (settings := recorded.union(cards[name].settings)):
            raise UnknownNameError(f"setting of {name}", setting, settings, command=f"tokbench show {name}")


def _name(codec: str) -> str:
    """Return what records call a codec that is asked for by its folder or its file."""
    name = one(codec).label
    _, _, setting = name.partition(":")
    return name if codec.endswith(f":{setting}") else name.removesuffix(f":{setting}")


class _Pair:
    """A codec and the one that it is compared with."""

    def __init__(self, baseline: SourceRecord, codec: SourceRecord) -> None:
        self.baseline, self.codec = baseline, codec
        tables = UtteranceTables().of(baseline, codec)[::-1]
        everything = tables[0].index.union(tables[1].index, sort=False)
        self._tables = [table.reindex(everything) for table in tables]
        by = baseline.record.interval.by
        labels = list(dict.fromkeys(["speaker", "language", *([] if by == everything.name else [by])]))
        self._labels = self._tables[0][labels].fillna(self._tables[1][labels])

    def _is_measured(self, metric: str) -> bool:
        return all(are_measured(table, metric) for table in self._tables)

    def _complete(self, metric: str) -> tuple[pd.DataFrame, Components, Components]:
        """Return the utterances on which neither of the two failed, and what the codec and the baseline have there.

        A weight of 0 is no failure.
        """
        mine, theirs = (Components.of(table, metric) for table in self._tables)
        is_complete = mine.is_ok & theirs.is_ok
        return self._labels[is_complete], mine.take(is_complete), theirs.take(is_complete)

    def difference(self, metric: MetricSummary) -> dict[str, Any]:
        """Return the line of ``metric`` in the table of differences."""
        mine, theirs = self.codec.record.metric(metric.name), self.baseline.record.metric(metric.name)
        line: dict[str, Any] = {
            "metric": metric.name,
            "title": metric.title,
            "unit": metric.unit,
            "better": metric.better,
            "codec": self.codec.label,
            "baseline": self.baseline.label,
            "codec_value": mine.value if mine else None,
            "baseline_value": theirs.value if theirs else None,
            "difference": None,
            "verdict": "",
        }
        if not self._is_measured(metric.name):
            return line | _of_corpus(mine, theirs, num_units(self.baseline, self._labels))
        labels, *both = self._complete(metric.name)
        units = units_of(self.baseline, labels)
        found = difference(both[0], both[1], is_rms=metric.pooling == "rms", units=units)
        line |= {"num_utterances": len(labels), "num_missing": len(self._labels) - len(labels)}
        if found is None:
            return line
        return line | {"p_value": found.p_value} | _told(found.value, found.low, found.high, metric.better)

    def utterances(self, metric: MetricSummary) -> Iterator[dict[str, Any]]:
        """Yield the utterances on which both have a value, the largest difference first."""
        if not self._is_measured(metric.name):
            return
        labels, *both = self._complete(metric.name)
        values = [each.values(is_rms=metric.pooling == "rms") for each in both]
        listing = labels.assign(codec_value=values[0], baseline_value=values[1], difference=values[0] - values[1])
        listing = listing.dropna(subset="difference").sort_values(
            "difference", key=lambda d: -d.abs(), kind="stable"
        )
        names = {"metric": metric.name, "codec": self.codec.label, "baseline": self.baseline.label}
        yield from ({**names, **line} for line in listing.reset_index(names="utterance").to_dict("records"))


def _of_corpus(mine: MetricSummary | None, theirs: MetricSummary | None, num_units: int) -> dict[str, Any]:
    """Return the difference of two values of the whole corpus, with an interval where both have one."""
    if mine is None or theirs is None or mine.value is None or theirs.value is None:
        return {}
    if mine.half_width is None or theirs.half_width is None:
        return {"difference": mine.value - theirs.value}
    found = stats.independent((mine.value, mine.half_width), (theirs.value, theirs.half_width), num_units)
    return _told(*found, mine.better)


def _told(value: float, low: float, high: float, better: str | None) -> dict[str, Any]:
    if low <= 0.0 <= high:
        verdict = "tied"
    elif better is None:
        verdict = "different"
    else:
        verdict = "better" if (value > 0) == (better == "higher") else "worse"
    return {"difference": value, "low": low, "high": high, "verdict": verdict}
