"""How a unit vocoder learns: its melody's VQ-VAE by the contour, and all the rest by the audio."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tokbench.audio import Audio
from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.checkpoints import write_halves
from tokbench.codecs.resynthesis import resolved_units
from tokbench.codecs.trained import SPEC_FILE, WEIGHTS_FILE
from tokbench.models.initialization import keep_variance
from tokbench.models.unit_vocoder import Contours, MelodyDecoder, UnitVocoder, pitch_contours
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.training import Optimizer
from tokbench.specs.unit_vocoder import UnitVocoderSpec
from tokbench.training.adversarial import Adversary
from tokbench.training.crops import Batch
from tokbench.training.learner import Learner, Origin, Progress, Turn
from tokbench.training.losses import ReconstructionLosses

__all__ = ["UnitVocoderLearner", "voice_of"]


class UnitVocoderLearner(Learner):
    """A unit vocoder, what its melody is learnt by, and its discriminators.

    Raises :class:`tokbench.errors.NothingToLoadError` where no tokenizer of the units is there.
    """

    def __init__(self, spec: UnitVocoderSpec) -> None:
        super().__init__()
        self.units, self.spec = resolved_units(spec)
        self.settings = spec.training
        self.sample_rate_hz, self.hop_length = spec.sample_rate_hz, spec.hop_length
        self.vocoder = UnitVocoder(self.spec)
        if self.settings.initialization == "keep-variance":
            keep_variance(self.vocoder)
        self.melody_decoder = MelodyDecoder(spec.melody)
        self.reconstruction = ReconstructionLosses(spec.losses.reconstruction, spec.sample_rate_hz)
        self.adversary = Adversary(spec.discriminators, spec.losses.adversarial)
        self.weights = {**self.reconstruction.weights, **self.adversary.weights}

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return those of the melody, of the vocoder and of the discriminators."""
        melody = [self.vocoder.melody_encoder, self.vocoder.melody_quantizer, self.melody_decoder]
        of_melody = [parameter for part in melody for parameter in part.parameters()]
        known = {id(parameter) for parameter in of_melody}
        others = [parameter for parameter in self.vocoder.parameters() if id(parameter) not in known]
        own = self.settings.optimizer
        return {
            "melody": (self.spec.melody.optimizer or own, of_melody),
            "vocoder": (own, others),
            "discriminators": (self.settings.discriminator_optimizer or own, list(self.adversary.parameters())),
        }

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Yield the turns of the melody, until it is frozen, the discriminators, if it is time, and the rest."""
        contours = pitch_contours(batch.inputs, self.sample_rate_hz, self.spec.melody)
        learns_melody = progress.share < self.settings.encoder_until
        self.vocoder.melody_quantizer.train(learns_melody)
        if learns_melody:
            yield self._melody_turn(contours)
        decoded = self._decoded(batch.inputs, contours)
        wanted = batch.samples[..., : decoded.shape[-1]]
        losses = self.reconstruction(decoded, wanted)
        if self.spec.discriminators and progress.share >= self.settings.adversarial_from:
            yield from self.adversary.turn(wanted, decoded, progress)
            losses |= self.adversary.lessons(wanted, decoded)
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        self.adversary.remember(total)
        yield Turn("vocoder", total, losses)

    def _melody_turn(self, contours: Contours) -> Turn:
        quantized = self.vocoder.melody_quantizer(self.vocoder.melody_encoder(contours.frames))
        error = nn.functional.mse_loss(self.melody_decoder(quantized.latents), contours.frames)
        losses = {"melody": error, "melody_commitment": quantized.losses["commitment"]}
        return Turn("melody", error + self.spec.melody.commitment * losses["melody_commitment"], losses)

    def _decoded(self, samples: Tensor, contours: Contours) -> Tensor:
        """Return [B, 1, T'] of ``samples`` [B, 1, T], at most as many."""
        with torch.no_grad():
            units = self.units(samples, self.sample_rate_hz)
            melody = self.vocoder.melody_codes(contours)
        decoded: Tensor = self.vocoder(units, melody, self.vocoder.rounded_voice(samples, contours))
        return decoded[..., : samples.shape[-1]]

    def averaged(self) -> nn.Module:
        """Return the vocoder."""
        return self.vocoder

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses on held-out audio."""
        contours = pitch_contours(batch.inputs, self.sample_rate_hz, self.spec.melody)
        quantized = self.vocoder.melody_quantizer(self.vocoder.melody_encoder(contours.frames))
        error = nn.functional.mse_loss(self.melody_decoder(quantized.latents), contours.frames)
        decoded = self._decoded(batch.inputs, contours)
        return {**self.reconstruction(decoded, batch.samples[..., : decoded.shape[-1]]), "melody": error}

    @torch.no_grad()
    def reconstruct(self, samples: Tensor) -> Tensor:
        """Return the decoded audio [B, 1, T'] of ``samples`` [B, 1, T]."""
        return self._decoded(samples, pitch_contours(samples, self.sample_rate_hz, self.spec.melody))

    def health(self) -> Mapping[str, float]:
        """Return how the contest with the discriminators stands, and the share of melodies that are in use."""
        return {**self.adversary.health(), "melody_usage": float(self.vocoder.melody_quantizer.usage().mean())}

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the vocoder's tensors in half precision, its spec and its card."""
        unneeded = self.vocoder.training_only()
        tensors = {name: tensor for name, tensor in self.vocoder.state_dict().items() if name not in unneeded}
        write_halves(folder / WEIGHTS_FILE, tensors)
        write_toml(folder / SPEC_FILE, self.spec)
        write_toml(folder / "card.toml", _card(self, origin, folder))


def _card(learner: UnitVocoderLearner, origin: Origin, out: Path) -> Card:
    spec, name = learner.spec, out.resolve().name
    alone, setting = f"{spec.num_units}", f"{spec.num_units}-{spec.melody.quantizer.codebook_size}"
    speaking = next(iter(origin.corpus))
    run = f"{spec.training.num_steps} steps of {spec.training.batch_size} crops"
    return Card(
        name=name,
        title=spec.title,
        kind="semantic tokenizer",
        adapter="tokbench.codecs.resynthesis:TrainedResynthesis",
        licence=origin.corpus.licence or "unknown",
        source=f"tokbench train {spec.name} --scale {origin.scale}; {spec.source}",
        default_setting=setting,
        settings={alone: {"voice": voice_of(learner.vocoder, speaking.read())}, setting: {}},
        bitrate_bps={alone: learner.units.frame_rate_hz * math.log2(learner.units.num_units)},
        sample_rate_hz=spec.sample_rate_hz,
        causal=False,
        latency_s=math.inf,  # of the encoder whose units it says
        streaming=False,
        num_parameters=sum(parameter.numel() for parameter in learner.vocoder.parameters()),
        trained_on=tuple(dict.fromkeys([*learner.units.trained_on, *origin.corpus.names])),
        weights=WeightsSource(
            folder=name, files={file: file_sha256(out / file) for file in (SPEC_FILE, WEIGHTS_FILE)}
        ),
        notes=f"Its units are those of {learner.units.name}. Scale {origin.scale}, seed {origin.seed}, {run}. "
        f"Units alone are said in the voice of {speaking.id}.",
    )


@torch.no_grad()
def voice_of(vocoder: UnitVocoder, audio: Audio) -> list[int]:
    """Return the K codes of the voice in ``audio``."""
    spec = vocoder.spec
    samples = audio.to_channels(1).resample(spec.sample_rate_hz).samples[None].to(vocoder.units.weight.device)
    (found,) = vocoder.voice_codes(samples, pitch_contours(samples, spec.sample_rate_hz, spec.melody)).tolist()
    return list(found)
