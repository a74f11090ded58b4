"""What discriminators lose, what they teach a codec, and when it is their turn.

Sources: the hinge of SoundStream (arXiv:2107.03312, sec. III-E) and EnCodec (arXiv:2210.13438, sec. 3.4); least
squares of HiFi-GAN (arXiv:2010.05646, sec. 2.3) and of DAC's code.

Axes: ``B`` batch, ``T`` samples.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tokbench.models.discriminators.base import Judgement
from tokbench.models.discriminators.build import build_discriminator
from tokbench.models.processes import sum_over_processes_
from tokbench.specs.discriminators import Discriminator
from tokbench.specs.losses import Adversarial
from tokbench.training.learner import Progress, Turn

__all__ = ["Adversary", "codec_loss", "discriminator_loss", "feature_loss"]


def discriminator_loss(wanted: Sequence[Judgement], decoded: Sequence[Judgement], spec: Adversarial) -> Tensor:
    """Return what is lost by taking ``decoded`` for recorded audio or ``wanted`` for decoded audio."""
    losses = []
    for real, fake in zip(wanted, decoded, strict=True):
        if spec.form == "hinge":
            losses.append((1 - real.logits).relu().mean() + (1 + fake.logits).relu().mean())
        else:
            losses.append((1 - real.logits).square().mean() + fake.logits.square().mean())
    return _over_discriminators(losses, spec)


def codec_loss(decoded: Sequence[Judgement], spec: Adversarial) -> Tensor:
    """Return what a codec loses by being found out."""
    margins = [1 - judgement.logits for judgement in decoded]
    losses = [(margin.relu() if spec.form == "hinge" else margin.square()).mean() for margin in margins]
    return _over_discriminators(losses, spec)


def feature_loss(wanted: Sequence[Judgement], decoded: Sequence[Judgement], spec: Adversarial) -> Tensor:
    """Return the distance of what the discriminators see in ``decoded`` from what they see in ``wanted``."""
    distances = []
    for real, fake in zip(_features(wanted, spec), _features(decoded, spec), strict=True):
        distance = (real - fake).abs().mean(dtype=torch.float32)
        distances.append(
            distance / real.abs().mean(dtype=torch.float32) if spec.feature_norm == "relative" else distance
        )
    stacked = torch.stack(distances)
    return stacked.sum() if spec.feature_norm == "sum" else stacked.mean()


def _features(judgements: Sequence[Judgement], spec: Adversarial) -> list[Tensor]:
    return [
        maps
        for judgement in judgements
        for maps in (*judgement.features, *([judgement.logits] if spec.logits_are_features else []))
    ]


def _over_discriminators(losses: Sequence[Tensor], spec: Adversarial) -> Tensor:
    stacked = torch.stack(list(losses))
    return stacked.mean() if spec.over_discriminators == "mean" else stacked.sum()


class Adversary(nn.Module):
    """All discriminators of a codec, with ``width`` times the filters that they declare."""

    codec_lost: Tensor
    seen: Tensor

    def __init__(self, discriminators: Sequence[Discriminator], spec: Adversarial, *, width: float = 1.0) -> None:
        super().__init__()
        self.spec = spec
        self.sets = nn.ModuleList(build_discriminator(_widened(each, width)) for each in discriminators)
        self.weights: Mapping[str, float] = {"adversarial": spec.weight}
        """Of the losses that :meth:`lessons` returns."""
        if spec.feature_weight:
            self.weights = {**self.weights, "feature": spec.feature_weight}
        self.register_buffer("codec_lost", torch.zeros(()))
        # Own losses, wanted and decoded logits, and their number, since they were last asked for.
        self.register_buffer("seen", torch.zeros(4))

    def judge(self, samples: Tensor) -> list[Judgement]:
        """Return the judgement of every discriminator on ``samples`` [B, 1, T]."""
        return [judgement for members in self.sets for judgement in members(samples)]

    def own_loss(self, wanted: Tensor, decoded: Tensor) -> Tensor:
        """Return what the discriminators lose on [B, 1, T] of both; the codec learns nothing from it."""
        both = self.judge(torch.cat([wanted, decoded.detach()]))
        real, fake = (
            [Judgement(judgement.logits[half], []) for judgement in both]
            for half in (slice(len(wanted)), slice(len(wanted), None))
        )
        loss = discriminator_loss(real, fake, self.spec)
        with torch.no_grad():
            logits = [torch.stack([judgement.logits.mean() for judgement in side]).mean() for side in (real, fake)]
            self.seen += torch.stack([loss, *logits, torch.ones_like(loss)])
        return loss

    def lessons(self, wanted: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """Return the losses of the codec that made ``decoded`` of ``wanted``, both [B, 1, T], unweighted."""
        fake = self.judge(decoded)
        losses = {"adversarial": codec_loss(fake, self.spec)}
        if "feature" in self.weights:
            with torch.no_grad():
                real = self.judge(wanted)
            losses["feature"] = feature_loss(real, fake, self.spec)
        return losses

    def turn(self, wanted: Tensor, decoded: Tensor, progress: Progress) -> Iterator[Turn]:
        """Yield the turn in which they learn from [B, 1, T] of both, unless the spec's rule spares it."""
        if self.is_drawn(progress.step):
            loss = self.own_loss(wanted, decoded)
            if self.is_losing(loss):
                yield Turn("discriminators", loss, {"discriminator": loss})

    def is_drawn(self, step: int) -> bool:
        """Return whether chance gives the discriminators a turn in ``step``: the same in every process."""
        return (
            self.spec.update_probability == 1 or np.random.default_rng(step).random() < self.spec.update_probability
        )

    def is_losing(self, loss: Tensor) -> bool:
        """Return whether ``loss``, their own, lets them learn from it: by the rule of the spec."""
        return self.spec.update_rule == "always" or bool(_mean_over_processes(loss) > self.codec_lost)

    @torch.no_grad()
    def remember(self, lost: Tensor) -> None:
        """Keep the codec's weighted losses, ``lost``, for the rule by which the discriminators step."""
        if self.spec.update_rule == "while-losing":
            self.codec_lost.copy_(_mean_over_processes(lost))

    def health(self) -> dict[str, float]:
        """Return means since this was last asked: logits near the margin, 1 and -1, are those of a won contest."""
        *sums, count = self.seen.tolist()
        self.seen.zero_()
        names = ("discriminator_loss", "wanted_logit", "decoded_logit")
        return {name: total / count for name, total in zip(names, sums, strict=True)} if count else {}


def _widened(discriminator: Discriminator, width: float) -> Discriminator:
    return discriminator.model_copy(update={"num_filters": max(round(width * discriminator.num_filters), 1)})


def _mean_over_processes(value: Tensor) -> Tensor:
    total, count = sum_over_processes_(torch.stack([value.detach(), torch.ones_like(value)])).unbind()
    return total / count
