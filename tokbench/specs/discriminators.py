"""Discriminators that a spec can ask for, in any combination. Each is a set of them, one per scale or period."""

from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs.base import StrictModel

__all__ = [
    "ComplexStft",
    "Discriminator",
    "MultiBandStft",
    "MultiPeriod",
    "MultiResolutionSpectrogram",
    "MultiScale",
    "MultiScaleStft",
]


class _Discriminator(StrictModel):
    conditioned: bool = False
    """Whether the mean is taken from what it hears, and its peak set to 0.8 (DAC)."""


class MultiScale(_Discriminator):
    """MSD: grouped, strided convolutions over the waveform and over the same at half and a quarter of its rate."""

    kind: Literal["msd"]
    form: Literal["hifi-gan", "melgan"] = "hifi-gan"
    """Layers of HiFi-GAN, which double the channels; or those of MelGAN, four of which go in steps of 4 and have
    four times the channels of the one before (SoundStream)."""
    num_filters: int = Field(default=128, gt=0)
    """Channels of the first layer: 128 in HiFi-GAN, 16 in MelGAN. Groups are fewer where channels do not divide."""
    num_scales: int = Field(default=3, gt=0)
    """Each hears half the rate of the one before."""
    spectral_norm: bool = True
    """Whether the first scale has spectral instead of weight normalization (HiFi-GAN)."""


class MultiPeriod(_Discriminator):
    """MPD: the waveform folded to a row per sample of a period, convolved along the periods (HiFi-GAN, DAC)."""

    kind: Literal["mpd"]
    num_filters: int = Field(default=32, gt=0)
    """Channels of the first layer; 4, 16, 32 and 32 times as many follow."""
    periods: tuple[int, ...] = Field(default=(2, 3, 5, 7, 11), min_length=1)
    """In samples."""
    always_padded: bool = False
    """Whether a whole period is added to a waveform that is made of whole ones already (DAC)."""


class MultiScaleStft(_Discriminator):
    """MS-STFTD: convolutions over complex spectrograms of several resolutions, dilated in time (EnCodec)."""

    kind: Literal["ms-stftd"]
    num_filters: int = Field(default=32, gt=0)
    window_lengths: tuple[int, ...] = Field(default=(2048, 1024, 512, 256, 128), min_length=1)
    """In samples; a hop is a quarter of them."""
    slope: float = 0.2
    """Of the leaky activations below zero: 0.2 in EnCodec, 0.3 in audiocraft."""
    pooled_logits: bool = False
    """Whether logits are averaged over 4 x 4 of them, at every second (FunCodec)."""


class MultiBandStft(_Discriminator):
    """MRD: complex spectrograms cut into bands, each with convolutions of its own (DAC)."""

    kind: Literal["mrd"]
    num_filters: int = Field(default=32, gt=0)
    window_lengths: tuple[int, ...] = Field(default=(2048, 1024, 512), min_length=1)
    """In samples; a hop is a quarter of them."""
    bands: tuple[tuple[float, float], ...] = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
    """First and last frequency of each, as a share of half the sample rate."""


class MultiResolutionSpectrogram(_Discriminator):
    """Convolutions over magnitude spectrograms of several resolutions (UnivNet; AudioDec's ``univ``)."""

    kind: Literal["mrsd"]
    num_filters: int = Field(default=32, gt=0)
    fft_sizes: tuple[int, ...] = Field(default=(1024, 2048, 512), min_length=1)
    window_lengths: tuple[int, ...] = Field(default=(600, 1200, 240), min_length=1)
    """In samples, one for each size of the Fourier transform."""
    hop_lengths: tuple[int, ...] = Field(default=(120, 240, 50), min_length=1)
    """In samples, one for each size of the Fourier transform."""


class ComplexStft(_Discriminator):
    """STFTD: residual blocks over one complex spectrogram, each of which halves its bins (SoundStream)."""

    kind: Literal["stftd"]
    num_filters: int = Field(default=32, gt=0)
    window_length: int = Field(default=1024, gt=0)
    """In samples; a hop is a quarter of it."""
    multipliers: tuple[int, ...] = Field(default=(2, 4, 4, 8, 8, 16), min_length=1)
    """Channels after each block, in multiples of ``num_filters``."""


Discriminator = Annotated[
    MultiScale | MultiPeriod | MultiScaleStft | MultiBandStft | MultiResolutionSpectrogram | ComplexStft,
    Field(discriminator="kind"),
]
