"""Trained codecs with semantic units beside their own codes; see :mod:`tokbench.models.semantic`.

Axes: ``B`` batch, ``T`` samples, ``F`` frames.
"""

import dataclasses
import math
from pathlib import Path

from torch import Tensor

from tokbench.codecs.frozen import registered_units
from tokbench.codecs.trained import SPEC_FILE, TrainedCodec
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.frame_rates import nearest_frames
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.semantic import Semantic

__all__ = ["SemanticCodec", "UnitSource"]


class UnitSource:
    """The tokenizer of the units that ``semantic`` names, asked for units at the rate of the codec's frames.

    Raises :class:`tokbench.errors.NothingToLoadError` where none of them is there.
    """

    def __init__(self, semantic: Semantic) -> None:
        self._units = registered_units(semantic.units)
        self.num_units, self.name, self.trained_on = self._units.num_units, self._units.name, self._units.trained_on
        resolved = {"units": (self.name,), "num_units": self.num_units, "sha256": self._units.sha256}
        self.semantic = semantic.model_copy(update=resolved)
        """As it was declared, with the one tokenizer that there is."""

    def __call__(self, samples: Tensor, codec: NeuralCodecSpec) -> Tensor:
        """Return int64 [B, F] of ``samples`` [B, 1, T]: of each frame of ``codec`` the unit nearest in time.

        There is one frame more than there are hops, for encoders that round up; a codec takes as many as it needs.
        """
        units = self._units(samples, codec.sample_rate_hz)
        num_frames = math.ceil(samples.shape[2] / codec.hop_length) + 1
        nearest = nearest_frames(num_frames, self._units.frame_rate_hz, codec.frame_rate_hz)
        return units[:, nearest.clamp_max(units.shape[1] - 1).to(units.device)]


class SemanticCodec(TrainedCodec):
    """A stream of units, then ``num_codebooks`` of the codec in the folder ``weights``.

    The units' own tokenizer is loaded by its name. Raises what :class:`TrainedCodec` and :class:`UnitSource` raise,
    and :class:`tokbench.errors.WeightsError` where that tokenizer is not the one of the training.
    """

    def __init__(self, *, num_codebooks: int, weights: Path) -> None:
        super().__init__(num_codebooks=num_codebooks, weights=weights)
        spec = self.model.spec
        if spec.semantic is None:
            raise WeightsError(weights / SPEC_FILE, expected="a table semantic", found="none")
        self._source = UnitSource(spec.semantic)
        if self._source.semantic != spec.semantic:
            expected = f"{spec.semantic.num_units} units of {spec.semantic.units[0]}, as in training"
            raise WeightsError(weights / SPEC_FILE, expected=expected, found="other files of that name")
        units = StreamInfo(1, self._source.num_units, spec.frame_rate_hz)
        # A unit may depend on all of the audio: no piece of it has the codes of the whole.
        self.context = None
        self.info = dataclasses.replace(
            self.info, streams=(units, *self.info.streams), causal=False, latency_s=math.inf
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        units = self._source(samples[None], self.model.spec)
        codes = self.model.encode(samples[None], self._num_codebooks, units=units)
        return [units[:, : codes.shape[2]], codes[0], *self._loudness_sent(samples)]

    @property
    def num_separable_codebooks(self) -> int:
        """Those beside the units, which are always decoded."""
        return self.info.streams[1].num_codebooks

    def _decode_chosen(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        units, codes, *sent = streams
        return self._made_loud(self.model.decode(codes[None], codebooks, units=units)[0], sent)

    def _quantized(self, streams: list[Tensor], codebooks: slice) -> Tensor:
        return super()._quantized(streams[1:], codebooks)
