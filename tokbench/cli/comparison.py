"""What `tokbench compare` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tokbench.cli.terminal import print_table, stdout
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
    """Print the paired differences, and the utterances of one metric that differ most."""
    found = compare(results, task=task, codecs=codecs, corpus=corpus)
    rows = found.differences.to_dict("records")
    print_table(
        [_difference(row) for row in rows],
        columns=(
            "metric",
            "codec",
            "value",
            "baseline",
            "difference",
            "95 % interval",
            "p",
            "verdict",
            "utterances",
        ),
        title=f"{found.task} on {found.corpus}, against {codecs[0]}",
        numeric=("value", "baseline", "difference", "95 % interval", "p", "utterances"),
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
        numeric=("value", "baseline", "difference"),
    )


def _number(value: Any, *, signed: bool = False) -> str:
    if value is None or pd.isna(value):
        return "—"
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def _difference(row: Mapping[Any, Any]) -> tuple[str, ...]:
    low, high = row.get("low"), row.get("high")
    has_interval = not (low is None or pd.isna(low))
    missing = row.get("num_missing")
    count = _number(row.get("num_utterances"))
    return (
        str(row["metric"]),
        str(row["codec"]),
        _number(row["codec_value"]),
        _number(row["baseline_value"]),
        _number(row["difference"], signed=True),
        f"{_number(low, signed=True)} .. {_number(high, signed=True)}" if has_interval else "—",
        _number(row.get("p_value")),
        str(row["verdict"]),
        f"{count} ({missing:g} missing)" if missing and not pd.isna(missing) else count,
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
