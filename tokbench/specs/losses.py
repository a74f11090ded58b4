"""What a codec is trained to make small, and how the parts are weighed."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel
from tokbench.specs.discriminators import Discriminator
from tokbench.specs.training import Training

__all__ = [
    "CONTRADICTIONS",
    "Adversarial",
    "Balancer",
    "Losses",
    "Mel",
    "Reconstruction",
    "Spectral",
    "Stft",
    "Term",
    "Wave",
]


class Wave(StrictModel):
    """Distance of the waveforms."""

    kind: Literal["wave"]
    weight: float = Field(gt=0)
    norm: Literal["l1", "l2", "mse"] = "l1"
    """Mean absolute difference, root of the mean square, or mean square."""


class Term(StrictModel):
    """One distance of two spectrograms."""

    of: Literal["linear", "log"] = "log"
    norm: Literal["l1", "l2", "mse", "convergence"] = "l1"
    """Mean absolute difference; Euclidean distance of two frames, as the root of the mean over bins, averaged over
    frames; mean square; or the norm of the whole difference in parts of the norm of what is wanted."""
    weight: float = Field(default=1.0, gt=0)
    alpha: Literal["1", "sqrt(s/2)", "sqrt(s-1)"] = "1"
    """A further weight that grows with the window of ``s`` samples: SoundStream's, audiocraft's."""


class Spectral(StrictModel):
    """What every distance of spectrograms declares."""

    weight: float = Field(gt=0)
    window_lengths: tuple[int, ...] = Field(min_length=1)
    """In samples."""
    hop_lengths: tuple[int, ...] = ()
    """In samples, for each window; a quarter of each if empty."""
    fft_sizes: tuple[int, ...] = ()
    """Sizes of the Fourier transform, for each window, which zeros extend to it; the window itself if empty."""
    framing: Literal["centred", "aligned", "completed"] = "centred"
    """Frames whose middles are multiples of the hop; as many frames as there are hops, the waveform being reflected
    by half of what a window is longer than a hop (HiFi-GAN); the same, and the last hop completed by zeros
    (audiocraft)."""
    normalized: bool = False
    """Whether spectra are divided by the root of the window's energy."""
    power: Literal[1, 2] = 1
    """Magnitudes, or their squares."""
    floor: float = Field(default=1e-5, gt=0)
    """Under the logarithm."""
    floor_by: Literal["clamp", "add"] = "clamp"
    """Whether smaller values are raised to the floor, or the floor is added to all."""
    power_floor: float = Field(default=1e-20, gt=0)
    """Under the root that makes a magnitude: it has no gradient at 0."""
    power_floor_by: Literal["clamp", "add"] = "clamp"
    log_base: Literal["e", "10"] = "e"
    terms: tuple[Term, ...] = Field(default=(Term(),), min_length=1)
    over_bins: Literal["mean", "sum"] = "mean"
    """How the terms add up over bins and frames; where they are summed, the mean is taken over examples alone."""
    over_windows: Literal["mean", "sum", "weighted-mean"] = "mean"
    """How windows add up; the last divides by the sum of the terms' weights, alphas among them (audiocraft)."""

    @model_validator(mode="after")
    def _one_per_window(self) -> Self:
        for name in ("hop_lengths", "fft_sizes"):
            if (found := len(getattr(self, name))) not in {0, len(self.window_lengths)}:
                msg = f"{name}: expected one for each of {len(self.window_lengths)} windows, found {found}"
                raise ValueError(msg)
        return self


class Mel(Spectral):
    """Distance of mel spectrograms."""

    kind: Literal["mel"]
    num_mels: tuple[int, ...] = Field(min_length=1)
    """For each window, or one number for all."""
    min_hz: float = Field(default=0.0, ge=0)
    max_hz: float | None = Field(default=None, gt=0)
    """Half the sample rate if none."""
    mel_scale: Literal["htk", "slaney"] = "htk"
    mel_norm: Literal["none", "slaney"] = "none"
    """Whether filters peak at 1 or have equal areas. librosa's mels are slaney in both."""

    @model_validator(mode="after")
    def _mels_per_window(self) -> Self:
        if len(self.num_mels) not in {1, len(self.window_lengths)}:
            msg = f"num_mels: expected 1 or {len(self.window_lengths)} numbers, found {len(self.num_mels)}"
            raise ValueError(msg)
        return self


