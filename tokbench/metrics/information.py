"""What codes and phones tell of each other: functions of how often they meet.

Everywhere ``joint`` is int64 [P, V], frames by phone and by code.

Source: Hsu et al. 2021, HuBERT (arXiv 2106.07447), section IV.
"""

import numpy as np

from tokbench.errors import UndefinedMetricError

__all__ = [
    "adjusted_information",
    "cluster_purity",
    "phone_normalized_mutual_information",
    "phone_purity",
]


def phone_normalized_mutual_information(joint: np.ndarray) -> float:
    """Return ``I(phone; code) / H(phone)``, 0 .. 1: what the code tells of what is to be known.

    High by chance where codes are many and frames are few: a code that occurs once tells its phone. Raises
    :class:`UndefinedMetricError` for fewer than two phones, of which nothing is to be known.
    """
    information, entropy = _information(joint)
    return information / entropy


def adjusted_information(joint: np.ndarray) -> float:
    """Return ``(I - E[I]) / (H(phone) - E[I])``: 0 for codes that were dealt to the frames by chance, 1 for phones.

    The adjustment of Vinh et al. 2010, Information theoretic measures for clusterings comparison, with H(phone)
    for the largest possible information. E[I] is the mean over all orders of the codes, in closed form
    (scikit-learn): that of a few shuffles would differ between groups that are left out in turn, and widen the
    interval. Frames that follow each other are not independent, so that chance does a little more than is taken
    away. Raises :class:`UndefinedMetricError` where chance leaves nothing to be known.
    """
    from sklearn.metrics.cluster import expected_mutual_information  # noqa: PLC0415  (the planner has no use for it)

    information, entropy = _information(joint)
    used = joint[np.ix_(joint.any(axis=1), joint.any(axis=0))]
    expected = float(expected_mutual_information(used, int(joint.sum())))
    if entropy - expected <= _SMALLEST_REST:
        msg = "each frame has a code of its own, which would tell its phone by chance"
        raise UndefinedMetricError(msg)
    return (information - expected) / (entropy - expected)


_SMALLEST_REST = 1e-9


def _information(joint: np.ndarray) -> tuple[float, float]:
    """Return I(phone; code) and H(phone) in nats."""
    probabilities = joint / _total(joint)
    phones, codes = probabilities.sum(axis=1), probabilities.sum(axis=0)
    entropy = _entropy(phones)
    if entropy == 0.0:
        msg = "there is only one phone, of which nothing is to be known"
        raise UndefinedMetricError(msg)
    information = entropy + _entropy(codes) - _entropy(probabilities.ravel())
    return min(max(information, 0.0), entropy), entropy


def phone_purity(joint: np.ndarray) -> float:
    """Return the share of frames whose phone is the commonest one of their code, 0 .. 1."""
    return float(joint.max(axis=0).sum() / _total(joint))


def cluster_purity(joint: np.ndarray) -> float:
    """Return the share of frames whose code is the commonest one of their phone, 0 .. 1.

    It falls with the number of codes, as phone purity rises: read them together.
    """
    return float(joint.max(axis=1).sum() / _total(joint))


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    # Adding zero turns the -0.0 of a single outcome into 0.0.
    return float(-(positive * np.log(positive)).sum()) + 0.0


def _total(joint: np.ndarray) -> int:
    total = int(joint.sum())
    if total == 0:
        msg = "no frame lies within a phone"
        raise UndefinedMetricError(msg)
    return total
