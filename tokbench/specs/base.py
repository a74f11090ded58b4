"""Reading a TOML file into a typed, frozen model, with every problem reported at once."""

import hashlib
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tokbench.errors import SpecError

__all__ = ["StrictModel", "file_sha256", "problems", "read_toml"]


class StrictModel(BaseModel):
    """A declaration: frozen, without unknown keys, each field explained by the string under it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Model = TypeVar("Model", bound=StrictModel)


def read_toml(path: Path, model: type[Model]) -> Model:
    """Read ``path`` as ``model``.

    Raises :class:`SpecError` that names the file and, for each problem, the key, what was expected and what
    was found.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(path, ["no such file"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(path, [f"not TOML: {error}"]) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SpecError(path, problems(error)) from error


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
