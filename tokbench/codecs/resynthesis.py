"""Trained unit vocoders: units of a tokenizer, a coded melody and a coded voice, and speech of them.

What Polyak et al. 2021 (arXiv:2104.00355) set beside codecs. A hundred units at 50 Hz and twenty codes of the
melody at 12.5 Hz are 386 bits per second; the voice is sent once. Units alone are what a language model of units
writes: they are said without a melody, in a voice of the vocoder's own, as in GSLM (Lakhotia et al. 2021,
arXiv:2102.01192).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codecs.frozen import FrozenUnits, registered_units
from tokbench.codecs.trained import SPEC_FILE, load_finished
from tokbench.codes import StreamInfo
from tokbench.errors import WeightsError
from tokbench.models.unit_vocoder import Contours, UnitVocoder, pitch_contours
from tokbench.specs.base import read_toml
from tokbench.specs.unit_vocoder import UnitVocoderSpec

__all__ = ["TrainedResynthesis", "level_melody", "resolved_units"]


class TrainedResynthesis(Codec):
    """The unit vocoder in the folder ``weights``, with the tokenizer of its units, which is loaded by its name.

    With ``voice``, the codes of one, nothing but units is sent, and all is said in that voice, at one pitch.

    Raises :class:`tokbench.errors.NothingToLoadError` where that tokenizer is not there, and :class:`WeightsError`
    where it is not the one of the training, or for tensors that are not those of the spec beside them.
    """

    def __init__(self, *, weights: Path, voice: Sequence[int] = ()) -> None:
        spec = read_toml(weights / SPEC_FILE, UnitVocoderSpec)
        self._units, found = resolved_units(spec)
        if found != spec:
            expected = f"{spec.num_units} units of {spec.units[0]}, as in training"
            raise WeightsError(weights / SPEC_FILE, expected=expected, found="other files of that name")
        network = UnitVocoder(spec)
        self.model = load_finished(network, weights, unneeded=network.training_only())
        self._own = [level_melody(self.model), torch.tensor(voice)[:, None]] if voice else []
        rate_hz = spec.sample_rate_hz
        streams = (
            StreamInfo(1, self._units.num_units, rate_hz / spec.unit_length, "units"),
            StreamInfo(1, spec.melody.quantizer.codebook_size, rate_hz / spec.melody_length, "melody"),
            StreamInfo(spec.voice.num_codebooks, math.prod(spec.voice.levels), None, "voice"),
        )
        self.info = TokenizerInfo(
            sample_rate_hz=rate_hz,
            streams=streams[:1] if self._own else streams,
            causal=False,
            latency_s=math.inf,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters())
            + self._units.tokenizer.info.num_parameters,
        )

    def _encode(self, samples: Tensor) -> list[Tensor]:
        spec, audio = self.model.spec, samples[None]
        units = self._units(audio, spec.sample_rate_hz)
        if self._own:
            return [units]
        contours = pitch_contours(audio, spec.sample_rate_hz, spec.melody)
        return [units, self.model.melody_codes(contours), self.model.voice_codes(audio, contours).T]

    def _decode(self, streams: list[Tensor]) -> Tensor:
        units, melody, voice = [*streams, *(codes.to(self.device) for codes in self._own)]
        samples: Tensor = self.model(units, melody, self.model.decoded_voice(voice.T))[0]
        return samples


@torch.no_grad()
def level_melody(vocoder: UnitVocoder) -> Tensor:
    """Return the code [1, 1] of a melody that stays at the middle of a voice; it stands for any number of units."""
    flat = torch.zeros(1, 1, 2**vocoder.spec.melody.num_halvings)
    return vocoder.melody_codes(Contours(flat, torch.zeros(1, 1)))


def resolved_units(spec: UnitVocoderSpec) -> tuple[FrozenUnits, UnitVocoderSpec]:
    """Return the first tokenizer of ``spec.units`` that is there, and ``spec`` with what it is.

    Raises :class:`tokbench.errors.NothingToLoadError` where none is, and :class:`WeightsError` for units of another
    length than the generator's.
    """
    units = registered_units(spec.units)
    wanted_hz = spec.sample_rate_hz / spec.unit_length
    if not math.isclose(units.frame_rate_hz, wanted_hz):
        raise WeightsError(
            Path(units.name), expected=f"units at {wanted_hz:g} Hz", found=f"{units.frame_rate_hz:g} Hz"
        )
    resolved = {"units": (units.name,), "num_units": units.num_units, "units_sha256": units.sha256}
    return units, spec.model_copy(update=resolved)
