"""What the utterances of a cell add up to."""

from collections import Counter
from dataclasses import replace
from typing import cast

import numpy as np

from tokbench.metrics.base import Score
from tokbench.metrics.catalogue import METRICS
from tokbench.run.journal import Entry, Journal
from tokbench.run.summary import _commonest, _Table
from tokbench.runners.base import Failure, Measurement


def entry(position: int, score: Score) -> Entry:
    return Entry(
        position=position,
        utterance=str(position),
        speaker="ann",
        language="en",
        error=None,
        measurement=Measurement(scores={"stoi": score}),
    )


def test_the_commonest_reasons_are_told_and_the_others_counted() -> None:
    """Reasons may hold the numbers of their utterances; a record does not grow with the corpus."""
    reasons = Counter({f"{number} samples are missing": 1 for number in range(9)} | {"it hung": 3})
    found = _commonest(reasons)
    assert next(iter(found.items())) == ("it hung", 3)
    assert len(found) == 6
    assert found["other reasons, in the table of utterances"] == 5
    assert sum(found.values()) == sum(reasons.values())
    assert _commonest(Counter({"it hung": 2})) == {"it hung": 2}


def test_a_metric_that_makes_sense_for_no_utterance_says_why() -> None:
    reasons = ["it is silent", "it is silent", "the language is Klingon"]
    entries = [
        replace(
            entry(place, Score(1.0)),
            measurement=Measurement(failures={"stoi": Failure(reason, is_not_applicable=True)}),
        )
        for place, reason in enumerate(reasons)
    ]
    for others, expected in (([], dict(Counter(reasons))), ([entry(3, Score(0.5))], {})):
        table = _Table(cast("Journal", entries + others), [METRICS["stoi"]])
        summary = table._summary(METRICS["stoi"], 0, np.full(2, np.nan))
        assert dict(summary.reasons) == expected
        assert (summary.num_total, summary.num_not_applicable) == (len(others), 3)


def test_a_score_that_is_no_number_is_a_failure_of_its_utterance() -> None:
    entries = [entry(0, Score(0.5)), entry(1, Score(float("nan"))), entry(2, Score(1.0, float("inf")))]
    table = _Table(cast("Journal", entries), [METRICS["stoi"]])
    assert table.reasons[0] == {"the value came out as nan / 1": 1, "the value came out as 1 / inf": 1}
    assert np.isnan(table.total[1:, 0]).all()
    assert table.total[0, 0] == 0.5
