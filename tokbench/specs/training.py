"""How long, on how much at a time and how fast a model is trained."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel

__all__ = ["Optimizer", "Training"]


class Optimizer(StrictModel):
    """Adam, and what becomes of its learning rate."""

    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled from the gradient (AdamW)."""
    warmup: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps in which the rate rises from 0."""
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    """``linear``: from the end of the warm-up to 0 at the end of the run (HuBERT)."""
    decay_per_step: float = Field(default=1.0, gt=0, le=1)
    """Of the exponential schedule."""
    halved_at: tuple[float, ...] = ()
    """Shares of the steps after each of which the rate is half of what it would be."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of all gradients together."""


class Training(StrictModel):
    """One run. What begins late begins after a share of the steps, so that it stays in place at every scale."""

    num_steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    """Crops per step and process."""
    crop_s: float = Field(gt=0)
    """Length of a crop in seconds."""
    optimizer: Optimizer
    discriminator_optimizer: Optimizer | None = None
    """By default that of the codec."""
    initialization: Literal["published", "keep-variance"] = "published"
    """What weights begin with: what the networks' publishers chose, or weights of which a signal comes out as large
    as it went in, whatever the design: a codec then learns from the first step on."""
    draw: Literal["by-second", "by-utterance"] = "by-second"
    """Whether every second of the corpus is as likely to be learnt from as any other, or every utterance."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations; weights and their updates are float32."""
    deterministic: bool = True
    """Whether a GPU adds in the same order each time, where it can; a processor always does."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Of the moving average of the weights that is saved; 0 for the last weights themselves."""
    keep: Literal["last", "best"] = "last"
    """Which weights a run ends with: the last ones, or of every part those with the lowest loss on what is held
    out, where the model can tell: what learns its examples by heart is then taken from before it did."""
    quantized_from: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps after which the quantizer is put in; before it, latents pass as they are."""
    adversarial_from: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps after which the discriminators begin."""
    encoder_until: float = Field(default=1.0, gt=0, le=1)
    """Share of the steps after which encoder and quantizer are frozen."""
    denoising_from: float = Field(default=1.0, gt=0, le=1)
    """Share of the steps after which the encoder alone learns, without discriminators, to make of noisy inputs the
    codes of clean audio; until then what goes in is clean (AudioDec). It needs an augmentation that adds noise."""
    num_held_out: int = Field(default=8, ge=0)
    """Utterances that are never learnt from, chosen by their ids; a tenth of the corpus at most."""
    validation_s: float = Field(default=4.0, gt=0)
    """Seconds of each held-out utterance that are validated on and written for listening."""
    validate_every_steps: int = Field(default=1000, gt=0)
    log_every_steps: int = Field(default=50, gt=0)
    """Steps of which a row of the curves is the mean."""
    checkpoint_every_steps: int = Field(default=1000, gt=0)

    @model_validator(mode="after")
    def _best_is_known(self) -> Self:
        if self.keep == "best" and not self.num_held_out:
            msg = 'keep = "best" needs something that is held out (num_held_out)'
            raise ValueError(msg)
        return self
