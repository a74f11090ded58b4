"""Token statistics: pure functions of how often each code of one codebook occurred.

Everywhere ``counts`` is int64 [V], one entry for every code of the codebook, unused codes included; its sum is
the number of tokens. Each function raises :class:`UndefinedMetricError` where no token was counted.
"""

import heapq

import numpy as np

from tokbench.errors import UndefinedMetricError

__all__ = [
    "entropy_bits",
    "huffman_bits",
    "mass_of_commonest",
    "mass_of_rarest",
    "normalized_entropy",
    "perplexity",
    "usage",
]


def entropy_bits(counts: np.ndarray) -> float:
    """Return the first-order entropy ``-sum p log2 p`` in bits per token (Shannon 1948, section 6).

    The plug-in estimate, with ``p = counts / sum``: low by about ``(used - 1) / (2 ln 2 · tokens)`` bits where
    tokens are few (Miller 1955), so compare codecs on the same corpus.
    """
    probabilities = _used(counts) / _total(counts)
    # Adding zero turns the -0.0 of a single code into 0.0.
    return float(-(probabilities * np.log2(probabilities)).sum()) + 0.0


def normalized_entropy(counts: np.ndarray) -> float:
    """Return the entropy as a share of the ``log2 V`` bits that a token is paid for, 0 .. 1; 0 where ``V = 1``.

    Of the codebook's size, not of the codes in use: a codebook that uses two of its 1024 codes equally is
    nearly empty, not perfect.
    """
    entropy = entropy_bits(counts)
    return entropy / float(np.log2(len(counts))) if len(counts) > 1 else 0.0


def perplexity(counts: np.ndarray) -> float:
    """Return ``2 ** entropy``: the size of a uniformly used codebook of the same entropy, 1 .. V."""
    return float(2.0 ** entropy_bits(counts))


def huffman_bits(counts: np.ndarray) -> float:
    """Return the mean length in bits of a static Huffman code made from ``counts`` (Huffman 1952).

    Merging two nodes adds one bit to every token below them, so the total is the sum of all merged weights; no
    tree is needed. A codebook of which one code occurs costs 0 bits, as its entropy does.
    """
    heap = _used(counts).tolist()
    heapq.heapify(heap)
    total_bits = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heap[0]
        heapq.heapreplace(heap, merged)
        total_bits += merged
    return total_bits / _total(counts)


def usage(counts: np.ndarray) -> float:
    """Return the share of the ``V`` codes that occur at all, 0 .. 1."""
    _total(counts)
    return np.count_nonzero(counts) / len(counts)


def mass_of_rarest(counts: np.ndarray, *, share: float = 0.2) -> float:
    """Return the share of all tokens that fall on the rarest ``share`` of the ``V`` codes, 0 .. 1.

    The share is of the whole codebook, unused codes included, and not of the codes in use. Where
    ``share · V`` is no integer, the code on the boundary counts in part, so a uniformly used codebook of any size
    has exactly ``share``.
    """
    cumulative = np.concatenate([[0], np.cumsum(np.sort(counts))])
    boundary = share * len(counts)
    return float(np.interp(boundary, np.arange(len(cumulative)), cumulative)) / _total(counts)


def mass_of_commonest(counts: np.ndarray, *, share: float = 0.2) -> float:
    """Return the share of all tokens that fall on the commonest ``share`` of the ``V`` codes, 0 .. 1.

    What :func:`mass_of_rarest` leaves to the others: the same rule at the boundary.
    """
    return 1.0 - mass_of_rarest(counts, share=1.0 - share)


def _used(counts: np.ndarray) -> np.ndarray:
    return counts[counts > 0]


def _total(counts: np.ndarray) -> int:
    total = int(counts.sum())
    if total == 0:
        msg = "no token was counted"
        raise UndefinedMetricError(msg)
    return total
