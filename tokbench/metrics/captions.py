"""Captions: how much of what people say of a sound a caption says as well.

Source: Vedantam et al. 2015, CIDEr (arXiv:1411.5726), equations 1 to 3, without its variant CIDEr-D.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["ciders", "name_counts"]

_LONGEST = 4
_SCALE = 10.0
"""Scores are told times 10, as in the evaluation code of COCO."""

Ngrams = Mapping[tuple[str, ...], int]


def ciders(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Return the CIDEr of each of ``hypotheses`` against the references of its item, 0 .. 10.

    How telling an n-gram is depends on in how many items' references it occurs: ``references`` are those of all
    items. Where every item says it, it counts nothing. The mean over items is the score of a corpus.
    """
    counted = [[_ngrams(text) for text in texts] for texts in references]
    spread = Counter(ngram for texts in counted for ngram in {ngram for ngrams in texts for ngram in ngrams})
    log_items = math.log(len(references))

    def weighted(ngrams: Ngrams, size: int) -> dict[tuple[str, ...], float]:
        total = sum(count for ngram, count in ngrams.items() if len(ngram) == size)
        return {
            ngram: count / total * (log_items - math.log(max(spread[ngram], 1)))
            for ngram, count in ngrams.items()
            if len(ngram) == size
        }

    scores = []
    for hypothesis, texts in zip(hypotheses, counted, strict=True):
        mine = _ngrams(hypothesis)
        cosines = [
            _cosine(weighted(mine, size), weighted(theirs, size))
            for size in range(1, _LONGEST + 1)
            for theirs in texts
        ]
        scores.append(_SCALE * sum(cosines) / len(cosines))
    return scores


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
