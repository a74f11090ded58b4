"""Word and character errors against a slow edit distance, after Whisper's normalization."""

import numpy as np
import pytest

from tokbench.errors import NotApplicableError
from tokbench.metrics.recognition import (
    ErrorCounts,
    Readings,
    character_errors,
    label_errors,
    normalize,
    word_errors,
)


def distance(reference: list[str], hypothesis: list[str]) -> int:
    rows = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference, start=1):
        before, rows[0] = rows[0], i
        for j, right in enumerate(hypothesis, start=1):
            before, rows[j] = rows[j], min(before + (left != right), rows[j] + 1, rows[j - 1] + 1)
    return rows[-1]


PAIRS = [
    ("the cat sat on the mat", "the cat sat on a mat today"),
    ("who borrowed my yellow umbrella", "borrowed my yell oh umbrella"),
    ("one two three four", ""),
    ("fog", "thick fog covered both sides of the valley"),
]


@pytest.mark.parametrize(("reference", "hypothesis"), PAIRS)
def test_errors_are_the_edit_distance(reference: str, hypothesis: str) -> None:
    first, second = (normalize(text, "en") for text in (reference, hypothesis))
    words = word_errors(reference, hypothesis, "en")
    assert words.score.total == distance(first.split(), second.split())
    assert words.score.weight == words.length == len(first.split())
    characters = character_errors(reference, hypothesis, "en")
    assert characters.score.total == distance(list(first), list(second))
    assert characters.length == len(first)


def test_each_kind_of_error_is_counted() -> None:
    assert word_errors("a b c d e f g", "x b c e f g h", "") == ErrorCounts(1, 1, 1, 7)


def test_spelling_numbers_and_marks_are_no_errors_in_english() -> None:
    assert (
        word_errors("Mr. Grey's colour — it's twenty-one!", "mister gray's color it is 21", "en-us").score.total
        == 0
    )
    assert word_errors("twenty-one", "21", "fr").score.total > 0


def test_languages_without_spaces_are_cut_into_characters() -> None:
    assert word_errors("我们今天去", "我们明天去。", "cmn") == ErrorCounts(1, 0, 0, 5)
    assert character_errors("我们今天去", "我们明天", "cmn") == ErrorCounts(1, 1, 0, 5)
    assert character_errors("la mer", "lamer", "fr") == ErrorCounts(0, 1, 0, 6)


@pytest.mark.parametrize(("text", "reason"), [("", "there is no text"), (" ?! ", "the text has no words")])
def test_no_words_are_nothing_to_get_wrong(text: str, reason: str) -> None:
    for count in (word_errors, character_errors):
        with pytest.raises(NotApplicableError, match=reason):
            count(text, "something", "en")


def test_labels_are_counted_as_they_are() -> None:
    reference, hypothesis = ["ð", "ə", "k", "w", "i", "k", "oʊ"], ["ð", "k", "w", "u", "k", "k", "o", "ʊ"]
    found = label_errors(reference, hypothesis)
    assert found.score.total == distance(reference, hypothesis)
    assert found.length == 7
    assert len(hypothesis) - len(reference) == found.insertions - found.deletions
    assert label_errors(["a", "b"], []) == ErrorCounts(0, 2, 0, 2)
    assert label_errors(["a"], ["b", "a"]) == ErrorCounts(0, 0, 1, 1)
    with pytest.raises(NotApplicableError, match="no labels"):
        label_errors([], ["a"])


def test_rates_over_seeds_are_those_of_a_slow_loop(rng: np.random.Generator) -> None:
    lengths = rng.integers(5, 30, 40)
    errors = rng.binomial(lengths, np.array([[0.2], [0.3], [0.25]]))
    speakers = [f"s{place % 8}" for place in range(40)]
    value, interval = Readings(errors, lengths, speakers).estimate()
    assert value == pytest.approx(np.mean([row.sum() / lengths.sum() for row in errors]))
    draws = []
    for _ in range(2000):
        items = [place for drawn in rng.integers(0, 8, 8) for place in range(40) if speakers[place] == f"s{drawn}"]
        draws.append(np.mean([errors[seed, items].sum() / lengths[items].sum() for seed in rng.integers(0, 3, 3)]))
    assert interval == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)
    assert Readings(errors, lengths, ["s"] * 40).estimate()[1] is None
