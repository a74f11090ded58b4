"""Changes of a spec as they are typed: ``key=value``, the key with dots, the value as in TOML."""

import tomllib
from collections.abc import Iterable
from functools import reduce
from typing import Any

from tokbench.errors import UsageError
from tokbench.specs.scales import overlaid

__all__ = ["ChangeError", "parse_changes"]


class ChangeError(UsageError):
    """Something that is no ``key=value``."""

    def __init__(self, text: str) -> None:
        super().__init__(f"--set {text}: expected key=value, such as training.batch_size=4 or quantizer.kind=fsq")


def parse_changes(texts: Iterable[str]) -> dict[str, Any]:
    """Return tables that can be laid over a spec; what is no TOML value is a string.

    >>> parse_changes(["training.batch_size=4", "training.optimizer.betas=[0.5, 0.9]", "encoder.norm=weight"])
    {'training': {'batch_size': 4, 'optimizer': {'betas': [0.5, 0.9]}}, 'encoder': {'norm': 'weight'}}
    """
    return reduce(overlaid, map(_parsed, texts), {})


def _parsed(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ChangeError(text)
    try:
        content: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        content = value.strip()
    for part in reversed(parts):
        content = {part: content}
    return dict(content)
