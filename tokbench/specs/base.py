"""Typed, frozen models of TOML files: read with every problem reported at once, and written."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from tokbench.errors import SpecError
from tokbench.paths import write_bytes

__all__ = ["StrictModel", "checked", "file_sha256", "problems", "read_table", "read_toml", "write_toml"]


class StrictModel(BaseModel):
    """A declaration: frozen, without unknown keys, each field explained by the string under it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Model = TypeVar("Model", bound=StrictModel)


def read_toml(path: Path, model: type[Model]) -> Model:
    """Read ``path`` as ``model``.

    Raises :class:`SpecError` that names the file and, for each problem, the key, what was expected and what
    was found.
    """
    return checked(path, read_table(path), model)


def read_table(path: Path) -> dict[str, Any]:
    """Return what stands in ``path``; raises :class:`SpecError` where it is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(path, ["no such file"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(path, [f"not TOML: {error}"]) from error


def checked(path: Path, content: Mapping[str, Any], model: type[Model]) -> Model:
    """Return ``content``, which stands in ``path``, as ``model``; raises :class:`SpecError` with every problem."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SpecError(path, problems(error)) from error


def write_toml(path: Path, content: StrictModel | Mapping[str, Any]) -> None:
    """Write a declaration to ``path`` atomically, without the keys that have no value."""
    values = content.model_dump(mode="json", exclude_none=True) if isinstance(content, StrictModel) else content
    write_bytes(path, tomli_w.dumps(values).encode())


def problems(error: ValidationError) -> list[str]:
    """Return one sentence per problem: the key, what was expected, what was found."""
    sentences = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "file"
        if item["type"] == "extra_forbidden":
            sentences.append(f"{key}: unknown key")
        elif item["type"] == "missing":
            sentences.append(f"{key}: missing")
        elif item["type"] == "value_error":
            sentences.append(f"{key}: {item['ctx']['error']}")
        else:
            sentences.append(f"{key}: {item['msg'].lower()}, found {item['input']!r}")
    return sentences


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
