"""The spec of a neural codec: the whole difference between two codecs that are trained on the same data."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from tokbench.specs import losses, networks, quantizers, vocoder
from tokbench.specs.augmentation import Augmentation
from tokbench.specs.discriminators import Discriminator
from tokbench.specs.distillation import Distillation, student_has_codebooks
from tokbench.specs.entropy_coding import EntropyCoding, one_stream_is_coded
from tokbench.specs.losses import Losses, Spectral
from tokbench.specs.networks import Bottleneck, Decoder, Encoder
from tokbench.specs.quantizers import Quantizer
from tokbench.specs.scales import ScaledSpec
from tokbench.specs.semantic import Semantic
from tokbench.specs.training import Training
from tokbench.specs.transcription import Transcription
from tokbench.specs.vocoder import Vocoder

__all__ = ["NeuralCodecSpec"]


class NeuralCodecSpec(ScaledSpec):
    """An encoder, a quantizer and a decoder, with what they are trained by."""

    kind: Literal["neural-codec"]
    """How it is built and trained."""
    strides: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    """Of the encoder, in its order; the decoder goes through them backwards."""
    dimension: int = Field(gt=0)
    """Features of a frame of latents."""
    encoder: Encoder
    quantizer: Quantizer
    decoder: Decoder
    vocoder: Vocoder | None = None
    """What takes the decoder's place once the codes are learnt."""
    level: float = Field(default=1.0, gt=0)
    """By which audio is multiplied before it is encoded, and divided once it is decoded. Speech has a root mean
    square of about 0.06, for which networks are nearly linear; at 16 times that they bend it from the start."""
    loudness_normalized: bool = False
    """Whether audio is divided by its root mean square before it is coded; that is sent along, and multiplies what
    is decoded (FunCodec, EnCodec at 48 kHz)."""
    bottleneck: Bottleneck | None = None
    """Between the networks and the quantizer, on both sides."""
    denoising: Literal["none", "encoder", "decoder"] = "none"
    """Side of the quantizer on which a switch tells the codec to leave the noise behind (SoundStream); it is learnt
    from inputs that an augmentation makes noisy."""
    discriminators: tuple[Discriminator, ...] = ()
    """Trained against the codec; none, and it is trained by the reconstruction losses alone."""
    discriminator_width: float = Field(default=1.0, gt=0)
    """Factor of the filters of all discriminators, by which a scale makes them as small as the codec."""
    losses: Losses
    distillation: Mapping[str, Distillation] = {}
    """What the codec learns from models that have learnt before, by the name of the loss in the curves."""
    transcription: Transcription | None = None
    """A recogniser from which the codec learns to keep what is said."""
    semantic: Semantic | None = None
    """Units of a frozen tokenizer that are sent along with the codes."""
    entropy_coding: EntropyCoding | None = None
    """Model that is trained afterwards, on the finished codec's codes, to write them in fewer bits."""
    settings: tuple[int, ...] = ()
    """Numbers of codebooks that the card offers, rising; every power of two, and all of them, if empty."""

    @cached_property
    def hop_length(self) -> int:
        """Samples per frame."""
        return _hop_length(self.strides, self.bottleneck)

    @cached_property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.hop_length


def settings_rise(settings: tuple[int, ...], quantizer: Quantizer) -> str | None:
    """Report settings that do not rise, or that ask for codebooks that there are not."""
    most = getattr(quantizer, "num_codebooks", 0)
    if list(settings) != sorted(set(settings)) or (settings and not 1 <= settings[0] <= settings[-1] <= most):
        return f"settings: expected rising numbers from 1 to {most}, found {list(settings)}"
    return None


def stages_follow(discriminators: tuple[Discriminator, ...], training: Training) -> str | None:
    """Report a quantizer that comes after what needs its codes."""
    start, problems = training.quantized_from, []
    if discriminators and (found := training.adversarial_from) < start:
        problems.append(f"training.adversarial_from: expected at least quantized_from, {start}, found {found}")
    if (found := training.encoder_until) <= start:
        problems.append(f"training.encoder_until: expected more than quantized_from, {start}, found {found}")
    return "; ".join(problems) or None


def crops_are_long_enough(
    sample_rate_hz: int,
    strides: tuple[int, ...],
    bottleneck: Bottleneck | None,
    losses: Losses,
    training: Training,
) -> str | None:
    """Report crops that are shorter than a frame, or than the window of a loss."""
    found = int(training.crop_s * sample_rate_hz)
    windows = [loss.window_lengths for loss in losses.reconstruction if isinstance(loss, Spectral)]
    needed = max([_hop_length(strides, bottleneck), *(length for lengths in windows for length in lengths)])
    if found < needed:
        return f"training.crop_s: expected {needed} samples or more, a frame and every window, found {found}"
    return None


def noise_is_told(denoising: str, augmentation: Augmentation) -> str | None:
    """Report a switch that would never be seen in one of its positions, and noise on request without the switch."""
    if (denoising != "none") != (augmentation.target == "either"):
        return f"augmentation.target: 'either' goes with denoising, found {augmentation.target!r} and {denoising!r}"
    return None


def denoising_has_noise(training: Training, augmentation: Augmentation) -> str | None:
    """Report an encoder that is to learn to leave behind what never comes in."""
    if training.denoising_from < 1 and augmentation.target != "clean":
        return (
            "augmentation.target: expected 'clean', what training.denoising_from makes of noisy inputs, "
            f"found {augmentation.target!r}"
        )
    return None


def level_is_not_bounded(level: float, decoder: Decoder, vocoder: Vocoder | None) -> str | None:
    """Report a decoder that ends between -1 and 1, where that is a part of what there is to decode."""
    networks = {"decoder": decoder, **({"vocoder.network": vocoder.network} if vocoder is not None else {})}
    bounded = [name for name, network in networks.items() if network.is_bounded]
    if level > 1 and bounded:
        return (
            f"level: expected at most 1 where {' and '.join(bounded)} cannot leave -1 to 1 (final_activation, "
            f"activated), found {level:g}"
        )
    return None


def _hop_length(strides: tuple[int, ...], bottleneck: Bottleneck | None) -> int:
    return math.prod(strides) * (bottleneck.stride if bottleneck else 1)


CONTRADICTIONS = (
    *losses.CONTRADICTIONS,
    *networks.CONTRADICTIONS,
    *quantizers.CONTRADICTIONS,
    *vocoder.CONTRADICTIONS,
    settings_rise,
    student_has_codebooks,
    one_stream_is_coded,
    stages_follow,
    crops_are_long_enough,
    noise_is_told,
    denoising_has_noise,
    level_is_not_bounded,
)
"""Checks across keys: each is run if the keys that its parameters name are valid; returns a sentence or None."""
