"""How the last blocks of a speech encoder learn codes that do not tell who speaks.

Spin (Chang et al. 2023, arXiv:2305.11072) and DC-Spin (Chang et al. 2024, arXiv:2410.24177), which adds a second,
larger codebook for the sake of the first.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.checkpoints import write_halves
from tokbench.codecs.frozen import first_of
from tokbench.codecs.registry import CodecReference, load, one
from tokbench.codecs.speech_encoders import ENCODER_FILES, save_speech_encoder
from tokbench.codecs.ssl_features import SslFeatures
from tokbench.codecs.trained_units import HEADS_FILE
from tokbench.corpora.base import joined_licences
from tokbench.errors import UsageError
from tokbench.models.sinkhorn import equal_shares, swapped_loss
from tokbench.models.speech_encoder import audible_frames
from tokbench.models.spin import CodeHead
from tokbench.models.ssl import MelEncoder, WaveEncoder
from tokbench.specs.base import file_sha256, write_toml
from tokbench.specs.spin import SpinSpec
from tokbench.specs.training import Optimizer
from tokbench.training.crops import Batch
from tokbench.training.learner import Learner, Origin, Progress, Turn
from tokbench.training.masked_units import Guesses
from tokbench.training.perturbation import SpeakerPerturbation

__all__ = ["SpinLearner", "SpinModel"]

UNITS, AUXILIARY = "units", "auxiliary"
SPEC_FILE = "spec.toml"


class SpinModel(nn.Module):
    """A speech encoder of which the last blocks learn, and the heads of its codebooks."""

    def __init__(self, spec: SpinSpec, encoder: WaveEncoder | MelEncoder) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(requires_grad=False)
        blocks = list(encoder.get_submodule("model.encoder.layers").children())
        for block in blocks[max(len(blocks) - spec.num_trained_blocks, 0) :]:
            block.requires_grad_(requires_grad=True)
        sizes = {UNITS: spec.codebook_size, AUXILIARY: spec.auxiliary_size}
        self._heads = {
            name: CodeHead(encoder.num_features, size, dimension=spec.dimension)
            for name, size in sizes.items()
            if size is not None
        }
        self.heads = nn.ModuleDict(self._heads)

    def codes(self) -> Mapping[str, CodeHead]:
        """Return the head of each codebook by its name."""
        return self._heads

    def frozen(self) -> Iterator[str]:
        """Yield the names of the largest submodules in which nothing learns."""
        seen: list[str] = []
        for name, module in self.encoder.named_modules(prefix="encoder"):
            learns = any(parameter.requires_grad for parameter in module.parameters())
            if not learns and not any(name.startswith(f"{outer}.") for outer in seen):
                seen.append(name)
                yield name


class SpinLearner(Learner):
    """Codes of frames, which another voice that says the same must have too.

    Raises :class:`tokbench.errors.NothingToLoadError` if none of the encoders of the spec is there, and
    :class:`UsageError` for one that is none, or of another sample rate.
    """

    def __init__(self, spec: SpinSpec) -> None:
        super().__init__()
        self.spec, self.settings = spec, spec.training
        self.backbone, encoder = first_of(spec.backbones, _load_encoder)
        own_hz = self.backbone.card.sample_rate_hz
        if own_hz != spec.sample_rate_hz:
            msg = f"{self.backbone.label} is for {own_hz} Hz, and {spec.name} for {spec.sample_rate_hz} Hz"
            raise UsageError(msg)
        # Two views of an utterance differ by the voice alone: nothing else is hidden at random.
        config: Any = encoder.model.config
        config.apply_spec_augment = False
        self.model = SpinModel(spec, encoder)
        self.guesses = Guesses(spec.codebook_size, name="agreement")
        self.frozen = tuple(f"model.{name}" for name in self.model.frozen())
        self.sample_rate_hz, self.hop_length = spec.sample_rate_hz, encoder.hop_length
        self.augmentation = SpeakerPerturbation(spec.perturbation)

    def optimizers(self) -> Mapping[str, tuple[Optimizer, list[nn.Parameter]]]:
        """Return the one of the last blocks and the heads."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return {"units": (self.settings.optimizer, parameters)}

    def turns(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Yield the one turn of a step."""
        del progress
        for head in self.model.codes().values():
            head.normalize_()
        losses = self._losses(batch)
        yield Turn("units", torch.stack(list(losses.values())).sum(), losses)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of each codebook; what goes in is another voice, what is to come out the first."""
        frames = self.model.encoder.features(torch.cat([batch.samples, batch.inputs]))
        chosen = audible_frames(batch.samples, self.hop_length, frames.shape[1])
        views = [view[chosen] for view in frames.float().chunk(2)]
        losses = {}
        for name, head in self.model.codes().items():
            # Cosines are divided by small numbers, for which bfloat16 is too coarse.
            with torch.autocast(frames.device.type, enabled=False):
                first, second = head(views[0]), head(views[1])
            targets = (self._targets(first), self._targets(second))
            losses[name] = swapped_loss(first, second, targets, temperature=self.spec.temperature)
            if name == UNITS and self.training:
                self.guesses.add(first, second.argmax(dim=1))
        return losses

    def _targets(self, cosines: Tensor) -> Tensor:
        sinkhorn = self.spec.sinkhorn
        return equal_shares(cosines, epsilon=sinkhorn.epsilon, num_iterations=sinkhorn.num_iterations)

    @torch.no_grad()
    def validate(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses without dropout."""
        was_training = self.training
        self.eval()
        losses = self._losses(batch)
        self.train(was_training)
        return losses

    def averaged(self) -> nn.Module:
        """Return the encoder with its heads."""
        return self.model

    def health(self) -> Mapping[str, float]:
        """Return how many frames have one unit in both voices, and how many units no frame has."""
        return self.guesses.take(self.spec.codebook_size)

    def export(self, folder: Path, origin: Origin) -> None:
        """Write the encoder and its heads in half precision, the spec, and a card of the codebooks."""
        save_speech_encoder(self.model.encoder, folder, sample_rate_hz=self.sample_rate_hz)
        write_halves(folder / HEADS_FILE, self.model.heads.state_dict())
        write_toml(folder / SPEC_FILE, self.spec)
        write_toml(folder / "card.toml", _card(self, origin, folder))


def _load_encoder(name: str) -> tuple[CodecReference, WaveEncoder | MelEncoder]:
    reference = one(name)
    tokenizer = load(reference)
    encoder = tokenizer.encoder if isinstance(tokenizer, SslFeatures) else None
    if not isinstance(encoder, WaveEncoder | MelEncoder):
        msg = f"{name}: expected a speech encoder, such as hubert-base-features:l12"
        raise UsageError(msg)
    return reference, encoder


def _card(learner: SpinLearner, origin: Origin, out: Path) -> Card:
    spec, name, training = learner.spec, out.resolve().name, learner.settings
    backbone = learner.backbone.card
    own = origin.corpus.licence or "unknown"
    sizes = {codebook: len(head.codebook) for codebook, head in learner.model.codes().items()}
    frame_rate_hz = spec.sample_rate_hz / learner.hop_length
    plain = {codebook: {"codebook": codebook} for codebook in sizes}
    deduplicated = {f"{codebook}-dedup": {"codebook": codebook, "deduplicate": True} for codebook in sizes}
    return Card(
        name=name,
        title=spec.title,
        kind="semantic tokenizer",
        adapter="tokbench.codecs.trained_units:SpinUnits",
        licence=joined_licences(backbone.licence, own),
        source=f"tokbench train {spec.name} --scale {origin.scale}; {spec.source}; {backbone.source}",
        default_setting=UNITS,
        settings={**plain, **deduplicated},
        arguments={"layer": learner.backbone.arguments["layer"]},
        bitrate_bps={codebook: frame_rate_hz * math.log2(size) for codebook, size in sizes.items()},
        sample_rate_hz=spec.sample_rate_hz,
        causal=False,
        latency_s=math.inf,
        streaming=False,
        num_parameters=sum(parameter.numel() for parameter in learner.model.parameters()),
        trained_on=tuple(dict.fromkeys([*backbone.trained_on, *origin.corpus.names])),
        requires=backbone.requires,
        weights=WeightsSource(
            folder=name, files={file: file_sha256(out / file) for file in (*ENCODER_FILES, HEADS_FILE)}
        ),
        notes=(
            f"{sizes[UNITS]} units at {frame_rate_hz:g} Hz of {learner.backbone.label}, whose last "
            f"{spec.num_trained_blocks} blocks were trained. Scale {origin.scale}, seed {origin.seed}, "
            f"{training.num_steps} steps of {training.batch_size} crops of {training.crop_s:g} s."
            + "".join(f" {remark}" for remark in origin.remarks)
        ),
    )
