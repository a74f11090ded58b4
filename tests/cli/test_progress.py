"""What is told while cells are run."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest

from tokbench.cli.progress import TerminalReporter
from tokbench.metrics.catalogue import find_metric
from tokbench.records import MetricSummary, Record
from tokbench.run.engine import CellOutcome

CELL: Any = SimpleNamespace(label="mine:8bit · quick.v1 · synth.v1")
Status = Literal["ok", "partial", "failed", "skipped"]


def metric(**reasons: int) -> MetricSummary:
    value = None if reasons else 1.0
    return find_metric("stoi").summary(value=value, num_ok=0, num_total=3, reasons=reasons)


@pytest.mark.parametrize(
    ("status", "was_done", "reason", "metrics", "told"),
    [
        ("ok", False, None, [metric()], "ok"),
        ("ok", True, None, [metric()], "already done (--force runs it again)"),
        ("failed", False, "no weights", [metric(rare=3)], "failed: no weights"),
        ("partial", False, None, [metric(rare=1, common=2), metric(rare=1, common=1)], "partial: common"),
        ("partial", True, None, [metric(**{"in two\n  lines": 1})], "in two lines"),
        ("failed", False, "x" * 999, [], f"failed: {'x' * 299}…"),
        ("failed", False, None, [], "failed"),
    ],
)
def test_the_outcome_of_a_cell_names_the_commonest_reason(
    capsys: pytest.CaptureFixture[str],
    status: Status,
    was_done: bool,  # noqa: FBT001  (a parameter of the test)
    reason: str | None,
    metrics: list[MetricSummary],
    told: str,
) -> None:
    record = Record.model_construct(status=status, reason=reason, metrics=tuple(metrics))
    TerminalReporter([CELL]).finish(CellOutcome(CELL, status, record, was_done=was_done))
    line = capsys.readouterr().err
    assert line.startswith(f"[1/1] {CELL.label}: ")
    assert line.endswith(f"{told}\n")
