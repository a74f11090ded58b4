"""How a neural codec learns: reconstruction, quantization, and discriminators where the spec has them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tokbench.codecs.checkpoints import fold_weight_norms, write_halves
from tokbench.codecs.semantic import UnitSource
from tokbench.codecs.trained import SPEC_FILE, WEIGHTS_FILE
from tokbench.models.initialization import keep_variance
from tokbench.models.neural_codec import CodecOutput, NeuralCodec
from tokbench.specs.base import write_toml
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.training import Optimizer
from tokbench.training.adversarial import Adversary
from tokbench.training.balancer import GradientBalancer
from tokbench.training.codec_card import codec_card
from tokbench.training.crops import Batch
from tokbench.training.distillation import Distillers
from tokbench.training.entropy_coding import EntropyLearner
from tokbench.training.learner import Draw, Learner, Origin, Progress, Turn
from tokbench.training.losses import ReconstructionLosses
from tokbench.training.transcription import Transcriber

__all__ = ["CodecLearner"]


class CodecLearner(Learner):
    """A codec, its discriminators, and what else it learns from."""

    def __init__(self, spec: NeuralCodecSpec) -> None:
        super().__init__()
        self.units = None if spec.semantic is None else UnitSource(spec.semantic)
        if self.units is not None:
            spec = spec.model_copy(update={"semantic": self.units.semantic})
        self.settings = spec.training
        self.sample_rate_hz, self.hop_length = spec.sample_rate_hz, spec.hop_length
        self.codec = NeuralCodec(spec)
        if spec.training.initialization == "keep-variance":
            keep_variance(self.codec)
        # After the codec, which so begins the same with teachers and discriminators and without.
        self.distillation = Distillers(spec)
        self.spec = self.distillation.resolved(spec)
        self.transcriber = Transcriber(spec, spec.transcription) if spec.transcription is not None else None
        self.reconstruction = ReconstructionLosses(spec.losses.reconstruction, spec.sample_rate_hz)
        self.adversary = _adversary(spec) if spec.discriminators else None
        heard = {**self.reconstruction.weights, **(self.adversary.weights if self.adversary else {})}
        self._heard_weights = heard
        balancer = spec.losses.balancer
        self.balancer = GradientBalancer(balancer, heard) if balancer is not None else None
        self._is_quantized = True

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return those of the codec, of what takes its decoder's place, and of the discriminators."""
        settings, vocoder = self.settings, self.codec.vocoder
        later = [] if vocoder is None else list(vocoder.parameters())
        own = [each for each in self.codec.parameters() if not any(each is other for other in later)]
        helpers = [self.distillation, *([self.transcriber] if self.transcriber is not None else [])]
        taught = [parameter for helper in helpers for parameter in helper.parameters()]
        optimizers = {"codec": (settings.optimizer, [*own, *taught])}
        if self.spec.vocoder is not None:
            optimizers["vocoder"] = (self.spec.vocoder.optimizer or settings.optimizer, later)
        if self.adversary is not None:
            theirs = settings.discriminator_optimizer or settings.optimizer
            optimizers["discriminators"] = (theirs, list(self.adversary.parameters()))
        return optimizers

    def prepare(self, progress: Progress, draw: Draw) -> None:
        """Measure what the vocoder is to see, before its first step."""
        vocoder = self.spec.vocoder
        if vocoder is None or not (progress.step - 1) / progress.num_steps < vocoder.begins <= progress.share:
            return
        batches = (draw(progress.step + number) for number in range(vocoder.num_batches))
        self.codec.begin_vocoder((batch.samples, self._units(batch.samples)) for batch in batches)

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Yield the discriminators' turn, if it is time for them, and the codec's."""
        self._enter(progress)
        output, wanted = self._decoded(batch, progress), batch.samples
        decoded = output.samples.float()
        is_contest = self.settings.adversarial_from <= progress.share < self.settings.denoising_from
        adversary = self.adversary if is_contest else None
        if adversary is not None:
            yield from adversary.turn(wanted, decoded, progress)
        heard = self.reconstruction(decoded, wanted)
        if adversary is not None:
            heard |= adversary.lessons(wanted, decoded)
        lost = self._weighted(heard, self._heard_weights)
        if adversary is not None:
            adversary.remember(lost)
        if self.balancer is not None and heard:
            lost = self.balancer(heard, decoded)
        others = self._other_losses(output, batch)
        total = lost + self._weighted(others, self._other_weights)
        # The vocoder stays as it is while the encoder learns to leave noise out.
        is_of_vocoder = self.codec.decodes_by_vocoder and progress.share < self.settings.denoising_from
        yield Turn("vocoder" if is_of_vocoder else "codec", total, heard | others)

    def _enter(self, progress: Progress) -> None:
        """Let learn what is to learn at this time of the run, and leave the rest as it is."""
        settings, codec, share = self.settings, self.codec, progress.share
        is_denoising = share >= settings.denoising_from
        self._is_quantized = share >= settings.quantized_from
        codec.decodes_by_vocoder = self.spec.vocoder is not None and share >= self.spec.vocoder.begins
        coder, decoder = share < settings.encoder_until, not is_denoising
        learning: Mapping[nn.Module | None, bool] = {
            codec.encoder: coder or is_denoising,
            codec.quantizer: coder and not is_denoising,
            codec.decoder: decoder and not codec.decodes_by_vocoder,
            codec.vocoder: decoder and codec.decodes_by_vocoder,
        }
        for part, is_learning in learning.items():
            if part is not None:
                part.requires_grad_(is_learning).train(is_learning)

    def _decoded(self, batch: Batch, progress: Progress | None = None) -> CodecOutput:
        """Return what becomes of ``batch``: of clean audio for as long as its noise is to come later."""
        later = self.settings.denoising_from
        is_clean = later < 1 and (progress is None or progress.share < later)
        inputs = batch.samples if is_clean else batch.inputs
        output: CodecOutput = self.codec(
            inputs,
            is_quantized=self._is_quantized,
            is_denoised=self._is_denoised(batch),
            units=self._units(inputs),
        )
        return output

    def _is_denoised(self, batch: Batch) -> Tensor | None:
        wanted = batch.wants_clean if self.spec.denoising != "none" else ()
        return torch.tensor(wanted, device=batch.inputs.device) if wanted else None

    def _units(self, samples: Tensor) -> Tensor | None:
        return None if self.units is None else self.units(samples, self.spec)

    def _other_losses(self, output: CodecOutput, batch: Batch) -> dict[str, Tensor]:
        quantization = {} if output.quantized is None else dict(output.quantized.losses)
        transcription = {} if self.transcriber is None else dict(self.transcriber(output, batch))
        return quantization | dict(self.distillation(output, batch)) | transcription

    @property
    def _other_weights(self) -> Mapping[str, float]:
        losses = self.spec.losses
        taught = {name: distillation.weight for name, distillation in self.spec.distillation.items()}
        if self.transcriber is not None:
            taught["transcription"] = self.transcriber.weight
        return {
            "commitment": losses.commitment,
            "codebook": losses.codebook,
            "divergence": losses.divergence,
            **taught,
        }

    @staticmethod
    def _weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        return torch.stack([weights[name] * loss for name, loss in losses.items()] or [torch.zeros(())]).sum()

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses that need no discriminator, and ``reconstruction``, their weighted sum."""
        output = self._decoded(batch)
        heard = self.reconstruction(output.samples, batch.samples)
        total = {"reconstruction": self._weighted(heard, self._heard_weights)} if heard else {}
        return {**heard, **total, **({} if output.quantized is None else output.quantized.losses)}

    @torch.no_grad()
    def reconstruct(self, samples: Tensor) -> Tensor:
        """Return the decoded audio [B, 1, T] of ``samples``."""
        decoded: Tensor = self.codec(samples, is_quantized=self._is_quantized, units=self._units(samples)).samples
        return decoded

    def health(self) -> Mapping[str, float]:
        """Return what tells early that codes die, discriminators win, or teachers teach little."""
        health = dict(self.distillation.health())
        if self.transcriber is not None:
            health |= self.transcriber.health()
        perplexities, usage = self.codec.quantizer.perplexity(), self.codec.quantizer.usage()
        if len(usage) and self._is_quantized and self.codec.quantizer.training:
            health |= {"dead_codes": 1 - float(usage.min()), "perplexity": float(perplexities.mean())}
        return health | (self.adversary.health() if self.adversary is not None else {})

    @property
    def heard_before(self) -> tuple[str, ...]:
        """Corpora that the frozen models heard which taught the codec or tell it units."""
        return (*self.distillation.trained_on, *(self.units.trained_on if self.units else ()))

    @property
    def help_notes(self) -> tuple[str, ...]:
        """What the card says of those models."""
        units = f"Beside its codes it sends the units of {self.units.name}." if self.units else ""
        return tuple(filter(None, (self.distillation.note, units)))

    def averaged(self) -> nn.Module:
        """Return the codec."""
        return self.codec

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the finished codec's tensors in half precision, its spec, and its card last."""
        write_halves(folder / WEIGHTS_FILE, fold_weight_norms(self.codec.finished_state()))
        write_toml(folder / SPEC_FILE, self.spec)
        card = codec_card(folder, origin, heard_before=self.heard_before, notes=self.help_notes)
        write_toml(folder / "card.toml", card)

    def successors(self, folder: Path) -> Iterator[Learner]:
        """Yield the model of the finished codec's codes, where the spec has one."""
        if self.spec.entropy_coding is not None:
            yield EntropyLearner(folder)


def _adversary(spec: NeuralCodecSpec) -> Adversary:
    return Adversary(spec.discriminators, spec.losses.adversarial, width=spec.discriminator_width)
