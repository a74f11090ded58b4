"""Cards: TOML that describes a family of codecs and its settings. One adapter, many settings, no Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from tokbench.specs.base import StrictModel, read_toml

__all__ = ["Card", "WeightsSource", "read_card"]


class WeightsSource(StrictModel):
    """Where the official weights come from, and what they must be."""

    folder: str
    """Folder under ``$TOKBENCH_HOME/weights`` in which they are looked for."""
    files: Mapping[str, str]
    """SHA-256 by file name; an empty string where the publisher's hash is not known."""
    hub: str | None = None
    """Repository on the Hugging Face hub."""
    revision: str | None = None
    """Commit of that repository."""


class Card(StrictModel):
    """A family of codecs: one adapter, its settings from the lowest bitrate to the highest, and its papers."""

    name: str
    """What ``--codec`` calls it."""
    title: str
    """Heading for people."""
    adapter: str
    """``module:Class`` of the adapter; imported only when a codec is loaded."""
    licence: str
    """SPDX name of the licence of the weights, or of the implementation where there are none."""
    source: str
    """Paper or standard, and where the implementation comes from."""
    default_setting: str
    """Setting that ``--codec NAME`` means."""
    settings: Mapping[str, Mapping[str, Any]]
    """Keyword arguments of the adapter by setting, in the order of rising bitrate."""
    arguments: Mapping[str, Any] = {}
    """Keyword arguments that all settings share."""
    trained_on: tuple[str, ...] = ()
    """Corpora that the weights saw in training: a score on one of them is flagged as contaminated."""
    requires: tuple[str, ...] = ()
    """Packages that must be installed, by the name that pip knows, ``import=name`` in front where it differs."""
    weights: WeightsSource | None = None
    """Official weights; none for a classical codec."""
    notes: str = ""
    """What a reader of a table should know."""

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default_setting not in self.settings:
            listed = ", ".join(self.settings) or "none"
            msg = f"default_setting {self.default_setting!r} is not among the settings ({listed})"
            raise ValueError(msg)
        return self


def read_card(path: Path) -> Card:
    """Read a card; raises :class:`tokbench.errors.SpecError` with every problem in it."""
    return read_toml(path, Card)
