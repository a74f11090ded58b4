"""Reading the configuration beside a checkpoint, as data: every value is asked for by its path and type."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tokbench.codecs.checkpoints import first_line
from tokbench.errors import WeightsError

__all__ = ["ModelConfig", "read_json", "read_yaml"]

Value = TypeVar("Value", bool, int, float, str)


class ModelConfig:
    """The values of a configuration file; a missing one, or one of another type, is a :class:`WeightsError`."""

    def __init__(self, file: Path, values: object) -> None:
        self.file = file
        self._values = values

    def value(self, path: str, kind: type[Value], default: Value | None = None) -> Value:
        """Return the value at ``path``, its keys joined by dots, or ``default`` where there is none."""
        found: Any = self._find(path, default)
        # A whole number will do for a float, but True is not a number, though it is an int.
        fits = isinstance(found, (int, float) if kind is float else kind)
        if not fits or (kind is not bool and isinstance(found, bool)):
            raise WeightsError(self.file, expected=f"{path} of type {kind.__name__}", found=repr(found))
        result: Value = kind(found)
        return result

    def integers(self, path: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return the list of integers at ``path``, or ``default`` where there is none."""
        found = self._find(path, default)
        if not isinstance(found, list | tuple) or not all(isinstance(item, int) for item in found):
            raise WeightsError(self.file, expected=f"{path} as a list of integers", found=repr(found))
        return tuple(found)

    def raw(self, path: str, default: object = None) -> Any:
        """Return whatever is at ``path``, or ``default`` where there is nothing."""
        found: Any = self._values
        for key in path.split("."):
            if not isinstance(found, Mapping) or key not in found:
                return default
            found = found[key]
        return found

    def expect(self, path: str, wanted: object, default: object = None) -> None:
        """Raise :class:`WeightsError` unless the value at ``path`` is ``wanted``."""
        if (found := self.raw(path, default)) != wanted:
            raise WeightsError(self.file, expected=f"{path} {wanted!r}", found=repr(found))

    def _find(self, path: str, default: object) -> object:
        found = self.raw(path, default)
        if found is None:
            raise WeightsError(self.file, expected=f"a value of {path}", found="none")
        return found


def read_json(file: Path) -> ModelConfig:
    """Return the values of a JSON file; raises :class:`WeightsError` for a file that is none."""
    try:
        return ModelConfig(file, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise WeightsError(file, expected="a JSON file", found=first_line(error)) from error


def read_yaml(file: Path) -> ModelConfig:
    """Return the values of a YAML file, none of its tags obeyed.

    Raises :class:`WeightsError` for a file that is none.
    """
    try:
        return ModelConfig(file, yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WeightsError(file, expected="a YAML file", found=first_line(error)) from error
