"""Crops of a corpus, drawn and read as they are needed.

A crop is a function of the seed and of its number in the run alone: a run that is resumed at any step, with any
number of worker processes, sees what it would have seen; and so does a run of two processes that share a batch.

Axes: ``B`` batch, ``T`` samples.
"""

import math
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tokbench.audio import Audio, AudioSize
from tokbench.corpora.base import Utterance
from tokbench.errors import CorpusError, TokbenchError
from tokbench.training.augmentation import Augmenter
from tokbench.training.utterances import Utterances

__all__ = ["Augmentation", "Batch", "Batches", "Crops", "default_num_workers", "read_crop"]

_MARGIN_S = 0.02
"""Read on both sides of a crop that is resampled: longer than the resampler's filter."""
_PREFETCHED_BATCHES = 4
_MOST_WORKERS = 8

Augmentation = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""(samples float32 [T], sample_rate_hz, generator) -> float32 [T]: what goes in, of what is to come out. It runs in
the worker processes that read the audio, and so must be picklable."""


@dataclass(frozen=True)
class Batch:
    """Crops side by side."""

    samples: Tensor
    """float32 [B, 1, T], what is to come out."""
    inputs: Tensor
    """float32 [B, 1, T], what goes in: the same, or with noise."""
    texts: tuple[str, ...]
    """Transcript of the utterance of each crop, where there is one."""
    speakers: tuple[str, ...]
    is_whole: tuple[bool, ...]
    """Whether a crop holds all of its utterance, so that its text is what is said in it."""
    wants_clean: tuple[bool, ...] = ()
    """Whether noise and room are to be taken out of a crop."""

    def to(self, device: torch.device) -> "Batch":
        """Return this batch with its tensors on ``device``."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return this batch in memory from which a GPU copies by itself."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        inputs = move(self.inputs)
        samples = inputs if self.inputs is self.samples else move(self.samples)
        return replace(self, inputs=inputs, samples=samples)


@dataclass(frozen=True)
class _Crop:
    samples: np.ndarray
    inputs: np.ndarray
    text: str
    speaker: str
    is_whole: bool
    wants_clean: bool


