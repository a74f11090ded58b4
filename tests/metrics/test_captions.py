import math

import pytest

from tokbench.metrics.captions import Cider, name_counts

REFERENCES = [
    ["rain falls", "falling rain"],
    ["a siren wails loudly", "a siren"],
    ["a bird sings", "a bird is heard"],
]


def slow_cider(hypothesis: str, mine: list[str], references: list[list[str]]) -> float:
    """Return the score by lists and loops, gram by gram."""
    total = 0.0
    for size in (1, 2, 3, 4):

        def grams(text: str, size: int = size) -> list[str]:
            words = text.split()
            return [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]

        vocabulary = sorted(
            {gram for texts in [*references, [hypothesis]] for text in texts for gram in grams(text)}
        )

        def vector(text: str, vocabulary: list[str] = vocabulary, grams=grams) -> list[float]:  # noqa: ANN001
            here = grams(text)
            values = []
            for gram in vocabulary:
                items = sum(any(gram in grams(other) for other in texts) for texts in references)
                weight = math.log(len(references) / max(1, items))
                values.append(here.count(gram) / len(here) * weight if here else 0.0)
            return values

        for text in mine:
            one, other = vector(hypothesis), vector(text)
            norm = math.hypot(*one) * math.hypot(*other)
            total += sum(a * b for a, b in zip(one, other, strict=True)) / norm / len(mine) if norm else 0.0
    return 10 * total / 4


def ciders(hypotheses: list[str], references: list[list[str]]) -> list[float]:
    cider = Cider(references)
    return [cider.score(*pair) for pair in zip(hypotheses, references, strict=True)]


def test_it_is_the_formula_by_loops() -> None:
    hypotheses = ["falling rain falls", "a bird wails loudly", "a bird is heard"]
    expected = [slow_cider(text, mine, REFERENCES) for text, mine in zip(hypotheses, REFERENCES, strict=True)]
    assert ciders(hypotheses, REFERENCES) == pytest.approx(expected)
    assert expected[0] > 0


def test_a_long_copy_of_the_only_reference_has_10_and_strange_words_0() -> None:
    references = [["one two three four five"], ["six seven eight nine ten"]]
    assert ciders(["one two three four five", "x y z"], references) == pytest.approx([10.0, 0.0])


def test_what_everybody_says_counts_nothing() -> None:
    assert ciders(["a sound", "a sound"], [["a sound"], ["a sound"]]) == [0.0, 0.0]


def test_names_are_found_as_whole_words_in_a_row() -> None:
    names = ["rain", "a running engine", "siren"]
    assert name_counts("Rain, and then a running engine.", names, {"rain", "siren"}) == (1, 2, 2)
    assert name_counts("a train is running; engine", names, {"rain"}) == (0, 0, 1)
    assert name_counts("", names, {"rain"}) == (0, 0, 1)
