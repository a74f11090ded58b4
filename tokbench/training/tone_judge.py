"""A judge of tones: a forest that is trained on the contours of originals, and hears those of decoded speech.

Trees of random splits (Geurts et al. 2006, Extremely randomized trees), by scikit-learn. Contours alone are heard:
no spectrum, no length, no loudness, by which tones can be told as well.

Axes: ``N`` syllables, ``P`` places in a syllable, ``S`` seeds.
"""

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

__all__ = ["NOTHING", "heard_tones"]

NOTHING = -1
"""What is heard in a syllable without a contour."""
NUM_TREES = 200
_SMALLEST_LEAF = 2


def heard_tones(contours: np.ndarray, tones: np.ndarray, *others: np.ndarray, num_seeds: int) -> list[np.ndarray]:
    """Train on ``contours`` [N, P] of ``tones`` int64 [N], and return what is heard in each of ``others`` [N', P].

    Contours of NaN are not learnt from. Each of the answers is int64 [S, N'], :data:`NOTHING` for such a contour,
    and everywhere if nothing was learnt.
    """
    is_there = ~np.isnan(contours[:, 0])
    answers = [np.full((num_seeds, len(other)), NOTHING, np.int64) for other in others]
    if not is_there.any():
        return answers
    for seed in range(num_seeds):
        forest = ExtraTreesClassifier(NUM_TREES, min_samples_leaf=_SMALLEST_LEAF, random_state=seed)
        forest.fit(contours[is_there], tones[is_there])
        for answer, other in zip(answers, others, strict=True):
            has_contour = ~np.isnan(other[:, 0])
            if has_contour.any():
                answer[seed, has_contour] = forest.predict(other[has_contour])
    return answers
