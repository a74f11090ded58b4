"""What `tokbench compare` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tokbench.cli.terminal import print_table, stdout
from tokbench.errors import UnknownNameError
from tokbench.leaderboard.compare import compare

__all__ = ["print_comparison"]


def print_comparison(
    codecs: Sequence[str],
    *,
    task: str,
    corpus: str | None,
    metric: str | None,
    results: Path,
    num_rows: int,
) -> None:
    """Print the paired differences, and the utterances of one metric that differ most.

    Raises :class:`UnknownNameError` for a metric that was not compared.
    """
    found = compare(results, task=task, codecs=codecs, corpus=corpus)
    rows = found.differences.to_dict("records")
    metrics = dict.fromkeys(row["metric"] for row in rows)
    if metric is not None and metric not in metrics:
        raise UnknownNameError(f"metric of {found.task}", metric, metrics, command="")
    for codec in dict.fromkeys(row["codec"] for row in rows):
        print_table(
            [_difference(row) for row in rows if row["codec"] == codec],
            columns=("metric", "codec", "baseline", "difference", "interval (95 %)", "p", "verdict"),
            title=f"{found.task} on {found.corpus}: {codec} against {rows[0]['baseline']}",
            numeric=("codec", "baseline", "difference", "interval (95 %)", "p"),
            optional=("codec", "baseline"),
        )
    if any(_is_known(row.get("low")) and not _is_known(row.get("p_value")) for row in rows):
        stdout().print(
            "Without p: a metric of the whole corpus; the interval is that of two values with independent errors.",
            markup=False,
        )
    listed = metric or rows[0]["metric"]
    listing = found.utterances[found.utterances["metric"] == listed] if len(found.utterances) else pd.DataFrame()
    if listing.empty:
        stdout().print(f"No single utterance has a value of {listed}.", markup=False)
        return
    print_table(
        [_utterance(row) for row in listing.head(num_rows).to_dict("records")],
        columns=("utterance", "speaker", "language", "codec", "value", "baseline", "difference"),
        title=f"The utterances that differ most in {listed}",
        names=("utterance", "codec"),
        numeric=("value", "baseline", "difference"),
        optional=("language", "speaker", "difference"),
    )


def _is_known(value: Any) -> bool:
    return value is not None and not pd.isna(value)


def _number(value: Any, *, signed: bool = False) -> str:
    if not _is_known(value):
        return "—"
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def _difference(row: Mapping[Any, Any]) -> tuple[str, ...]:
    low, high, p_value = row.get("low"), row.get("high"), row.get("p_value")
    missing = row.get("num_missing")
    is_short = missing and _is_known(missing)
    return (
        str(row["metric"]),
        _number(row["codec_value"]),
        _number(row["baseline_value"]),
        _number(row["difference"], signed=True),
        f"{low:+.3g} .. {high:+.3g}" if _is_known(low) else "—",
        f"{p_value:.3f}" if _is_known(p_value) else "—",
        f"{row['verdict']} ({missing:g} utterances missing)" if is_short else str(row["verdict"]),
    )


def _utterance(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return (
        str(row["utterance"]),
        str(row["speaker"]),
        str(row["language"]),
        str(row["codec"]),
        _number(row["codec_value"]),
        _number(row["baseline_value"]),
        _number(row["difference"], signed=True),
    )
