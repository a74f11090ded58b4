"""The spec of a residual k-means codec of log-mel frames: what is built, and on how much it is trained."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel

__all__ = ["KmeansScale", "LogMel", "SpectrogramKmeansSpec"]


class LogMel(StrictModel):
    """The frames that are clustered."""

    sample_rate_hz: int = Field(gt=0)
    """Rate of the audio."""
    window_length: int = Field(gt=0)
    """Samples of the Hann window and of the Fourier transform."""
    hop_length: int = Field(gt=0)
    """Samples from one frame to the next."""
    num_mels: int = Field(gt=0)
    """Bands of the mel filterbank, from 0 Hz to half of the sample rate."""
    floor: float = Field(gt=0)
    """Smallest magnitude; below it, there is silence."""

    @model_validator(mode="after")
    def _windows_overlap(self) -> "LogMel":
        if self.hop_length * 2 > self.window_length:
            msg = f"hop_length ({self.hop_length}) exceeds half of window_length ({self.window_length})"
            raise ValueError(msg)
        return self


class KmeansScale(StrictModel):
    """How much is trained on."""

    max_frames: int = Field(gt=0)
    """Frames drawn from the corpus, uniformly over all of it."""
    batch_frames: int = Field(gt=0)
    """Frames of one mini-batch."""
    num_epochs: int = Field(gt=0)
    """Passes over the drawn frames, for each codebook."""


class SpectrogramKmeansSpec(StrictModel):
    """A codec that ``tokbench train`` builds in seconds."""

    name: str
    """What the trained codec is called, unless it is trained into a folder of another name."""
    kind: Literal["spectrogram-kmeans"]
    """How it is built and trained."""
    log_mel: LogMel
    """The frames that are clustered."""
    codebook_size: int = Field(gt=1)
    """Centroids of each codebook."""
    num_codebooks: int = Field(gt=0)
    """Codebooks that are trained, each on what the ones before it left over."""
    settings: tuple[int, ...] = Field(min_length=1)
    """Numbers of codebooks that the card offers, rising."""
    griffin_lim_iterations: int = Field(gt=0)
    """Rounds of phase estimation in the decoder."""
    scales: Mapping[str, KmeansScale]
    """How much is trained on, by name: ``tiny``, ``small``, ``paper``."""

    @model_validator(mode="after")
    def _settings_are_trained(self) -> "SpectrogramKmeansSpec":
        if list(self.settings) != sorted(set(self.settings)) or self.settings[0] < 1:
            msg = f"settings must rise from at least 1, found {list(self.settings)}"
            raise ValueError(msg)
        if self.settings[-1] > self.num_codebooks:
            msg = f"settings ask for {self.settings[-1]} codebooks of {self.num_codebooks}"
            raise ValueError(msg)
        return self
