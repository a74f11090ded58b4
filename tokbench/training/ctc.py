"""Recognizers on features or codes that stay as they are, trained by connectionist temporal classification.

The learning rate is the one of the recipe with the lowest error rate on validation, found with the first seed; the
other seeds take it over. Features are standardized by the frames of the training items. One thread of the CPU, so
that the same items give the same answers on any number of cores.

Axes: ``N`` items, ``F`` frames, ``D`` features, ``K`` codebooks, ``L`` labels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from tokbench.models.ctc import CtcNetwork, Pace, best_path
from tokbench.specs.ctc import CtcRecipe
from tokbench.training.frozen import mean_and_deviation, one_thread

__all__ = ["CtcItems", "log_likelihoods", "num_frames_needed", "teach", "transcribe"]

_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
_MAX_GRADIENT = 5.0
"""Norm of the gradient at most: the first steps of CTC are steep."""


@dataclass(frozen=True)
class CtcItems:
    """What is to be written down."""

    sequences: Sequence[np.ndarray]
    """Of each item float32 features [F, D] or int64 codes [F, K], with at least one frame."""
    labels: Sequence[np.ndarray]
    """Of each item its text, int64 [L], labels from 0 on."""
    frame_rate_hz: float
    codebook_size: int | None = None
    """Given for codes."""

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, index: np.ndarray) -> "CtcItems":
        """Return the items at ``index``."""
        return CtcItems(
            [self.sequences[place] for place in index],
            [self.labels[place] for place in index],
            self.frame_rate_hz,
            self.codebook_size,
        )

    def long_enough(self, pace: Pace) -> "CtcItems":
        """Return the items whose text fits into their frames, with a blank between two equal labels."""
        sizes = pace.lengths(torch.tensor([len(item) for item in self.sequences], dtype=torch.int64)).tolist()
        fits = [0 < num_frames_needed(text) <= size for text, size in zip(self.labels, sizes, strict=True)]
        return self.take(np.flatnonzero(fits))


def teach(train: CtcItems, validation: CtcItems | None, recipe: CtcRecipe, num_labels: int) -> list[CtcNetwork]:
    """Return the networks of all seeds.

    ``validation`` may be None or empty where the recipe chooses nothing on it. Items without a text, and those
    whose text is too long for their frames, teach nothing. Raises :class:`ValueError` where no item is left.
    """
    train = train.long_enough(Pace(train.frame_rate_hz, recipe.min_rate_hz))
    if not len(train) or (recipe.needs_validation and not validation):
        msg = "a recognizer needs texts that fit into their frames, for training and for validation"
        raise ValueError(msg)
    with one_thread():
        teacher = _Teacher(train, recipe, num_labels)
        first, *others = recipe.learning_rates
        tried = [(first, teacher.fit(first, seed=0))]
        if others and validation:
            tried += [(rate, teacher.fit(rate, seed=0)) for rate in others]
            rate, network = min(tried, key=lambda item: error_rate(item[1], validation))
        else:
            rate, network = tried[0]
        return [network, *(teacher.fit(rate, seed=seed) for seed in range(1, recipe.num_seeds))]


def error_rate(network: CtcNetwork, items: CtcItems) -> float:
    """Return the edit distance of what ``network`` writes of all ``items``, by the labels of their texts."""
    found = transcribe(network, items.sequences)
    errors = sum(Levenshtein.distance(*map(tuple, pair)) for pair in zip(items.labels, found, strict=True))
    return errors / max(sum(map(len, items.labels)), 1)


@torch.no_grad()
def transcribe(network: CtcNetwork, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the labels int64 [L] that ``network`` hears in each of ``sequences``, one after the other."""
    network.eval()
    with one_thread():
        return [
            best_path(*network(torch.from_numpy(item)[None], torch.tensor([len(item)])))[0] for item in sequences
        ]


def num_frames_needed(text: np.ndarray) -> int:
    """Return the fewest frames into which ``text`` int64 [L] fits: a blank stands between two equal labels."""
    return len(text) + int((text[1:] == text[:-1]).sum())


@torch.no_grad()
def log_likelihoods(
    network: CtcNetwork, sequences: Sequence[np.ndarray], texts: Sequence[np.ndarray]
) -> np.ndarray:
    """Return ``log q(text | sequence)`` in nats, float64 [N, M]: minus the loss of CTC.

    ``sequences`` are N items, ``texts`` M texts int64 [L] of one label or more. Minus infinity where a text does
    not fit into the frames.
    """
    network.eval()
    found = np.empty((len(sequences), len(texts)))
    lattice = _Lattice(texts)
    with one_thread():
        for row, item in enumerate(sequences):
            logits, (num_frames,) = network(torch.from_numpy(item)[None], torch.tensor([len(item)]))
            # In double precision: likelihoods of long texts are compared that differ by little.
            found[row] = lattice.log_likelihoods(logits[0, :num_frames].double().log_softmax(dim=1)).numpy()
    return found


