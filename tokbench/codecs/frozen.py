"""Tokenizers inside other models: frozen, asked about batches at any rate, and no part of what is trained or saved.

Axes: ``B`` batch, ``T`` samples, ``F`` frames, ``D`` features.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from torchaudio.transforms import Resample

from tokbench.audio import Audio
from tokbench.codecs.base import Tokenizer
from tokbench.codecs.frame_features import FrameFeatures
from tokbench.codecs.kmeans_units import KmeansUnits
from tokbench.codecs.registry import CodecReference, is_code, load, one
from tokbench.codecs.weights import locate_sources, weights_files
from tokbench.errors import (
    MissingLibraryError,
    MissingPackageError,
    NothingToLoadError,
    UnknownNameError,
    UsageError,
    WeightsNotFoundError,
)
from tokbench.models.ssl import SpeechEncoder
from tokbench.specs.base import file_sha256

__all__ = ["FrozenFeatures", "FrozenUnits", "files_sha256", "first_of", "registered_units"]

_ABSENT = (UnknownNameError, MissingPackageError, MissingLibraryError)
"""What is raised, beside the error of missing weights, for a model that is not there, and not for a broken one."""

Loaded = TypeVar("Loaded")


@runtime_checkable
class _BatchEncoder(Protocol):
    """A speech encoder that takes several waveforms at once."""

    def features(self, samples: Tensor) -> Tensor:
        """Return [B, F, D] of ``samples`` [B, 1, T]."""


def first_of(references: Sequence[str], load_one: Callable[[str], Loaded]) -> Loaded:
    """Return what ``load_one`` makes of the first of ``references`` that is there.

    Raises :class:`NothingToLoadError`, which says what is wrong with each, if none is.
    """
    reasons = []
    for reference in references:
        try:
            return load_one(reference)
        except WeightsNotFoundError as error:
            reasons.append(f"{reference} needs {error.wanted}")
        except _ABSENT as error:
            reasons.append(str(error))
    raise NothingToLoadError(references, reasons)


def registered_units(references: Sequence[str]) -> "FrozenUnits":
    """Return the first of ``references`` that is there, of which none may be a class in a file.

    A codec that is trained on units names them in its folder, which is data and may not choose code to run. Raises
    :class:`UsageError` for one that would, and :class:`NothingToLoadError`.
    """
    for reference in references:
        if is_code(reference):
            msg = f"units: {reference} is code, which a folder of weights may not name: register it as a plug-in"
            raise UsageError(msg)
    return first_of(references, FrozenUnits.load)


def files_sha256(reference: CodecReference) -> str:
    """Return a hash over the settings of a tokenizer and the files that it is loaded from."""
    card, setting = reference.card, reference.setting
    digest = hashlib.sha256(repr(sorted(reference.arguments.items())).encode())
    for part, folder in sorted(locate_sources(card, setting, override=reference.folder).items()):
        for path in weights_files(card.sources[part], setting, folder):
            digest.update(f"{part} {path.relative_to(folder).as_posix()} {file_sha256(path)}".encode())
    return digest.hexdigest()


class _Frozen:
    """A tokenizer and where it is from."""

    def __init__(self, reference: CodecReference, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.trained_on = tokenizer.info.trained_on
        self.name = f"{reference.folder or reference.card.name}:{reference.setting}"
        """By which it is loaded again: its setting is told even where it was the default."""
        self._reference = reference
        self._resample: Resample | None = None

    @property
    def sha256(self) -> str:
        """Hash over its settings and the files that it was loaded from."""
        return files_sha256(self._reference)

    def _received(self, samples: Tensor, sample_rate_hz: int) -> Tensor:
        """Return ``samples`` at the tokenizer's rate, where they lie; bring the tokenizer there."""
        if self.tokenizer.device != samples.device:
            self.tokenizer.to(samples.device)
        own_hz = self.tokenizer.info.sample_rate_hz
        if sample_rate_hz == own_hz:
            return samples
        if self._resample is None or self._resample.orig_freq != sample_rate_hz:
            self._resample = Resample(sample_rate_hz, own_hz)
        resampled: Tensor = self._resample.to(samples.device)(samples)
        return resampled


class FrozenFeatures(_Frozen):
    """Continuous features, of a tokenizer such as ``hubert-base-features:l9``."""

    def __init__(self, reference: CodecReference, tokenizer: FrameFeatures) -> None:
        super().__init__(reference, tokenizer)
        self._encoder = tokenizer.encoder
        self.num_features = tokenizer.encoder.num_features
        self.frame_rate_hz = tokenizer.info.sample_rate_hz / tokenizer.encoder.hop_length

    @classmethod
    def load(cls, name: str) -> "FrozenFeatures":
        """Load the tokenizer ``name``; raises :class:`UsageError` for one without frames of features."""
        reference = one(name)
        tokenizer = load(reference)
        if not isinstance(tokenizer, FrameFeatures):
            msg = f"{name}: expected continuous features, such as hubert-base-features:l9"
            raise UsageError(msg)
        return cls(reference, tokenizer)

    @torch.no_grad()
    def __call__(self, samples: Tensor, sample_rate_hz: int) -> Tensor:
        """Return float32 [B, F, D] of ``samples`` [B, 1, T]."""
        with torch.autocast(samples.device.type, enabled=False):
            return _features(self._encoder, self._received(samples.float(), sample_rate_hz))


class FrozenUnits(_Frozen):
    """Units, of a tokenizer of one codebook at a constant rate, such as ``hubert-base-units:l6-km100``."""

    def __init__(self, reference: CodecReference, tokenizer: Tokenizer) -> None:
        super().__init__(reference, tokenizer)
        (stream,) = tokenizer.info.streams
        self.num_units = stream.codebook_size
        self.frame_rate_hz = stream.frame_rate_hz or 0.0

    @classmethod
    def load(cls, name: str) -> "FrozenUnits":
        """Load the tokenizer ``name``; raises :class:`UsageError` for one without one unit per frame."""
        reference = one(name)
        tokenizer = load(reference)
        streams = tokenizer.info.streams
        if len(streams) != 1 or streams[0].num_codebooks != 1 or streams[0].frame_rate_hz is None:
            msg = f"{name}: expected one codebook at a constant rate, such as that of hubert-base-units:l6-km100"
            raise UsageError(msg)
        return cls(reference, tokenizer)

    @torch.no_grad()
    def __call__(self, samples: Tensor, sample_rate_hz: int) -> Tensor:
        """Return int64 [B, F] of ``samples`` [B, 1, T].

        In full precision wherever it is called: the nearest of many centroids is lost in bfloat16.
        """
        with torch.autocast(samples.device.type, enabled=False):
            return self._units(self._received(samples.float(), sample_rate_hz))

    def _units(self, samples: Tensor) -> Tensor:
        if isinstance(self.tokenizer, KmeansUnits):
            features = _features(self.tokenizer.encoder, samples)
            units: Tensor = self.tokenizer.quantizer(features.flatten(0, 1))
            return units.view(features.shape[:2])
        own_hz = self.tokenizer.info.sample_rate_hz
        codes = [self.tokenizer.encode(Audio(example.cpu(), own_hz)) for example in samples]
        # What was made in inference mode may not be kept for a gradient; a copy of it may.
        return torch.stack([code.streams[0].indices[0] for code in codes]).clone().to(samples.device)


def _features(encoder: SpeechEncoder, samples: Tensor) -> Tensor:
    if isinstance(encoder, _BatchEncoder):
        return encoder.features(samples).float()
    return torch.stack([encoder(example) for example in samples]).float()
