"""What is asked of the world of ``synth-sentences`` was not heard in training, and no frequency tells of it."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest

from tokbench.corpora.generated import Row
from tokbench.corpora.pronunciation import pronounce
from tokbench.corpora.synth_recipe import speakers_of
from tokbench.corpora.synth_sentences import RECIPE, list_first_sentences, list_stories, list_swaps

EDGE = "#"
"""Before and after a word."""
KINDS = ("story", "agreement", "word")


@cache
def rows_of(split: str, kind: str) -> tuple[Row, ...]:
    return tuple(row for row in RECIPE.rows() if (row.columns["split"], row.columns["kind"]) == (split, kind))


def texts_of(split: str, kind: str) -> list[str]:
    return [row.columns["text"] for row in rows_of(split, kind)]


def pairs_of(kind: str) -> set[tuple[str, str]]:
    return {(row.columns["text"], row.columns["wrong_text"]) for row in rows_of("test", kind)}


def sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in text.split(".") if sentence.strip()]


def words(text: str) -> list[str]:
    return text.replace(".", "").split()


def phones(text: str) -> list[str]:
    """Return the phones of each word, and what is between them."""
    return [EDGE, *(phone for word in words(text) for phone in (*pronounce(word, "en-us"), EDGE))]


class Frequencies:
    """How often a symbol, and one after another, are heard in training."""

    def __init__(self, heard: Sequence[Sequence[str]]) -> None:
        self.alone = Counter(symbol for symbols in heard for symbol in symbols if symbol != EDGE)
        self.pairs = Counter(pair for symbols in heard for pair in pairwise(symbols))
        self._before = Counter(symbol for symbols in heard for symbol in symbols[:-1])

    def by_symbol(self, symbols: Sequence[str]) -> float:
        """Return the mean log-probability of a symbol, without regard to others."""
        total = self.alone.total() + len(self.alone)
        logs = [math.log((self.alone[symbol] + 1) / total) for symbol in symbols if symbol != EDGE]
        return sum(logs) / len(logs)

    def by_pair(self, symbols: Sequence[str]) -> float:
        """Return the mean log-probability of a symbol after the one before it."""
        logs = [
            math.log((self.pairs[one, other] + 0.1) / (self._before[one] + 0.1 * len(self.alone)))
            for one, other in pairwise(symbols)
        ]
        return sum(logs) / len(logs)


@cache
def phones_of_training() -> Frequencies:
    return Frequencies([phones(text) for kind in ("story", "word") for text in texts_of("train", kind)])


@cache
def words_of_training() -> Frequencies:
    told = [[EDGE, *words(text), EDGE] for kind in ("story", "word") for text in texts_of("train", kind)]
    return Frequencies(told)


def share_right(differences: Sequence[float]) -> float:
    """Return how often the right one of a pair is the likelier one; one that is as likely counts half."""
    return sum(0.5 if abs(value) < 1e-12 else float(value > 0) for value in differences) / len(differences)


def test_there_is_as_much_as_is_said() -> None:
    assert {kind: len(rows_of("train", kind)) for kind in KINDS} == {
        "story": 240 * 4,
        "agreement": 0,
        "word": 18 * 8,
    }
    assert {kind: len(rows_of("test", kind)) for kind in KINDS} == {
        "story": 48 * 6,
        "agreement": 48 * 6,
        "word": 18 * 6,
    }


def test_a_story_of_training_is_told_by_four_people_and_everybody_tells_as_many() -> None:
    told = Counter((row.columns["text"], row.columns["speaker"]) for row in rows_of("train", "story"))
    assert set(told.values()) == {1}
    assert set(Counter(text for text, _ in told).values()) == {4}
    assert Counter(speaker for _, speaker in told) == {speaker.name: 120 for speaker in speakers_of("train")}


@pytest.mark.parametrize("kind", KINDS)
def test_all_speakers_say_each_pair_of_the_test_once(kind: str) -> None:
    said = Counter((row.columns["text"], row.columns["speaker"]) for row in rows_of("test", kind))
    assert set(said.values()) == {1}
    assert len(said) == len(pairs_of(kind)) * 6
    assert {speaker for _, speaker in said} == {speaker.name for speaker in speakers_of("test")}
    for row in rows_of("test", kind):
        assert row.companions["wrong"].name == f"{row.clip.name}-wrong"


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_of_the_test_was_heard_in_training(kind: str) -> None:
    heard = words_of_training().alone
    for text, wrong_text in pairs_of(kind):
        asked = words(text) if kind == "word" else words(f"{text} {wrong_text}")
        assert all(heard[word] for word in asked)


def test_no_story_of_the_test_is_told_in_training() -> None:
    learnt, tested = ({story.text for story in list_stories(split)} for split in ("train", "test"))
    assert (len(learnt), len(tested)) == (240, 48)
    assert learnt.isdisjoint(tested)
    assert learnt.isdisjoint(wrong for _, wrong in pairs_of("story"))


def test_what_a_story_begins_and_ends_with_is_equally_frequent_in_training() -> None:
    learnt = list_stories("train")
    assert {story.first() for story in list_stories("test")} <= {story.first() for story in learnt}
    for counts in (
        Counter((story.is_one, story.deeds[1]) for story in learnt),
        Counter((story.is_one, story.deeds[0]) for story in learnt),
    ):
        assert len(counts) == 48
        assert set(counts.values()) == {5}


def test_two_stories_of_the_test_swap_their_endings_and_no_ending_is_the_persons() -> None:
    swaps = list_swaps()
    assert sorted(story.text for pair in swaps for story in pair) == sorted(set(texts_of("test", "story")))
    for one, other in swaps:
        assert one.is_one is other.is_one
        assert other.deeds[1] not in one.person.does
        assert one.deeds[1] not in other.person.does
        wrong = one.with_ending_of(other), other.with_ending_of(one)
        assert {(one.text, wrong[0]), (other.text, wrong[1])} <= pairs_of("story")
        assert sentences(wrong[0]) == [sentences(one.text)[0], sentences(other.text)[1]]
        assert Counter(words(" ".join(wrong))) == Counter(words(f"{one.text} {other.text}"))


def test_the_frequency_of_words_and_of_phones_tells_nothing_of_stories() -> None:
    pairs = pairs_of("story")
    for likelihood in (words_of_training().by_symbol, words_of_training().by_pair):
        edged = [([EDGE, *words(text), EDGE], [EDGE, *words(wrong), EDGE]) for text, wrong in pairs]
        assert share_right([likelihood(right) - likelihood(wrong) for right, wrong in edged]) == 0.5
    for likelihood in (phones_of_training().by_symbol, phones_of_training().by_pair):
        found = share_right([likelihood(phones(text)) - likelihood(phones(wrong)) for text, wrong in pairs])
        assert found == pytest.approx(0.5, abs=0.05)


def test_no_sentence_that_must_agree_was_heard_in_training() -> None:
    heard = {sentence for text in texts_of("train", "story") for sentence in sentences(text)}
    asked = set(texts_of("test", "agreement"))
    assert len(asked) == 48
    assert heard.isdisjoint(asked)
    assert heard.isdisjoint(wrong for _, wrong in pairs_of("agreement"))
    assert asked < set(list_first_sentences())
    # All of its people and deeds were, with other adjectives.
    without_adjective = {" ".join([*text.split()[:1], *text.split()[2:]]) for text in heard}
    assert {" ".join([*text.split()[:1], *text.split()[2:]]) for text in asked} <= without_adjective


def test_of_each_verb_as_many_agree_with_one_as_with_several() -> None:
    longer = Counter(len(wrong) - len(text) for text, wrong in pairs_of("agreement"))
    assert longer == {1: 24, -1: 24}
    changed = Counter(frozenset(set(words(text)) ^ set(words(wrong))) for text, wrong in pairs_of("agreement"))
    assert len(changed) == 24
    assert set(changed.values()) == {2}
    adjectives = Counter(words(text)[1] for text, _ in pairs_of("agreement"))
    assert set(adjectives.values()) == {12}


def test_the_frequency_of_words_and_of_phones_tells_nothing_of_agreement() -> None:
    pairs = pairs_of("agreement")
    by_word = [
        words_of_training().by_symbol(words(text)) - words_of_training().by_symbol(words(wrong))
        for text, wrong in pairs
    ]
    assert share_right(by_word) == 0.5
    for likelihood, bound in ((phones_of_training().by_symbol, 0.05), (phones_of_training().by_pair, 0.1)):
        found = share_right([likelihood(phones(text)) - likelihood(phones(wrong)) for text, wrong in pairs])
        assert found == pytest.approx(0.5, abs=bound)


def test_what_is_no_word_has_only_pairs_of_phones_that_training_has() -> None:
    heard = phones_of_training().pairs
    for _, wrong in pairs_of("word"):
        assert all(heard[pair] for pair in pairwise(phones(wrong))), wrong


def test_what_is_no_word_begins_and_ends_as_something_that_is_said_in_training() -> None:
    """Not only as some word does amid a sentence: before and after a recording there is silence."""
    said = [phones(text)[1:-1] for kind in ("story", "word") for text in set(texts_of("train", kind))]
    first, last = {spoken[0] for spoken in said}, {spoken[-1] for spoken in said}
    for _, wrong in pairs_of("word"):
        assert phones(wrong)[1] in first
        assert phones(wrong)[-2] in last


def test_the_frequency_of_phones_tells_nothing_of_words() -> None:
    trained, pairs = phones_of_training(), sorted(pairs_of("word"))
    assert len(pairs) == 18
    alone, after = (
        [likelihood(phones(text)) - likelihood(phones(wrong)) for text, wrong in pairs]
        for likelihood in (trained.by_symbol, trained.by_pair)
    )
    assert share_right(alone) == pytest.approx(0.5, abs=0.06)
    assert 0.35 <= share_right(after) <= 0.65
    # Nor does the one undo what the other does.
    agreed = sum((one > 0) == (other > 0) for one, other in zip(alone, after, strict=True))
    assert 7 <= agreed <= 11
