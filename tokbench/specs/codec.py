"""The shipped specs of codecs, by name."""

from collections.abc import Mapping
from pathlib import Path

from tokbench.errors import UnknownNameError
from tokbench.specs.base import read_toml
from tokbench.specs.spectrogram_kmeans import SpectrogramKmeansSpec

__all__ = ["find_spec", "list_specs"]

_SPECS = Path(__file__).parent / "codecs"


def list_specs() -> Mapping[str, str]:
    """Return every shipped spec by name, with what it is and the scales it can be trained at."""
    specs = {path.stem: read_toml(path, SpectrogramKmeansSpec) for path in sorted(_SPECS.glob("*.toml"))}
    return {name: f"{spec.kind}, scales {', '.join(spec.scales)}" for name, spec in specs.items()}


def find_spec(name: str) -> tuple[SpectrogramKmeansSpec, Path]:
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
    return read_toml(path, SpectrogramKmeansSpec), path