class _Lattice:
    """The labels of many texts with blanks around each, through which all of them are followed at once.

    Probabilities are added as such, not as logarithms, which takes a tenth of the time of ``ctc_loss``. What lies
    outside the range of a double is lost, which matters only to a likelihood that is nearly as small itself: such a
    one is computed by ``ctc_loss``.
    """

    _FIRST_NATS = 700.0
    """Logarithm of what a probability of 1 counts as: a double ends at 709, and loses digits below -708."""
    _LEAST_NATS = -1300.0
    """Of a likelihood that is the same whatever was lost on the way to it."""
    _FEWEST = 8
    """Texts for which it is worth its while."""

    def __init__(self, texts: Sequence[np.ndarray]) -> None:
        self._texts = texts
        self._sizes = torch.tensor([len(text) for text in texts])
        self._labels = torch.zeros(int(self._sizes.max()), len(texts), dtype=torch.int64)
        """[L, M], of which those behind the end of a text mean nothing."""
        for column, text in enumerate(texts):
            self._labels[: len(text), column] = torch.from_numpy(text + 1)
        self._may_skip = (self._labels[1:] != self._labels[:-1]).double()
        """[L - 1, M], whether the blank before a label may be left out."""

    def log_likelihoods(self, scores: Tensor) -> Tensor:
        """Return float64 [M] of log probabilities ``scores`` float64 [F, V]."""
        if len(self._texts) < self._FEWEST:
            return self._by_loss(scores, torch.arange(len(self._texts)))
        found = self._by_lattice(scores)
        is_small = found < self._LEAST_NATS
        if bool(is_small.any()):
            places = is_small.nonzero()[:, 0]
            found[places] = self._by_loss(scores, places)
        return found

    def _by_lattice(self, scores: Tensor) -> Tensor:
        chances, places = scores.exp(), self._labels.flatten()
        length, number = self._labels.shape
        blanks = torch.zeros(length + 1, number, dtype=torch.float64)
        labels = torch.zeros(length, number, dtype=torch.float64)
        # Before the first frame, all is on the blank before the first label.
        blanks[0] = math.exp(self._FIRST_NATS)
        for frame in chances:
            following = labels + blanks[:-1]
            following[1:].addcmul_(labels[:-1], self._may_skip)
            following.mul_(frame[places].view(length, number))
            blanks[1:] += labels
            blanks.mul_(float(frame[0]))
            labels = following
        last = self._sizes[None]
        return (blanks.gather(0, last) + labels.gather(0, last - 1))[0].log() - self._FIRST_NATS

    def _by_loss(self, scores: Tensor, places: Tensor) -> Tensor:
        texts = [self._texts[place] for place in places.tolist()]
        targets = torch.from_numpy(np.concatenate(texts) + 1)
        num_frames = torch.full((len(texts),), len(scores))
        each = scores[:, None].expand(-1, len(texts), -1)
        return -ctc_loss(each, targets, num_frames, self._sizes[places], reduction="none")


@dataclass(frozen=True)
class _Teacher:
    """Trains networks on the same items."""

    items: CtcItems
    recipe: CtcRecipe
    num_labels: int

    def fit(self, learning_rate: float, *, seed: int) -> CtcNetwork:
        torch.manual_seed(seed)
        generator = np.random.default_rng(seed)
        network = self._network()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=self.recipe.weight_decay, foreach=True
        )
        num_steps = self.recipe.max_epochs * math.ceil(len(self.items) / self.recipe.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, num_steps))
        network.train()
        for _ in range(self.recipe.max_epochs):
            for batch in self._batches(generator):
                loss = self._loss(network, batch, generator)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT)
                optimizer.step()
                schedule.step()
        return network

    def _network(self) -> CtcNetwork:
        items = self.items
        network = CtcNetwork(
            self.recipe,
            self.num_labels,
            num_features=items.sequences[0].shape[1],
            frame_rate_hz=items.frame_rate_hz,
            codebook_size=items.codebook_size,
        )
        if items.codebook_size is None:
            mean, deviation = mean_and_deviation(items.sequences)
            network.mean.copy_(torch.from_numpy(mean))
            network.deviation.copy_(torch.from_numpy(deviation))
        return network

    def _batches(self, generator: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the indices of items of about the same length, the batches and what is in them drawn anew."""
        lengths = np.array([len(item) for item in self.items.sequences])
        order = np.argsort(lengths * generator.uniform(0.9, 1.1, len(lengths)), kind="stable")
        batches = np.array_split(order, math.ceil(len(order) / self.recipe.batch_size))
        for place in generator.permutation(len(batches)):
            yield batches[place]

    def _loss(self, network: CtcNetwork, index: np.ndarray, generator: np.random.Generator) -> Tensor:
        """Return the loss per label."""
        batch = self.items.take(index)
        lengths = torch.tensor([len(item) for item in batch.sequences])
        values = nn.utils.rnn.pad_sequence([torch.from_numpy(item) for item in batch.sequences], batch_first=True)
        is_hidden = torch.from_numpy(self._masks(values.shape[:2], generator))
        logits, frames = network(values, lengths, is_hidden=is_hidden)
        targets = torch.from_numpy(np.concatenate(batch.labels) + 1)
        sizes = torch.tensor([len(text) for text in batch.labels])
        loss = ctc_loss(
            logits.log_softmax(dim=2).transpose(0, 1),
            targets,
            frames,
            sizes,
            reduction="sum",
        )
        return loss / sizes.sum()

    def _masks(self, shape: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        """Return which frames are hidden, bool [B, F]."""
        recipe = self.recipe
        num_frames = np.arange(shape[1])
        longest = recipe.max_mask_s * self.items.frame_rate_hz
        is_hidden = np.zeros(tuple(shape), dtype=bool)
        for place, row in enumerate(is_hidden):
            for start, length in generator.uniform([0, 0], [shape[1], longest], (recipe.num_masks, 2)):
                is_hidden[place] = row | ((num_frames >= start) & (num_frames < start + length))
        return is_hidden


def _share(step: int, num_steps: int) -> float:
    """Return what part of its highest the learning rate is at a step."""
    num_rising = max(round(_WARM_UP * num_steps), 1)
    return min((step + 1) / num_rising, (num_steps - step) / max(num_steps - num_rising, 1))
