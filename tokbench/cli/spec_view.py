"""A spec as it is shown: each key by the name that ``--set`` takes, with what a scale makes of it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokbench.specs.codec import CodecSpec, find_spec, read_spec
from tokbench.specs.scales import FULL_SCALE, ScaledSpec, read_content

__all__ = ["head_comment", "view"]


def view(name: str, scale: str) -> tuple[CodecSpec, list[str], list[tuple[str, ...]]]:
    """Return the spec called ``name`` at ``scale``, and the columns and rows of a table of its keys.

    Beside a smaller scale stands what the published design has where it differs. Raises
    :class:`tokbench.errors.UnknownNameError` or :class:`tokbench.errors.SpecError`.
    """
    spec, path = find_spec(name, scale)
    values = dict(_flat(spec))
    if not isinstance(spec, ScaledSpec):
        return spec, ["key", "value"], [*values.items()]
    if read_content(path).get("scale", FULL_SCALE) == scale:
        return spec, ["key", scale], [*values.items()]
    full = dict(_flat(read_spec(path)))
    rows: list[tuple[str, ...]] = [
        (key, values.get(key, ""), full.get(key, "") if full.get(key) != values.get(key) else "")
        for key in dict.fromkeys([*values, *full])
        if key != "scale"
    ]
    return spec, ["key", scale, FULL_SCALE], rows


def _flat(spec: CodecSpec) -> Iterator[tuple[str, str]]:
    return _leaves(spec.model_dump(mode="json", exclude_none=True))


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _inline(value)


def _inline(value: Any) -> str:
    """Return ``value`` as it is written in TOML, in a line.

    >>> _inline([{"kind": "wave", "weight": 0.1}, True])
    '[{ kind = "wave", weight = 0.1 }, true]'
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def head_comment(path: Path) -> str:
    """Return the first sentence of the comment at the head of a TOML file: what is particular about it."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    sentence, _, _ = " ".join(lines).partition(". ")
    return sentence.rstrip(".")
