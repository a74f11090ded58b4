"""The shipped specs of codecs and of language models, by name."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokbench.errors import SpecError, UnknownNameError
from tokbench.specs import lm_checks, neural_codec, speech_encoder, text_encoder, unit_vocoder
from tokbench.specs.lm import LmSpec
from tokbench.specs.neural_codec import NeuralCodecSpec
from tokbench.specs.scales import FULL_SCALE, SCALES, Contradiction, ScaledSpec, read_content, resolve, validate
from tokbench.specs.spectrogram_kmeans import SpectrogramKmeansSpec
from tokbench.specs.speech_encoder import SpeechEncoderSpec
from tokbench.specs.spin import SpinSpec
from tokbench.specs.text_encoder import TextEncoderSpec
from tokbench.specs.unit_kmeans import UnitKmeansSpec
from tokbench.specs.unit_vocoder import UnitVocoderSpec

__all__ = ["CodecSpec", "KmeansSpec", "find_spec", "list_lms", "list_specs", "read_spec", "scales_of"]

_SPECS = Path(__file__).parent / "codecs"
_LMS = Path(__file__).parent / "lms"

KmeansSpec = SpectrogramKmeansSpec | UnitKmeansSpec
CodecSpec = KmeansSpec | ScaledSpec

_KMEANS: Mapping[str, type[KmeansSpec]] = {
    "spectrogram-kmeans": SpectrogramKmeansSpec,
    "unit-kmeans": UnitKmeansSpec,
}
_SCALED: Mapping[str, tuple[type[ScaledSpec], tuple[Contradiction, ...]]] = {
    "language-model": (LmSpec, lm_checks.CONTRADICTIONS),
    "neural-codec": (NeuralCodecSpec, neural_codec.CONTRADICTIONS),
    "speech-encoder": (SpeechEncoderSpec, speech_encoder.CONTRADICTIONS),
    "spin": (SpinSpec, ()),
    "text-encoder": (TextEncoderSpec, text_encoder.CONTRADICTIONS),
    "unit-vocoder": (UnitVocoderSpec, unit_vocoder.CONTRADICTIONS),
}
"""What is trained by gradients: the model of a kind, and the checks across its keys."""


def list_specs() -> Mapping[str, CodecSpec]:
    """Return every shipped spec of a codec, or of what one is made with, by name, as published."""
    return {path.stem: read_spec(path) for path in sorted(_SPECS.glob("*.toml"))}


def list_lms() -> Mapping[str, LmSpec]:
    """Return every shipped spec of a language model by name, as published."""
    specs = {path.stem: read_spec(path) for path in sorted(_LMS.glob("*.toml"))}
    return {name: spec for name, spec in specs.items() if isinstance(spec, LmSpec)}


def scales_of(spec: CodecSpec) -> Iterable[str]:
    """Return the scales that ``spec`` can be trained at."""
    return SCALES if isinstance(spec, ScaledSpec) else spec.scales


def find_spec(
    name: str, scale: str = FULL_SCALE, *, changes: Mapping[str, Any] | None = None
) -> tuple[CodecSpec, Path]:
    """Return the spec called ``name``, or the one in the TOML file that ``name`` is the path of, and its path.

    A spec of networks is returned as it is at ``scale``; one of k-means holds all of its scales. ``changes`` are
    laid over it last, table by table.

    Raises :class:`UnknownNameError` or :class:`tokbench.errors.SpecError`.
    """
    if name.endswith(".toml"):
        path = Path(name)
    else:
        shipped = {path.stem: path for folder in (_SPECS, _LMS) for path in folder.glob("*.toml")}
        if name not in shipped:
            raise UnknownNameError("spec", name, shipped, command="tokbench list specs")
        path = shipped[name]
    return read_spec(path, scale, changes=changes), path


def read_spec(path: Path, scale: str = FULL_SCALE, *, changes: Mapping[str, Any] | None = None) -> CodecSpec:
    """Read a spec of any kind; raises :class:`tokbench.errors.SpecError` with every problem in it."""
    kind = str(read_content(path).get("kind", ""))
    if kind in _KMEANS:
        return validate(path, _KMEANS[kind], changes or {})
    if kind in _SCALED:
        return resolve(path, *_SCALED[kind], scale=scale, changes=changes or {})
    known = " or ".join(map(repr, [*_KMEANS, *_SCALED]))
    raise SpecError(path, ["kind: missing" if not kind else f"kind: expected {known}, found {kind!r}"])
