"""Numbers as a terminal shows them."""

import pytest

from tokbench.cli.summary_table import format_value
from tokbench.metrics.catalogue import find_metric
from tokbench.records import MetricSummary


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
