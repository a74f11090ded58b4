"""From a file to a spec at one of its scales, with every problem reported at once."""

import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from tokbench.errors import SpecError, UnknownNameError
from tokbench.specs.augmentation import Augmentation
from tokbench.specs.base import StrictModel, checked, problems, read_table
from tokbench.specs.training import Training

__all__ = [
    "FULL_SCALE",
    "SCALES",
    "Contradiction",
    "ScaledSpec",
    "overlaid",
    "read_bases",
    "read_content",
    "resolve",
    "validate",
]

FULL_SCALE = "paper"
SCALES = ("tiny", "small", FULL_SCALE)
_RECIPES = Path(__file__).parent / "recipes"
_SHIPPED = (Path(__file__).parent / "codecs", Path(__file__).parent / "lms")

Model = TypeVar("Model", bound=StrictModel)
Contradiction = Callable[..., str | None]
"""A check across keys, those that its parameters are named after; returns a sentence or None."""


class ScaledSpec(StrictModel):
    """What every spec has that is trained by gradients, of whatever kind.

    As it stands in its file, it is the published design, scale ``paper``. A smaller scale changes what the recipe
    of that scale (``specs/recipes``) says, for all of a kind alike, and then what the spec's own
    ``[scales.<scale>]`` says. A file with a key ``base`` says only in what it differs from the spec of that name.
    """

    name: str
    """What the trained model is called, unless it is trained into a folder of another name."""
    kind: str
    """How it is built and trained."""
    title: str
    """Heading for people."""
    source: str
    """The paper of the design."""
    sample_rate_hz: int = Field(gt=0)
    """Rate of the audio."""
    training: Training
    """How long, on how much at a time, how fast."""
    augmentation: Augmentation = Augmentation()
    """What is done to the audio before it is learnt from."""
    scale: str = FULL_SCALE
    """Scale that this file stands at: one that was written by training stands at that scale already."""
    scales: Mapping[str, Mapping[str, Any]] = {}
    """What each smaller scale changes, table by table; a table with another ``kind`` replaces the whole."""


Scaled = TypeVar("Scaled", bound=ScaledSpec)


def overlaid(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``change``, table by table.

    A table of another ``kind`` replaces the whole, and ``false`` in the place of a table removes it.

    >>> overlaid({"a": {"kind": "x", "b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}})
    {'a': {'kind': 'x', 'b': 4, 'c': 2}, 'd': 3}
    >>> overlaid({"a": {"kind": "x", "b": 1}}, {"a": {"kind": "y"}})
    {'a': {'kind': 'y'}}
    >>> overlaid({"a": {"b": 1}, "c": 2}, {"a": False})
    {'c': 2}
    """
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("kind") in {None, old.get("kind")}:
            merged[key] = overlaid(old, value)
        elif isinstance(old, Mapping) and value is False:
            del merged[key]
        else:
            merged[key] = value
    return merged


def resolve(
    path: Path,
    model: type[Scaled],
    contradictions: tuple[Contradiction, ...] = (),
    *,
    scale: str = FULL_SCALE,
    changes: Mapping[str, Any] | None = None,
) -> Scaled:
    """Return the spec in ``path`` at ``scale``, with ``changes`` laid over it.

    Raises :class:`SpecError` with every problem: unknown and missing keys, wrong values, and contradictions between
    keys; and :class:`UnknownNameError` for a scale that there is not.
    """
    content = read_content(path)
    if scale not in SCALES:
        raise UnknownNameError(f"scale of {path.stem}", scale, SCALES, command="tokbench list specs")
    found = list(_unknown_scales(content))
    content = overlaid(_at_scale(path, content, scale), changes or {})
    found += _problems(content, model, contradictions)
    if found:
        raise SpecError(path, found)
    return model.model_validate(content)


def validate(path: Path, model: type[Model], changes: Mapping[str, Any]) -> Model:
    """Return the spec in ``path``, which holds all of its scales, with ``changes`` laid over it.

    Raises :class:`SpecError` with every problem.
    """
    return checked(path, overlaid(read_content(path), changes), model)


def read_content(path: Path) -> dict[str, Any]:
    """Return what stands in a TOML file, over what stands in the spec that its key ``base`` names.

    That is a spec beside it, or else a shipped one. Raises :class:`SpecError`.
    """
    return reduce(overlaid, [content for _, content in read_bases(path, _SHIPPED, noun="spec")])


def read_bases(path: Path, shipped: Sequence[Path], noun: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return what stands in ``path`` and in the files that it is based on by their key ``base``, those first.

    A base is a file beside the one that names it, or else one in the folders ``shipped``. Raises
    :class:`SpecError`, in whose sentence ``noun`` is what such files hold.
    """
    content = read_table(path)
    base = content.pop("base", None)
    if base is None:
        return [(path, content)]
    for candidate in (path.parent / f"{base}.toml", *(folder / f"{base}.toml" for folder in shipped)):
        if candidate.is_file() and candidate.resolve() != path.resolve():
            return [*read_bases(candidate, shipped, noun), (path, content)]
    raise SpecError(path, [f"base: no other {noun} named {base!r}, neither beside it nor shipped"])


def _unknown_scales(content: Mapping[str, Any]) -> Iterator[str]:
    smaller = sorted(set(SCALES) - {FULL_SCALE})
    own = content.get("scales", {})
    for name in own if isinstance(own, Mapping) else ():
        if name not in smaller:
            yield f"scales.{name}: expected {' or '.join(smaller)}"


def _at_scale(path: Path, content: Mapping[str, Any], scale: str) -> dict[str, Any]:
    own = content.get("scales", {})
    base = {key: value for key, value in content.items() if key != "scales"} | {"scale": scale}
    stands_at = content.get("scale", FULL_SCALE)
    if stands_at == scale:
        return base
    if stands_at != FULL_SCALE:
        raise SpecError(
            path, [f"scale: stands at {stands_at!r} already, no basis for {scale!r}; ask for --scale {stands_at}"]
        )
    changes = [own.get(scale, {})] if isinstance(own, Mapping) else []
    recipe = _RECIPES / f"{content.get('kind')}.{scale}.toml"
    if recipe.is_file():
        changes.insert(0, tomllib.loads(recipe.read_text(encoding="utf-8")))
    return reduce(overlaid, changes, base)


def _problems(
    content: Mapping[str, Any], model: type[StrictModel], contradictions: tuple[Contradiction, ...]
) -> Iterator[str]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        yield from problems(error)
    valid = dict(_valid_fields(content, model))
    for check in contradictions:
        names = list(inspect.signature(check).parameters)
        if all(name in valid for name in names) and (sentence := check(*(valid[name] for name in names))):
            yield sentence


def _valid_fields(content: Mapping[str, Any], model: type[StrictModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if name not in content:
            if not field.is_required():
                yield name, field.get_default(call_default_factory=True)
            continue
        try:
            yield name, TypeAdapter(field.rebuild_annotation()).validate_python(content[name])
        except ValidationError:
            continue
