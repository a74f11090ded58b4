"""Masked prediction of units that are clustered from what there is: MFCCs, then the model's own layers.

HuBERT (Hsu et al. 2021, arXiv:2106.07447, section III; fairseq, ``hubert.py`` and ``hubert_criterion.py``). Its
labels are made once and for all; here they are made of each crop as it comes, by the same k-means.

Axes: ``B`` batch, ``T`` samples, ``F`` frames, ``N`` chosen frames, ``D`` features, ``V`` units.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from tokbench.codecs.kmeans_units import NearestCentroid
from tokbench.models.processes import first_process_, is_first_process
from tokbench.models.spectral_frames import MfccFrames
from tokbench.models.speech_encoder import Encoded, TrainableSpeechEncoder, audible_frames
from tokbench.specs.speech_encoder import Iteration, MaskedUnits, SpeechEncoderSpec
from tokbench.training.learner import Draw, Progress
from tokbench.training.units import fit_centroids

__all__ = ["EncoderObjective", "Guesses", "MaskedUnitsObjective", "UnitHead", "UnitTargets", "mean_over"]

_NUM_CEPSTRA, _NUM_MELS, _MFCC_HOP_MS = 13, 23, 10.0
"""HuBERT's 39 features: 13 coefficients with first and second differences, every 10 ms (section IV-B)."""
_LOUDNESS = (0, _NUM_CEPSTRA, 2 * _NUM_CEPSTRA)
"""C0 and its differences among them."""
_SMALLEST_DEVIATION = 1e-3
"""Of a coefficient over a crop; there are crops of one audible frame."""


