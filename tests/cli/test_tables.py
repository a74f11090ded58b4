"""What a run says at its end, on a terminal and in a pipe."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running import run_here

from tokbench.cli.summary_table import format_value, print_outcomes
from tokbench.metrics.catalogue import find_metric
from tokbench.records import MetricSummary, Record


def summary(value: float | None, low: float | None = None, high: float | None = None) -> MetricSummary:
    interval = None if low is None or high is None else (low, high)
    return find_metric("si_sdr_db").summary(value=value, interval=interval, num_ok=3, num_total=3)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (12.3456, 12.0, 12.7, "12.35 ±0.35"),
        (0.98765, 0.98, 0.99, "0.988 ±0.005"),
        (48.4, 30.0, 70.0, "48 ±20"),
        (99.0, 99.0, 99.0, "99"),
        (6.5, None, None, "6.5"),
        (None, None, None, "—"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_supports(
    value: float | None, low: float | None, high: float | None, text: str
) -> None:
    assert format_value(summary(value, low, high)) == text


def test_a_metric_that_is_not_there_is_a_dash() -> None:
    assert format_value(None) == "—"


NAMES = ("stoi", "si_sdr_db", "snr_db", "mel_distance_dac", "mel_distance_codec_superb", "stft_distance", "mcd_db")


def outcome(task: str, codec: str, *names: str) -> Any:
    """Return what became of a cell in which each metric is 1, and 9 on the first codebook."""
    metrics = [
        find_metric(name).summary(value=value, num_ok=2, num_total=3, group=group)
        for name in names
        for group, value in (("all", 1.0), ("codebook 1", 9.0))
    ]
    record = Record.model_construct(
        task=SimpleNamespace(id=task),
        corpus=SimpleNamespace(name="synth.v1"),
        codec=SimpleNamespace(name=codec, setting="8bit", bitrate_bps=64000.0),
        metrics=tuple(metrics),
    )
    path = Path("my results") / task / "synth.v1" / codec / "8bit.json"
    return SimpleNamespace(record=record, cell=SimpleNamespace(files=SimpleNamespace(record=path)))


OUTCOMES = [outcome("a.v1", "mulaw", *NAMES), outcome("a.v1", "alaw", *NAMES[:2]), outcome("b.v1", "mulaw", "stoi")]


def test_a_pipe_gets_every_metric_with_task_and_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcomes(OUTCOMES, Path("my results"))
    first, second = capsys.readouterr().out.split("\n\n")
    header, mulaw, alaw = (line.split("\t") for line in first.splitlines())
    assert header[:6] == ["task", "corpus", "codec", "kbit/s", "STOI ↑", "SI-SDR ↑"]
    assert len(header) == 5 + len(NAMES)
    assert mulaw == ["a.v1", "synth.v1", "mulaw:8bit", "64", *["1"] * len(NAMES), "2/3"]
    assert alaw == ["a.v1", "synth.v1", "alaw:8bit", "64", *["1"] * 2, *["—"] * (len(NAMES) - 2), "2/3"]
    assert second == "task\tcorpus\tcodec\tkbit/s\tSTOI ↑\tscored\nb.v1\tsynth.v1\tmulaw:8bit\t64\t1\t2/3\n"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_shows_what_the_tables_are_about_and_names_what_it_has_no_room_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_outcomes(OUTCOMES, Path("my results"))
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "a.v1 on synth.v1" in text
    assert "b.v1 on synth.v1" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    told = " ".join(text.split())
    assert ("No room for: " in told) == (width < 200)
    for name in NAMES:  # in a heading, which may be broken, or among those that are left out
        assert all(word in told for word in find_metric(name).title.split())


def test_where_the_records_are_is_said_last_and_apart_from_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcomes(OUTCOMES, Path("my results"))
    assert capsys.readouterr().err == (
        "The records are in my results: `tokbench show 'my results/a.v1/synth.v1/mulaw/8bit.json'` shows one in "
        "full, and `tokbench leaderboard build --results 'my results'` makes tables of all.\n"
    )
    print_outcomes(OUTCOMES, Path("results"))
    assert "`tokbench leaderboard build` makes tables" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("codec", "task", "sentence"),
    [
        ("", "tokens", "--codec: expected at least one name, found ''"),
        ("mulaw", ",", "--task: expected at least one name, found ','"),
    ],
)
def test_an_option_without_a_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], codec: str, task: str, sentence: str
) -> None:
    done = run_here(monkeypatch, capsys, "run", "--codec", codec, "--task", task)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {sentence}\n")
