"""How a speech encoder learns, and the folder that it becomes: a model in the format of transformers."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.speech_encoders import ENCODER_FILES, save_speech_encoder
from tokbench.models.speech_encoder import TrainableSpeechEncoder, audible_frames, span_mask
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.speech_encoder import MaskedUnits, SpeechEncoderSpec
from tokbench.specs.training import Optimizer
from tokbench.training.contrastive import ContrastiveObjective
from tokbench.training.crops import Batch
from tokbench.training.learner import Draw, Learner, Origin, Progress, Turn
from tokbench.training.masked_units import EncoderObjective, MaskedUnitsObjective

__all__ = ["SpeechEncoderLearner"]

SPEC_FILE = "spec.toml"
_USUAL_DEPTH = 0.75
"""Of the layer that is usually taken, as the ninth of HuBERT's twelve."""


class SpeechEncoderLearner(Learner):
    """A speech encoder and what it learns to say."""

    def __init__(self, spec: SpeechEncoderSpec) -> None:
        super().__init__()
        self.spec, self.settings = spec, spec.training
        self.encoder = TrainableSpeechEncoder(spec)
        self.objective: EncoderObjective = (
            MaskedUnitsObjective(spec, spec.objective)
            if isinstance(spec.objective, MaskedUnits)
            else ContrastiveObjective(spec, spec.objective)
        )
        self.sample_rate_hz, self.hop_length = spec.sample_rate_hz, self.encoder.hop_length

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return the one of the encoder and of what is only there to learn."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return {"encoder": (self.settings.optimizer, parameters)}

    def prepare(self, progress: Progress, draw: Draw) -> None:
        """Make the units that are predicted from here on, if it is time for others."""
        self.objective.prepare(self.encoder, progress, draw)

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Yield the one turn of a step."""
        total, losses = self._losses(batch, progress)
        yield Turn("encoder", total, losses)

    def _losses(self, batch: Batch, progress: Progress) -> tuple[Tensor, Mapping[str, Tensor]]:
        num_frames = self.encoder.num_frames(batch.samples.shape[2])
        is_audible = audible_frames(batch.samples, self.hop_length, num_frames)
        mask = span_mask(is_audible, self.spec.masking)
        encoded = self.encoder(
            batch.inputs,
            mask=mask,
            is_audible=None if bool(is_audible.all()) else is_audible,
            layer=self.objective.layer,
        )
        return self.objective.losses(batch.samples, encoded, mask=mask, is_audible=is_audible, progress=progress)

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses under a mask that is always the same, without dropout."""
        was_training = self.training
        device = batch.samples.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            self.eval()
            _, losses = self._losses(batch, Progress(1, 1))
        self.train(was_training)
        return losses

    def averaged(self) -> nn.Module:
        """Return the encoder."""
        return self.encoder

    def health(self) -> Mapping[str, float]:
        """Return the share of masked frames that are guessed, and that of units which never are."""
        return self.objective.health()

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the encoder in half precision as transformers does, the spec, and a card of its layers."""
        save_speech_encoder(self.encoder.encoder, folder, sample_rate_hz=self.sample_rate_hz)
        write_toml(folder / SPEC_FILE, self.spec)
        write_toml(folder / "card.toml", _card(self, origin, folder))


def _card(learner: SpeechEncoderLearner, origin: Origin, out: Path) -> Card:
    spec, name, training = learner.spec, out.resolve().name, learner.settings
    files = {file: file_sha256(out / file) for file in ENCODER_FILES}
    num_layers = spec.network.num_layers
    frame_rate_hz = spec.sample_rate_hz / learner.hop_length
    return Card(
        name=name,
        title=f"{spec.title}, continuous",
        kind="continuous tokenizer",
        adapter="tokbench.codecs.ssl_features:SslFeatures",
        licence=origin.corpus.licence or "unknown",
        source=f"tokbench train {spec.name} --scale {origin.scale}; {spec.source}",
        default_setting=f"l{round(_USUAL_DEPTH * num_layers)}",
        settings={f"l{layer}": {"layer": layer} for layer in range(1, num_layers + 1)},
        sample_rate_hz=spec.sample_rate_hz,
        causal=False,
        latency_s=float("inf"),
        streaming=False,
        num_parameters=sum(parameter.numel() for parameter in learner.encoder.parameters()),
        trained_on=origin.corpus.names,
        requires=("transformers",),
        weights=WeightsSource(folder=name, files=files),
        notes=(
            f"{spec.network.width} features at {frame_rate_hz:g} Hz; a setting is a layer. Scale {origin.scale}, "
            f"seed {origin.seed}, {training.num_steps} steps of {training.batch_size} crops of "
            f"{training.crop_s:g} s. Every frame attends to the whole utterance, which is therefore never cut into "
            "pieces." + "".join(f" {remark}" for remark in origin.remarks)
        ),
    )
