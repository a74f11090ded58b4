"""What a codec learns from models that have learnt before: SpeechTokenizer's, DM-Codec's and Mimi's distillation.

Axes: ``B`` batch, ``F`` frames, ``D`` features, ``V`` units.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, logsigmoid

from tokbench.codecs.frozen import FrozenFeatures, FrozenUnits, first_of
from tokbench.errors import NothingToLoadError, SpecError
from tokbench.models.frame_rates import averaging, nearest_frames, num_within
from tokbench.models.neural_codec import CodecOutput
from tokbench.specs.distillation import (
    Distillation,
    Form,
    SpeechDistillation,
    TextDistillation,
    UnitDistillation,
)
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.training.crops import Batch
from tokbench.training.teachers import TextReader, Transcriber

__all__ = ["Distiller", "Distillers", "feature_losses"]


def feature_losses(student: Tensor, teacher: Tensor, form: Form, *, distance_weight: float = 0.0) -> Tensor:
    """Return the loss of each example, [B], of ``student`` [B, F, D] to be like ``teacher`` [B, F, D].

    :class:`tokbench.specs.distillation.SpeechDistillation` tells the forms.
    """
    if form == "d-axis":
        losses = -logsigmoid(cosine_similarity(student, teacher, dim=1)).mean(dim=1)
    else:
        cosines = cosine_similarity(student, teacher, dim=2)
        losses = (-logsigmoid(cosines) if form == "t-axis" else 1 - cosines).mean(dim=1)
    if distance_weight:
        losses = losses + distance_weight * (student - teacher).abs().mean(dim=(1, 2))
    return losses


class Distiller(nn.Module, ABC):
    """A teacher, a projection of the student to what is taught, and the distance between them.

    The projection is trained with the codec and left behind when that is done.
    """

    teacher_names: tuple[str, ...]
    """Who teaches."""
    trained_on: tuple[str, ...] = ()
    """Corpora that the teacher saw."""

    def __init__(self, spec: Distillation, codec: NeuralCodecSpec, *, num_outputs: int) -> None:
        super().__init__()
        self._codebooks = spec.codebooks
        self._sample_rate_hz, self._frame_rate_hz = codec.sample_rate_hz, codec.frame_rate_hz
        self.projection = nn.Linear(codec.dimension, num_outputs)

    def forward(self, output: CodecOutput, batch: Batch) -> Tensor:
        """Return the unweighted loss of ``batch``, of which ``output`` was made: the mean over what is taught."""
        losses = self._losses(self.projection(self._student(output).transpose(1, 2)).float(), batch)
        return losses.sum() / max(len(losses), 1)

    def _student(self, output: CodecOutput) -> Tensor:
        """Return [B, D, F]; the latents themselves for as long as they are not quantized."""
        if output.quantized is None:
            return output.latents
        layers = output.quantized.layers
        if self._codebooks == len(layers):
            return output.quantized.latents
        return torch.stack(layers[: self._codebooks]).sum(dim=0)

    @abstractmethod
    def _losses(self, student: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each example that is taught, of what is made of ``student`` [B, F, D]."""

    @abstractmethod
    def resolved(self) -> Mapping[str, tuple[str, ...]]:
        """Return the keys of the spec that say which of several models taught, with the one that did."""

    def health(self) -> Mapping[str, float]:
        """Return what shows early that little is learnt, since it was last asked."""
        return {}


class _FeatureDistiller(Distiller):
    """Taught by features."""

    def __init__(
        self, spec: SpeechDistillation | TextDistillation, codec: NeuralCodecSpec, *, num_outputs: int
    ) -> None:
        super().__init__(spec, codec, num_outputs=num_outputs)
        self._form, self._distance_weight = spec.form, spec.distance_weight

    def _distances(self, student: Tensor, target: Tensor) -> Tensor:
        """Return [B] of ``student`` [B, F, D] and ``target`` [B, F', D], as far as there is one."""
        compared = student[:, : target.shape[1]]
        return feature_losses(compared, target, self._form, distance_weight=self._distance_weight)


class SpeechDistiller(_FeatureDistiller):
    """Taught by features of speech."""

    def __init__(self, spec: SpeechDistillation, codec: NeuralCodecSpec) -> None:
        self._teacher = first_of(spec.teachers, FrozenFeatures.load)
        super().__init__(spec, codec, num_outputs=self._teacher.num_features)
        self._matching = spec.matching
        self.teacher_names, self.trained_on = (self._teacher.name,), self._teacher.trained_on

    def _losses(self, student: Tensor, batch: Batch) -> Tensor:
        features = self._teacher(batch.samples, self._sample_rate_hz)
        return self._distances(student, self._matched(features, student.shape[1]))

    def _matched(self, features: Tensor, num_frames: int) -> Tensor:
        """Return [B, F', D] at the codec's rate, of the frames that the teacher has something to say about."""
        rates = (self._teacher.frame_rate_hz, self._frame_rate_hz)
        num_frames = min(num_frames, num_within(features.shape[1], *rates))
        if self._matching == "nearest":
            return features[:, nearest_frames(num_frames, *rates).to(features.device)]
        return averaging(num_frames, features.shape[1], *rates).to(features.device) @ features

    def resolved(self) -> Mapping[str, tuple[str, ...]]:
        """Return the teacher."""
        return {"teachers": self.teacher_names}


