"""The shipped specs of codecs, by name."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from tokbench.errors import SpecError, UnknownNameError
from tokbench.specs.base import read_toml
from tokbench.specs.spectrogram_kmeans import SpectrogramKmeansSpec
from tokbench.specs.unit_kmeans import UnitKmeansSpec

__all__ = ["CodecSpec", "find_spec", "list_specs", "read_spec"]

_SPECS = Path(__file__).parent / "codecs"

CodecSpec = SpectrogramKmeansSpec | UnitKmeansSpec
_KINDS: Mapping[str, type[CodecSpec]] = {
    "spectrogram-kmeans": SpectrogramKmeansSpec,
    "unit-kmeans": UnitKmeansSpec,
}


def list_specs() -> Mapping[str, str]:
    """Return every shipped spec by name, with what it is and the scales it can be trained at."""
    specs = {path.stem: read_spec(path) for path in sorted(_SPECS.glob("*.toml"))}
    return {name: f"{spec.kind}, scales {', '.join(spec.scales)}" for name, spec in specs.items()}


def find_spec(name: str) -> tuple[CodecSpec, Path]:
    """Return the spec called ``name``, or the one in the TOML file that ``name`` is the path of, and its path.

    Raises :class:`UnknownNameError` or :class:`tokbench.errors.SpecError`.
    """
    if name.endswith(".toml"):
        path = Path(name)
    else:
        shipped = {path.stem: path for path in _SPECS.glob("*.toml")}
        if name not in shipped:
            raise UnknownNameError("spec", name, shipped, command="tokbench list specs")
        path = shipped[name]
    return read_spec(path), path


def read_spec(path: Path) -> CodecSpec:
    """Read a spec of any kind; raises :class:`tokbench.errors.SpecError` with every problem in it."""
    try:
        kind = tomllib.loads(path.read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError):
        kind = None  # reading it below says what is wrong
    if kind is not None and kind not in _KINDS:
        raise SpecError(path, [f"kind: expected {' or '.join(map(repr, _KINDS))}, found {kind!r}"])
    return read_toml(path, _KINDS.get(kind or "", SpectrogramKmeansSpec))
