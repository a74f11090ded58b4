"""What codes cost a model that predicts them, and how unevenly they are used.

Axes: ``F`` frames, ``V`` codebook size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokbench.errors import UndefinedMetricError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Merges", "gini", "learn_merges", "ngram_bits"]

_FIRST_CHARACTER = 0x10000
"""Of the planes beyond the first, which hold a million characters and no surrogates; nothing normalizes them."""


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of ``counts`` [V], unused codes included: 0 .. 1 - 1 / V (one code).

    ``Σ_i Σ_j |x_i - x_j| / (2 V Σ x)`` (Gini 1912), computed from the sorted counts as
    ``Σ_i (2 i - V - 1) x_(i) / (V Σ x)``. Raises :class:`UndefinedMetricError` where no token was counted.
    """
    total = int(counts.sum())
    if total == 0:
        msg = "no token was counted"
        raise UndefinedMetricError(msg)
    size = len(counts)
    ranks = 2 * np.arange(1, size + 1) - size - 1
    return float((ranks * np.sort(counts)).sum() / (size * total))


@dataclass(frozen=True)
class Merges:
    """A byte-pair encoding of codes."""

    model: "Tokenizer"
    characters: dict[int, str]
    """Of the codes."""
    num_merges: int
    """Fewer than were asked for where no pair is left."""

    def length(self, codes: np.ndarray) -> int:
        """Return how many tokens ``codes`` [F] become."""
        return len(self.model.encode(_spelled(codes, self.characters)).ids)


def learn_merges(training: Sequence[np.ndarray], others: Sequence[np.ndarray], num_merges: int) -> Merges:
    """Return the ``num_merges`` merges of the pairs most common in ``training``, sequences of codes [F].

    Byte-pair encoding (Gage 1994; Sennrich et al. 2016) by Hugging Face's ``tokenizers``, of whole utterances:
    a merge never crosses from one to the next. The codes of ``others`` are known as well.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415  (the planner knows metrics without it)
    from tokenizers.models import BPE  # noqa: PLC0415
    from tokenizers.trainers import BpeTrainer  # noqa: PLC0415

    used = np.unique(np.concatenate([*training, *others]))
    characters = {code: chr(_FIRST_CHARACTER + place) for place, code in enumerate(used.tolist())}
    model = Tokenizer(BPE())
    trainer = BpeTrainer(
        vocab_size=len(used) + num_merges,
        initial_alphabet=list(characters.values()),
        special_tokens=[],
        show_progress=False,
        min_frequency=2,
    )
    model.train_from_iterator([_spelled(codes, characters) for codes in training], trainer)
    return Merges(model, characters, model.get_vocab_size() - len(used))


def _spelled(codes: np.ndarray, characters: dict[int, str]) -> str:
    return "".join(map(characters.__getitem__, codes.tolist()))


def ngram_bits(
    training: Sequence[np.ndarray], others: Sequence[np.ndarray], *, codebook_size: int, order: int
) -> list[np.ndarray]:
    """Return the bits of each code of ``others`` by an n-gram model of ``training``, float64 [F] per sequence.

    Witten and Bell's interpolation (Bell et al. 1990, Text compression, method C; Chen and Goodman 1999, section
    2.6), which has nothing to tune: with c(h, w) times w after h, and T(h) different codes after h,

        p(w | h) = (c(h, w) + T(h) p(w | h')) / (c(h) + T(h)),

    of which h' is h without its first code, and 1 / V stands before the shortest: any code may come. A code is
    predicted from the ``order - 1`` before it; the start of a sequence counts as one more code.
    """
    sequences = [np.asarray(codes, np.int64) for codes in (*training, *others)]
    is_training = np.repeat(
        [index < len(training) for index in range(len(sequences))], [len(codes) for codes in sequences]
    )
    codes = np.concatenate(sequences)
    previous = np.concatenate([np.concatenate([[codebook_size], sequence[:-1]]) for sequence in sequences])
    place = np.concatenate([np.arange(len(sequence)) for sequence in sequences])
    history = np.zeros(len(codes), np.int64)
    """Number of the history of each code, equal where as many codes before it are."""
    probability = np.full(len(codes), 1 / codebook_size)
    for length in range(order):
        if length:
            # The history of n codes is the code before, and the history of n - 1 codes that this one had.
            of_previous = np.concatenate([[0], history[:-1]])
            of_previous[place == 0] = 0
            history = _numbered(of_previous * (codebook_size + 1) + previous)
        probability = _interpolated(history, codes, codebook_size, is_training, probability)
    ends = np.cumsum([len(sequence) for sequence in sequences])[:-1]
    return np.split(-np.log2(probability), ends)[len(training) :]


def _interpolated(
    history: np.ndarray, codes: np.ndarray, codebook_size: int, is_training: np.ndarray, shorter: np.ndarray
) -> np.ndarray:
    """Return the probabilities with one more code of history than ``shorter`` has, float64, one for each code."""
    pair_keys, pairs = np.unique(history * codebook_size + codes, return_inverse=True)
    pair_counts = np.bincount(pairs[is_training], minlength=len(pair_keys))
    num_histories = int(history.max()) + 1
    counts = np.bincount(history[is_training], minlength=num_histories)
    followers = np.bincount(pair_keys[pair_counts > 0] // codebook_size, minlength=num_histories)
    seen = (counts + followers)[history]
    mixed = (pair_counts[pairs] + followers[history] * shorter) / np.maximum(seen, 1)
    return np.where(seen > 0, mixed, shorter)


def _numbered(keys: np.ndarray) -> np.ndarray:
    """Return equal numbers from 0 on for equal ``keys``, so that keys made of them stay small."""
    numbers: np.ndarray = np.unique(keys, return_inverse=True)[1]
    return numbers