class UnitDistiller(Distiller):
    """Taught by the units of a tokenizer."""

    def __init__(self, spec: UnitDistillation, codec: NeuralCodecSpec) -> None:
        self._teacher = first_of(spec.teachers, FrozenUnits.load)
        super().__init__(spec, codec, num_outputs=self._teacher.num_units)
        self.teacher_names, self.trained_on = (self._teacher.name,), self._teacher.trained_on

    def _losses(self, student: Tensor, batch: Batch) -> Tensor:
        units = self._teacher(batch.samples, self._sample_rate_hz)
        rates = (self._teacher.frame_rate_hz, self._frame_rate_hz)
        num_frames = min(student.shape[1], num_within(units.shape[1], *rates))
        target = units[:, nearest_frames(num_frames, *rates).to(units.device)]
        return cross_entropy(student[:, :num_frames].transpose(1, 2), target, reduction="none").mean(dim=1)

    def resolved(self) -> Mapping[str, tuple[str, ...]]:
        """Return the teacher."""
        return {"teachers": self.teacher_names}


class TextDistiller(_FeatureDistiller):
    """Taught by a language model that reads what is said."""

    num_taught: Tensor
    num_seen: Tensor

    def __init__(self, spec: TextDistillation, codec: NeuralCodecSpec) -> None:
        self._teacher = first_of(spec.teachers, TextReader.load)
        super().__init__(spec, codec, num_outputs=self._teacher.num_features)
        self._transcriber = _transcriber(spec)
        self.register_buffer("num_taught", torch.zeros((), dtype=torch.int64))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.int64))
        told_by = self._transcriber.name if self._transcriber else "the texts of the corpus"
        self.teacher_names = (f"{self._teacher.name} reading {told_by}",)

    def _losses(self, student: Tensor, batch: Batch) -> Tensor:
        texts = self._texts(batch)
        taught = [index for index, text in enumerate(texts) if text is not None]
        self.num_taught += len(taught)
        self.num_seen += len(texts)
        if not taught:
            return student[:0].flatten()
        read = [text for text in texts if text is not None]
        return self._distances(student[taught], self._teacher(read, student.shape[1], student.device))

    def _texts(self, batch: Batch) -> Sequence[str | None]:
        """Return what is said in each crop; None where nobody knows."""
        if self._transcriber is not None:
            return self._transcriber(batch.samples, self._sample_rate_hz)
        return [text if text and whole else None for text, whole in zip(batch.texts, batch.is_whole, strict=True)]

    def resolved(self) -> Mapping[str, tuple[str, ...]]:
        """Return the teacher and the transcriber."""
        transcribers = () if self._transcriber is None else (self._transcriber.name,)
        return {"teachers": (self._teacher.name,), "transcribers": transcribers}

    def health(self) -> Mapping[str, float]:
        """Return ``share_with_text``: of the crops, those that were taught at all."""
        share = float(self.num_taught / self.num_seen.clamp_min(1))
        for counted in (self.num_taught, self.num_seen):
            counted.zero_()
        return {"share_with_text": share}


def _transcriber(spec: TextDistillation) -> Transcriber | None:
    try:
        return first_of(spec.transcribers, Transcriber.load)
    except NothingToLoadError:
        return None


class Distillers(nn.ModuleDict):
    """All that teaches the codec of ``spec``, by name; nothing of weight 0.

    Raises :class:`SpecError` with every table none of whose teachers is there.
    """

    def __init__(self, spec: NeuralCodecSpec) -> None:
        super().__init__()
        problems = []
        for name, table in spec.distillation.items():
            try:
                if table.weight:
                    self[name] = _build(table, spec)
            except NothingToLoadError as error:
                problems.append(f"distillation.{name}.teachers: {error}")
        if problems:
            raise SpecError(spec.name, problems)

    def all(self) -> dict[str, Distiller]:
        """Return each by its name."""
        return {name: module for name, module in self.items() if isinstance(module, Distiller)}

    def forward(self, output: CodecOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the unweighted losses by name."""
        return {name: distiller(output, batch) for name, distiller in self.all().items()}

    def resolved(self, spec: NeuralCodecSpec) -> NeuralCodecSpec:
        """Return ``spec`` with the teachers that there were in the place of those that it asked for."""
        tables = {
            name: table.model_copy(update=self.all()[name].resolved())
            for name, table in spec.distillation.items()
            if table.weight
        }
        return spec.model_copy(update={"distillation": tables})

    @property
    def note(self) -> str:
        """The sentence of the card that says who taught; nothing where nobody did."""
        names = [name for distiller in self.all().values() for name in distiller.teacher_names]
        return f"Distilled from {' and '.join(names)}." if names else ""

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Corpora that the teachers saw."""
        return tuple(dict.fromkeys(name for distiller in self.all().values() for name in distiller.trained_on))

    def health(self) -> dict[str, float]:
        """Return what shows early that little is learnt, since it was last asked."""
        return {
            f"{name}_{key}": value
            for name, distiller in self.all().items()
            for key, value in distiller.health().items()
        }


def _build(table: Distillation, spec: NeuralCodecSpec) -> Distiller:
    if isinstance(table, SpeechDistillation):
        return SpeechDistiller(table, spec)
    return UnitDistiller(table, spec) if isinstance(table, UnitDistillation) else TextDistiller(table, spec)
