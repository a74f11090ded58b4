"""What a runner pools, checked against what its utterances add to it."""

from collections.abc import Sequence

import numpy as np
import pytest

from tokbench.records import MetricSummary
from tokbench.runners.base import Runner


def pooled(runner: Runner, payloads: Sequence[bytes | None], *told_by_utterance: str) -> list[MetricSummary]:
    """Return the summaries of ``payloads``, once what utterances add to them is known to come to the same.

    The metrics ``told_by_utterance`` must be among those to which utterances add something.
    """
    found = runner.pool(payloads)
    values = {item.name: item.value for item in found.summaries if item.group == "all"}
    assert set(told_by_utterance) <= set(found.components) <= set(values)
    for name, parts in found.components.items():
        assert parts.dtype == np.float64
        assert len(parts) == len(payloads)
        if (value := values[name]) is not None:
            total, weight = np.moveaxis(parts.sum(axis=0), 1, 0)
            assert (total / weight).mean() == pytest.approx(value), name
    return list(found.summaries)