class Stft(Spectral):
    """Distance of spectrograms as they are."""

    kind: Literal["stft"]
    num_bands: Literal[1, 2, 4, 6, 8] = 1
    """Above 1, both waveforms are first cut into as many bands by a pseudo quadrature mirror filter (UniAudio)."""


Reconstruction = Annotated[Wave | Mel | Stft, Field(discriminator="kind")]


class Adversarial(StrictModel):
    """What the discriminators teach."""

    form: Literal["hinge", "least-squares"] = "hinge"
    weight: float = Field(default=1.0, gt=0)
    over_discriminators: Literal["mean", "sum"] = "mean"
    """How their losses add up: the mean (SoundStream, EnCodec) or the sum (HiFi-GAN, DAC)."""
    feature_weight: float = Field(default=1.0, ge=0)
    """Of the distance between the discriminators' features."""
    feature_norm: Literal["mean", "sum", "relative"] = "mean"
    """The mean over all layers of all discriminators of their mean absolute differences (SoundStream); their sum
    (HiFi-GAN, DAC); or the mean of each divided by the mean magnitude of the wanted features (EnCodec)."""
    logits_are_features: bool = False
    """Whether the logits count among the features (HiFi-GAN)."""
    update_probability: float = Field(default=1.0, gt=0, le=1)
    """Of a step of the discriminators in a step of the codec: 2/3 in EnCodec."""
    update_rule: Literal["always", "while-losing"] = "always"
    """``while-losing``: they step only while their loss is above all that the codec lost in the step before, by the
    weights (FunCodec)."""


class Balancer(StrictModel):
    """Scales the gradient of each loss at the audio to its share of the weights (EnCodec, section 3.4)."""

    decay: float = Field(default=0.999, ge=0, lt=1)
    total_norm: float = Field(default=1.0, gt=0)


class Losses(StrictModel):
    """All losses with their weights."""

    reconstruction: tuple[Reconstruction, ...] = ()
    adversarial: Adversarial = Adversarial()
    """Counts only where there are discriminators."""
    commitment: float = Field(default=1.0, ge=0)
    """Weight of the distance of what is quantized to its codes."""
    codebook: float = Field(default=1.0, ge=0)
    """Weight of the distance of the codes to what they code, where they are learnt by gradients."""
    divergence: float = Field(default=0.0, ge=0)
    """Weight of the distance of continuous latents from a standard Gaussian, where noise is added to them."""
    balancer: Balancer | None = None
    """Of the reconstruction, the adversarial and the feature losses; the others keep their weights."""


def something_is_lost(losses: Losses, discriminators: tuple[Discriminator, ...]) -> str | None:
    """Report a codec with nothing to learn from."""
    if not losses.reconstruction and not discriminators:
        return "losses.reconstruction: expected at least one loss where there are no discriminators, found none"
    return None


def windows_fit_crops(losses: Losses, training: Training, sample_rate_hz: int) -> str | None:
    """Report a Fourier transform that is longer than what it is to be made of."""
    sizes = [
        size
        for loss in losses.reconstruction
        if isinstance(loss, Spectral)
        for size in (*loss.window_lengths, *loss.fft_sizes)
    ]
    num_samples = int(training.crop_s * sample_rate_hz)
    if sizes and max(sizes) > num_samples:
        return (
            f"training.crop_s: expected crops of at least the {max(sizes)} samples of the longest window in "
            f"losses.reconstruction, found {num_samples} samples"
        )
    return None


CONTRADICTIONS = (something_is_lost, windows_fit_crops)
"""Checks across keys, in the sense of :mod:`tokbench.specs.neural_codec`."""
