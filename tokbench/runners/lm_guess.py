"""What one answer to everything is worth: the floor of what language models write."""

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tokbench.metrics.base import Metric
from tokbench.runners.base import Failure, attempt
from tokbench.runners.lm_scores import SCORES, Listeners, Output, estimate

__all__ = ["best_answers", "score_of"]

_NUM_TRIED, _NUM_TRIED_ON = 100, 100
"""Answers that are tried, the commonest, and questions that they are tried on."""


def best_answers(asked: Sequence[Output], metrics: Mapping[str, Metric], listeners: Listeners) -> dict[str, str]:
    """Return which of the right answers to what is ``asked`` is the best one to all of it, by each of ``metrics``.

    Empty where nothing is asked.
    """
    answers = Counter(output.reference_text for output in asked)
    tried = [text for text, _ in answers.most_common(_NUM_TRIED)]
    worth = functools.partial(_worth, asked[:_NUM_TRIED_ON], listeners)
    return {
        name: max(tried, key=functools.partial(worth, metric))
        for name, metric in metrics.items()
        if tried and name in SCORES
    }


def score_of(text: str, name: str, output: Output, listeners: Listeners) -> np.ndarray:
    """Return what the metric ``name`` finds where ``text`` is the answer, which is phones where it counts those."""
    from tokbench.corpora.pronunciation import pronounce  # noqa: PLC0415  (the planner has no use for it)

    written = " ".join(pronounce(text, output.language)) if name == "per" else text
    return SCORES[name](replace(output, text=written), listeners)


def _worth(asked: Sequence[Output], listeners: Listeners, metric: Metric, text: str) -> float:
    """Return how good ``text`` is as the answer to everything that is ``asked``, more for better."""
    found = [attempt(functools.partial(score_of, text, metric.name, output, listeners)) for output in asked]
    sums = [each for each in found if not isinstance(each, Failure)]
    value = estimate(metric.name, np.stack(sums)[:, None], None)[0] if sums else None
    if value is None:
        return -math.inf
    return value if metric.better == "higher" else -value