class EncoderObjective(nn.Module, ABC):
    """What a speech encoder learns to say of frames, with the layers that only learning needs."""

    layer: int | None = None
    """Middle layer that it looks at, beside the last one."""

    def prepare(self, encoder: TrainableSpeechEncoder, progress: Progress, draw: Draw) -> None:
        """Do what comes before a step."""
        del encoder, progress, draw

    @abstractmethod
    def losses(
        self, samples: Tensor, encoded: Encoded, *, mask: Tensor, is_audible: Tensor, progress: Progress
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss, and its unweighted parts by name.

        ``encoded`` is what became of ``samples`` [B, 1, T] without the frames in ``mask``, bool [B, F], which are
        some of those in ``is_audible``.
        """

    @abstractmethod
    def health(self) -> Mapping[str, float]:
        """Return what tells early of a collapse, since it was last asked."""


class UnitHead(nn.Module):
    """Scores of units: the cosine between a projected frame and the vector of each, divided by a temperature."""

    def __init__(self, num_features: int, num_units: int, *, dimension: int, temperature: float) -> None:
        super().__init__()
        self.projection = nn.Linear(num_features, dimension)
        self.units = nn.Parameter(torch.empty(num_units, dimension).uniform_())
        self.temperature = temperature

    def forward(self, frames: Tensor) -> Tensor:
        """Return [N, V] of ``frames`` [N, D] (section III-A, equation 3)."""
        directions = normalize(self.projection(frames), dim=1)
        scores: Tensor = directions @ normalize(self.units, dim=1).T / self.temperature
        return scores


class MaskedUnitsObjective(EncoderObjective):
    """Predict the units of the iteration at hand."""

    num_started: Tensor

    def __init__(self, spec: SpeechEncoderSpec, objective: MaskedUnits) -> None:
        super().__init__()
        self.spec, self.objective = spec, objective
        self.register_buffer("num_started", torch.zeros((), dtype=torch.int64))
        self.heads = nn.ModuleList(
            UnitHead(
                spec.network.width,
                iteration.num_units,
                dimension=objective.code_dimension,
                temperature=objective.temperature,
            )
            for iteration in objective.iterations
        )
        self._targets = tuple(UnitTargets(spec, iteration) for iteration in objective.iterations)
        self.targets = nn.ModuleList(self._targets)
        most = max(iteration.num_units for iteration in objective.iterations)
        self.guesses = Guesses(most, name="masked_accuracy")

    def prepare(self, encoder: TrainableSpeechEncoder, progress: Progress, draw: Draw) -> None:
        """Cluster frames if an iteration begins, which are drawn until there are enough."""
        iterations = self.objective.iterations
        due = sum(progress.share >= iteration.starts for iteration in iterations)
        for number in range(int(self.num_started), due):
            targets = self._targets[number]
            targets.follow(encoder)
            centroids = torch.empty_like(targets.units.centroids)
            if is_first_process():  # the others wait: memory of one machine is not for as many reservoirs
                frames, num_units = self._frames(targets, draw), iterations[number].num_units
                fitted = fit_centroids(frames, num_units, self.objective.clustering, seed=number)
                centroids.copy_(torch.from_numpy(fitted))
            targets.units.replace_(first_process_(centroids))
            if iterations[number].restart:
                encoder.load_state_dict(TrainableSpeechEncoder(self.spec).state_dict())
                for tensor in encoder.state_dict().values():
                    first_process_(tensor)
            self.num_started += 1

    def _frames(self, targets: "UnitTargets", draw: Draw) -> Iterator[np.ndarray]:
        missing, number = self.objective.clustering.max_frames, 0
        while missing > 0:
            samples = draw(number).samples.to(self.num_started.device)
            features = targets.features(samples)
            chosen = features[audible_frames(samples, targets.hop_length, features.shape[1])]
            yield chosen.float().cpu().numpy()
            missing, number = missing - len(chosen), number + 1

    def losses(
        self, samples: Tensor, encoded: Encoded, *, mask: Tensor, is_audible: Tensor, progress: Progress
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss over masked frames and, by what is left of their share, over the others."""
        del progress
        number, objective = int(self.num_started) - 1, self.objective
        local = encoded.local
        if local.requires_grad and objective.feature_gradient < 1:
            hooked: Any = local  # without annotations in torch
            hooked.register_hook(lambda gradient: gradient * objective.feature_gradient)
        chosen = mask if objective.masked_share == 1 else is_audible
        scores = self.heads[number](encoded.last[chosen]).float()
        wanted, is_masked = self._targets[number](samples)[chosen], mask[chosen]
        errors = cross_entropy(scores, wanted, reduction="none")
        losses = {"masked": mean_over(errors, is_masked)}
        total = objective.masked_share * losses["masked"]
        if objective.masked_share < 1:
            losses["unmasked"] = mean_over(errors, ~is_masked)
            total = total + (1 - objective.masked_share) * losses["unmasked"]
        if objective.feature_penalty:
            losses["features"] = local.float().square().mean()
            total = total + objective.feature_penalty * losses["features"]
        if self.training:
            self.guesses.add(scores[is_masked], wanted[is_masked])
        return total, losses

    def health(self) -> Mapping[str, float]:
        """Return the share of masked frames that are guessed, and that of units which never are."""
        return self.guesses.take(self.objective.iterations[int(self.num_started) - 1].num_units)


class UnitTargets(nn.Module):
    """Features of one iteration, their centroids, and so the units of a crop."""

    def __init__(self, spec: SpeechEncoderSpec, iteration: Iteration) -> None:
        super().__init__()
        self.teacher: TrainableSpeechEncoder | None = None
        self._mfccs = MfccFrames(
            sample_rate_hz=spec.sample_rate_hz,
            hop_ms=_MFCC_HOP_MS,
            num_cepstra=_NUM_CEPSTRA,
            num_mels=_NUM_MELS,
            deltas=True,
        )
        self._is_normalized = iteration.cepstra == "normalized"
        encoder = TrainableSpeechEncoder(spec, num_layers=max(iteration.layer, 1))
        self.hop_length, self._num_frames = encoder.hop_length, encoder.num_frames
        self._first_centre = encoder.encoder.receptive_field / 2
        if iteration.layer:
            self.teacher = encoder.requires_grad_(requires_grad=False)
        num_cepstra = self._mfccs.num_features - (len(_LOUDNESS) if self._is_normalized else 0)
        num_features = encoder.num_features if iteration.layer else num_cepstra
        self.units = NearestCentroid(torch.zeros(iteration.num_units, num_features))

    def follow(self, encoder: TrainableSpeechEncoder) -> None:
        """Become a copy of ``encoder`` as far as the layer that is clustered."""
        if self.teacher is not None:
            names = self.teacher.state_dict()
            self.teacher.load_state_dict({k: v for k, v in encoder.state_dict().items() if k in names})

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        """Return [B, F, D] of ``samples`` [B, 1, T]: for each frame of the encoder, the one in its middle."""
        if self.teacher is not None:
            return self.teacher.eval().features(samples)
        centres = self._first_centre + torch.arange(self._num_frames(samples.shape[2])) * self.hop_length
        frames = torch.stack([self._mfccs(wave) for wave in samples])
        # Frames are centred on the middle of their hop.
        nearest = (centres / self._mfccs.hop_length - 0.5).round().long().clamp_max(frames.shape[1] - 1)
        chosen = frames[:, nearest.to(frames.device)]
        if not self._is_normalized:
            return chosen
        return _normalized(chosen, audible_frames(samples, self.hop_length, chosen.shape[1]))

    @torch.no_grad()
    def forward(self, samples: Tensor) -> Tensor:
        """Return units int64 [B, F] of ``samples`` [B, 1, T].

        The nearest of many centroids is lost in bfloat16: what runs in it leaves it here, as when they were fitted.
        """
        with torch.autocast(samples.device.type, enabled=False):
            features = self.features(samples.float())
            units: Tensor = self.units(features.flatten(0, 1)).reshape(features.shape[:2])
        return units


def _normalized(mfccs: Tensor, is_audible: Tensor) -> Tensor:
    """Return [B, F, D - 3] of ``mfccs`` [B, F, D]: without loudness, standardized over ``is_audible`` [B, F]."""
    kept = [place for place in range(mfccs.shape[2]) if place not in _LOUDNESS]
    shapes, counted = mfccs[..., kept], is_audible[..., None].to(mfccs.dtype)
    num = counted.sum(dim=1, keepdim=True)
    shapes = shapes - (shapes * counted).sum(dim=1, keepdim=True) / num
    variance = (shapes.square() * counted).sum(dim=1, keepdim=True) / num
    return shapes / variance.sqrt().clamp_min(_SMALLEST_DEVIATION)


class Guesses(nn.Module):
    """How often a model is right, and how many of all units it ever says.

    ``name`` is what the share that is right is called.
    """

    num_right: Tensor
    num_guesses: Tensor
    counts: Tensor

    def __init__(self, num_units: int, *, name: str) -> None:
        super().__init__()
        self._name = name
        self.register_buffer("num_right", torch.zeros((), dtype=torch.int64))
        self.register_buffer("num_guesses", torch.zeros((), dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(num_units, dtype=torch.int64))

    @torch.no_grad()
    def add(self, scores: Tensor, wanted: Tensor) -> None:
        """Count the guesses of ``scores`` [N, V] where ``wanted`` int64 [N] would be right."""
        guesses = scores.argmax(dim=1)
        self.num_right += (guesses == wanted).sum()
        self.num_guesses += len(guesses)
        self.counts += guesses.bincount(minlength=len(self.counts))

    def take(self, num_units: int) -> Mapping[str, float]:
        """Return the share that was right, and that of the first ``num_units`` units which were never said."""
        shares = {
            self._name: float(self.num_right / self.num_guesses.clamp_min(1)),
            "dead_codes": float((self.counts[:num_units] == 0).float().mean()),
        }
        for counted in (self.num_right, self.num_guesses, self.counts):
            counted.zero_()
        return shares


def mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the ``chosen`` (bool) of ``values``, of one shape, as a scalar; 0 where none is."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
