"""What is asked of the world of ``synth-sentences`` was not heard in training, and what was is as it was."""

import hashlib
import json
from collections import Counter

from tokbench.corpora.synth_sentences import RECIPE

ROWS = RECIPE.rows()


def texts_of(split: str, kind: str) -> list[str]:
    return [row.columns["text"] for row in ROWS if (row.columns["split"], row.columns["kind"]) == (split, kind)]


def sentences(text: str) -> set[str]:
    return {sentence.strip() for sentence in text.split(".") if sentence.strip()}


def test_no_sentence_that_must_agree_was_heard_in_training() -> None:
    heard = {sentence for text in texts_of("train", "story") for sentence in sentences(text)}
    asked = texts_of("test", "agreement")
    assert len(asked) == 48
    assert len(set(asked)) == 27
    assert heard.isdisjoint(asked)
    # All of its people and deeds were.
    without_adjective = {" ".join([*text.split()[:1], *text.split()[2:]]) for text in heard}
    assert {" ".join([*text.split()[:1], *text.split()[2:]]) for text in asked} <= without_adjective


def test_who_always_says_an_s_or_never_is_right_by_halves_and_nobody_is_asked_twice() -> None:
    rows = [row for row in ROWS if row.columns["kind"] == "agreement"]
    assert Counter(len(row.columns["wrong_text"]) - len(row.columns["text"]) for row in rows) == {1: 24, -1: 24}
    assert len({(row.columns["text"], row.columns["speaker"]) for row in rows}) == len(rows)
    assert {row.columns["split"] for row in rows} == {"test"}
    assert max(Counter(row.columns["speaker"] for row in rows).values()) <= 9


def test_stories_and_words_are_those_of_the_records() -> None:
    """Of which the audio is made from these, and from nothing else."""
    kept = sorted((row for row in ROWS if row.columns["kind"] != "agreement"), key=lambda row: row.id)
    told = [[row.id, row.clip.name, dict(row.columns), sorted(row.companions)] for row in kept]
    assert len(kept) == 540
    assert (
        hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        == "e1dec4b0caf1facbc2c0bb3992354e29a0de9524b7bdcf0d702f5bc1fafea160"
    )