class Crops(Dataset[_Crop | TokbenchError]):
    """An endless sequence of crops [T] of mono audio at one rate; shorter utterances are padded by zeros.

    ``draw`` says what is equally likely: every second of the corpus, or every utterance.
    """

    def __init__(
        self,
        utterances: Utterances,
        *,
        sample_rate_hz: int,
        num_samples: int,
        seed: int,
        draw: Literal["by-second", "by-utterance"] = "by-second",
        augmenter: Augmenter | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._utterances = utterances
        self._sample_rate_hz, self._num_samples, self._seed = sample_rate_hz, num_samples, seed
        weights = utterances.durations_s if draw == "by-second" else np.ones(len(utterances))
        self._ends = np.cumsum(weights)
        if len(utterances) == 0 or not self._ends[-1] > 0:
            raise CorpusError("the corpus has no audio to train on")
        self._augmenter, self._augmentation = augmenter, augmentation

    def __getitem__(self, index: int) -> _Crop | TokbenchError:
        # An error is handed over as it is: a worker's way of raising it would lose what it says.
        try:
            return self._crop(np.random.default_rng((self._seed, index)))
        except TokbenchError as error:
            return error

    def sample(self, generator: np.random.Generator) -> np.ndarray:
        """Return the samples float32 [T] of a crop that ``generator`` draws."""
        return self._read(generator)[1]

    def _crop(self, generator: np.random.Generator) -> _Crop:
        utterance, samples, is_whole = self._read(generator)
        inputs, wants_clean = samples, False
        if self._augmenter is not None:
            samples, inputs, wants_clean = self._augmenter(samples, self.sample, generator)
        if self._augmentation is not None:
            inputs = self._augmentation(inputs, self._sample_rate_hz, generator)
        return _Crop(samples, inputs, utterance.text, utterance.speaker, is_whole, wants_clean)

    def _read(self, generator: np.random.Generator) -> tuple[Utterance, np.ndarray, bool]:
        drawn = generator.random() * self._ends[-1]
        row = min(int(np.searchsorted(self._ends, drawn, side="right")), len(self._ends) - 1)
        utterance = self._utterances[row]
        samples, is_whole = read_crop(
            utterance,
            sample_rate_hz=self._sample_rate_hz,
            num_samples=self._num_samples,
            position=generator.random(),
        )
        return utterance, samples, is_whole


def read_crop(
    utterance: Utterance, *, sample_rate_hz: int, num_samples: int, position: float
) -> tuple[np.ndarray, bool]:
    """Return mono samples float32 [``num_samples``] of ``utterance``, and whether that is all of it.

    ``position`` from 0 to 1 is that of the crop among all that fit. No more is read than the crop and what the
    resampler sees beside it. Raises :class:`tokbench.errors.AudioFileError`.
    """
    size = AudioSize.of(utterance.path)
    first, last = _extent(utterance, size)
    # `period` source samples are `steps` of the crop: from where both begin, resampling a part is resampling all.
    divisor = math.gcd(size.sample_rate_hz, sample_rate_hz)
    period, steps = size.sample_rate_hz // divisor, sample_rate_hz // divisor
    total = (last - first) * steps // period
    start = min(int(position * (max(total - num_samples, 0) + 1)), max(total - num_samples, 0))
    margin = 0 if period == steps else math.ceil(_MARGIN_S * sample_rate_hz)
    block = max(start - margin, 0) // steps
    from_sample = first + block * period
    to_sample = min(last, first + -(-(start + num_samples + margin) // steps) * period)
    rate_hz = size.sample_rate_hz
    audio = Audio.read(
        utterance.path, start_s=from_sample / rate_hz, duration_s=(to_sample - from_sample) / rate_hz
    )
    samples = audio.to_channels(1).resample(sample_rate_hz).mono()[start - block * steps :][:num_samples]
    return np.pad(samples, (0, num_samples - len(samples))), total <= num_samples


def _extent(utterance: Utterance, size: AudioSize) -> tuple[int, int]:
    """Return the first sample of ``utterance`` in its file, and the one after its last."""
    first = round(utterance.start_s * size.sample_rate_hz)
    if utterance.duration_s is None:
        return first, size.num_samples
    return first, min(first + round(utterance.duration_s * size.sample_rate_hz), size.num_samples)


@dataclass(frozen=True)
class Batches:
    """The batches of one process among ``num_processes``: of each step, its own part of the crops."""

    crops: Crops
    batch_size: int
    process: int = 0
    num_processes: int = 1
    num_workers: int = 1
    """Processes that read ahead; with 0, reading takes its turn with training."""
    is_pinned: bool = False

    def numbers(self, step: int) -> range:
        """Return the numbers of the crops of ``step``."""
        first = (step * self.num_processes + self.process) * self.batch_size
        return range(first, first + self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        return _checked(_together([self.crops[number] for number in self.numbers(step)]))

    def steps(self, first: int, end: int) -> Iterator[Batch]:
        """Yield the batches of the steps from ``first`` to before ``end``."""
        loader = DataLoader(
            self.crops,
            batch_sampler=_Numbers(self, first, end),
            num_workers=self.num_workers,
            collate_fn=_together,
            prefetch_factor=_PREFETCHED_BATCHES if self.num_workers else None,
            pin_memory=self.is_pinned,
            worker_init_fn=_ignore_signals,
        )
        return map(_checked, loader)


class _Numbers(Sampler[list[int]]):
    """The numbers of the crops, step by step; never all of them at once."""

    def __init__(self, batches: Batches, first: int, end: int) -> None:
        self._batches, self._steps = batches, range(first, end)

    def __iter__(self) -> Iterator[list[int]]:
        return (list(self._batches.numbers(step)) for step in self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def default_num_workers(num_processes: int = 1) -> int:
    """Return how many processes read audio for one that trains: half of its cores, up to 8."""
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) // (2 * num_processes)))


def _together(crops: list[_Crop | TokbenchError]) -> Batch | TokbenchError:
    good: list[_Crop] = []
    for crop in crops:
        if isinstance(crop, TokbenchError):
            return crop
        good.append(crop)
    samples = torch.from_numpy(np.stack([crop.samples for crop in good]))[:, None]
    is_changed = any(crop.inputs is not crop.samples for crop in good)
    inputs = torch.from_numpy(np.stack([crop.inputs for crop in good]))[:, None] if is_changed else samples
    return Batch(
        samples,
        inputs,
        tuple(crop.text for crop in good),
        tuple(crop.speaker for crop in good),
        tuple(crop.is_whole for crop in good),
        tuple(crop.wants_clean for crop in good),
    )


def _checked(batch: Batch | TokbenchError) -> Batch:
    if isinstance(batch, TokbenchError):
        raise batch
    return batch


def _ignore_signals(_worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the process that trains: it still needs batches until it has saved its work."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
