"""From a corpus to the crops that a spec learns from."""

import numpy as np

from tokbench.corpora.registry import open_corpus
from tokbench.specs.augmentation import Augmentation
from tokbench.training.augmentation import Augmenter
from tokbench.training.crops import Crops
from tokbench.training.learner import Learner
from tokbench.training.utterances import Utterances, open_utterances

__all__ = ["Responses", "crop_length", "open_crops"]

_DRAWN = "coloured"


class Responses:
    """Whole recordings of a corpus of impulse responses, drawn one by one."""

    def __init__(self, utterances: Utterances, *, sample_rate_hz: int) -> None:
        self._utterances, self._sample_rate_hz = utterances, sample_rate_hz

    def __call__(self, generator: np.random.Generator) -> np.ndarray:
        """Return samples float32 [T]."""
        utterance = self._utterances[int(generator.integers(len(self._utterances)))]
        return utterance.read().to_channels(1).resample(self._sample_rate_hz).mono()


def open_crops(utterances: Utterances, learner: Learner, augmentation: Augmentation, *, seed: int) -> Crops:
    """Return the crops of ``utterances`` that ``learner`` learns from, changed as ``augmentation`` says.

    Raises :class:`tokbench.errors.CorpusError` where a corpus of noises or responses cannot be opened.
    """
    return Crops(
        utterances,
        sample_rate_hz=learner.sample_rate_hz,
        num_samples=crop_length(learner.settings.crop_s, learner),
        seed=seed,
        draw=learner.settings.draw,
        augmenter=_augmenter(augmentation, learner) if augmentation != Augmentation() else None,
        augmentation=learner.augmentation,
    )


def crop_length(duration_s: float, learner: Learner) -> int:
    """Return samples in whole frames: what is decoded has the length of what went in."""
    return max(round(duration_s * learner.sample_rate_hz / learner.hop_length), 1) * learner.hop_length


def _augmenter(spec: Augmentation, learner: Learner) -> Augmenter:
    noise, room, rate_hz = spec.noise, spec.reverberation, learner.sample_rate_hz
    noises = responses = None
    if noise is not None and noise.source != _DRAWN:
        noises = Crops(
            open_utterances(open_corpus(noise.source)),
            sample_rate_hz=rate_hz,
            num_samples=crop_length(learner.settings.crop_s, learner),
            seed=0,
        ).sample
    if room is not None and room.responses:
        responses = Responses(open_utterances(open_corpus(room.responses)), sample_rate_hz=rate_hz)
    return Augmenter(spec, sample_rate_hz=rate_hz, noises=noises, responses=responses)
