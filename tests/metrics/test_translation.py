import math

import numpy as np
import pytest
from sacrebleu import corpus_bleu, corpus_chrf

from tokbench.metrics.translation import counts, score, signature
from tokbench.stats import interval_of

REFERENCES = [
    "three boats go to London on Thursday",
    "two trains come from Rome on Monday",
    "six buses go to Prague",
]
HYPOTHESES = [
    "three boats go to London on Thursday",
    "two trains go from Rome on a Monday",
    "five trucks come to Rome",
]


def test_scores_are_those_of_sacrebleu_on_the_whole_corpus() -> None:
    for name, function in (("bleu", corpus_bleu), ("chrf", corpus_chrf)):
        found = counts(name, HYPOTHESES, REFERENCES)
        value = score(name, found.sum(axis=0))
        interval = interval_of(lambda sums, name=name: score(name, sums), found[:, None])
        assert value == pytest.approx(function(HYPOTHESES, [REFERENCES]).score, abs=1e-9)
        assert interval is not None
        assert interval[0] < value < interval[1]


def test_bleu_is_the_formula() -> None:
    """Brevity and the geometric mean of clipped precisions, counted by hand."""
    reference, hypothesis = "a b c d e f g h", "a b c d e x"
    found = counts("bleu", [hypothesis], [reference])
    precisions = [5 / 6, 4 / 5, 3 / 4, 2 / 3]
    expected = 100 * math.exp(1 - 8 / 6) * math.prod(precisions) ** 0.25
    assert score("bleu", found[0]) == pytest.approx(expected)


def test_chrf_is_the_formula() -> None:
    found = counts("chrf", ["abd"], ["abc"])
    # Matches of 1, 2 and 3 characters: 2 of 3, 1 of 2, 0 of 1; longer ones do not exist.
    precision = recall = (2 / 3 + 1 / 2 + 0) / 3
    expected = 100 * 5 * precision * recall / (4 * precision + recall)
    assert score("chrf", found[0]) == pytest.approx(expected)


def test_a_copy_has_100() -> None:
    for name in ("bleu", "chrf"):
        assert score(name, counts(name, REFERENCES[:1], REFERENCES[:1])[0]) == pytest.approx(100.0)
        assert score(name, counts(name, ["x"], REFERENCES[:1])[0]) < 10


def test_speakers_are_resampled_where_they_are_named() -> None:
    found = counts("chrf", HYPOTHESES, REFERENCES)

    def chrf(sums: np.ndarray) -> float:
        return score("chrf", sums)

    assert interval_of(chrf, found[:1, None]) is None
    assert interval_of(chrf, found[:, None], ["a", "a", "a"]) is None
    assert interval_of(chrf, found[:, None], ["a", "b", "b"]) not in {None, interval_of(chrf, found[:, None])}
    np.testing.assert_array_equal(found.shape, (3, 18))


def test_the_signature_tells_how() -> None:
    assert "tok:13a" in signature("bleu")
    assert "nc:6" in signature("chrf")
