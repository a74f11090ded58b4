"""What `tokbench compare` prints, and what it refuses."""

from pathlib import Path

import pytest
from leaderboard.builder import Results

from tokbench.cli.comparison import print_comparison
from tokbench.errors import UnknownNameError


def test_a_metric_that_was_not_compared_is_answered_with_the_nearest_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results(tmp_path / "results")
    for codec, value in {"a": 0.5, "b": 0.75}.items():
        results.add(codec, "1", {"stoi": [value] * 4, "pesq_wb": [value] * 4})

    def show(metric: str) -> None:
        print_comparison(
            ["a:1", "b:1"],
            task="reconstruction",
            corpus=None,
            metric=metric,
            results=results.folder,
            num_rows=3,
        )

    with pytest.raises(
        UnknownNameError, match=r"no metric of reconstruction\.v1 named 'stoii'. Did you mean 'stoi'"
    ):
        show("stoii")
    assert capsys.readouterr().out == ""
    show("stoi")
    assert "utt 2\tanna\ten\tb:1\t0.75\t0.5\t+0.25" in capsys.readouterr().out
