"""BLEU and chrF of a corpus, by sacrebleu.

What is counted in a sentence (lengths, n-grams, those that match) adds up over sentences; the score is made of the
sums. Both scores go from 0 to 100.

Source: Papineni et al. 2002, BLEU, as Post 2018 (arXiv:1804.08771) fixes its details (tokenizer 13a, smoothing
``exp``); Popović 2015, chrF (n-grams of up to 6 characters, recall counts twice).

Axes: ``N`` sentences, ``M`` counts.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

__all__ = ["TranslationScore", "counts", "score", "signature"]

TranslationScore = Literal["bleu", "chrf"]


def counts(name: TranslationScore, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Return int64 [N, M], what is counted in each of ``hypotheses`` against its reference."""
    # sacrebleu resamples by these two functions itself, and has no public ones that take sums.
    found: list[list[int]] = _metric(name)._extract_corpus_statistics(hypotheses, [references])  # noqa: SLF001
    return np.array(found, np.int64).reshape(len(hypotheses), -1)


def score(name: TranslationScore, sums: np.ndarray) -> float:
    """Return the score of a corpus, of whose sentences ``sums`` [M] are the sums."""
    found: float = _metric(name)._compute_score_from_stats([int(value) for value in sums]).score  # noqa: SLF001
    return found


def signature(name: TranslationScore) -> str:
    """Return sacrebleu's words for how the score is computed, its version included."""
    metric = _metric(name)
    # The number of references is known to it after a score alone.
    metric.corpus_score(["a"], [["a"]])
    return f"{name}|{metric.get_signature().format(short=False)}"


@functools.cache
def _metric(name: TranslationScore) -> Any:
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415  (the planner has no use for it)
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415

    return BLEU() if name == "bleu" else CHRF()
