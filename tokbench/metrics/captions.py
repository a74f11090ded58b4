"""Captions: how much of what people say of a sound a caption says as well.

Source: Vedantam et al. 2015, CIDEr (arXiv:1411.5726), equations 1 to 3, without its variant CIDEr-D.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["Cider", "name_counts"]

_LONGEST = 4
_SCALE = 10.0
"""Scores are told times 10, as in the evaluation code of COCO."""

Ngrams = Mapping[tuple[str, ...], int]


class Cider:
    """Compares captions with what people say, ``references`` being those of all items of a corpus.

    How telling an n-gram is depends on in how many items' references it occurs; where every item says it, it counts
    nothing.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        said = ({ngram for text in texts for ngram in _ngrams(text)} for texts in references)
        self._spread = Counter(ngram for ngrams in said for ngram in ngrams)
        self._log_items = math.log(max(len(references), 1))

    def score(self, hypothesis: str, references: Sequence[str]) -> float:
        """Return the CIDEr of ``hypothesis`` against the references of its item, 0 .. 10; a corpus has the mean."""
        mine = _ngrams(hypothesis)
        cosines = [
            _cosine(self._weighted(mine, size), self._weighted(theirs, size))
            for theirs in map(_ngrams, references)
            for size in range(1, _LONGEST + 1)
        ]
        return _SCALE * sum(cosines) / len(cosines)

    def _weighted(self, ngrams: Ngrams, size: int) -> dict[tuple[str, ...], float]:
        counts = {ngram: count for ngram, count in ngrams.items() if len(ngram) == size}
        total = sum(counts.values())
        return {
            ngram: count / total * (self._log_items - math.log(max(self._spread[ngram], 1)))
            for ngram, count in counts.items()
        }


def name_counts(caption: str, names: Sequence[str], expected: set[str]) -> tuple[int, int, int]:
    """Return how many of ``expected`` a caption names, how many of ``names`` it names, and how many it should.

    A name is found where its words stand in the caption one after the other.
    """
    text = f" {' '.join(_words(caption))} "
    named = {name for name in names if f" {' '.join(_words(name))} " in text}
    return len(named & expected), len(named), len(expected)


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()


def _ngrams(text: str) -> Ngrams:
    words = _words(text)
    sizes = range(1, _LONGEST + 1)
    return Counter(tuple(words[start : start + size]) for size in sizes for start in range(len(words) - size + 1))


def _cosine(one: Mapping[tuple[str, ...], float], other: Mapping[tuple[str, ...], float]) -> float:
    product = sum(weight * other[ngram] for ngram, weight in one.items() if ngram in other)
    norms = math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
    return product / norms if norms else 0.0
