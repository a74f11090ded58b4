"""Cards: TOML that describes a family of codecs and its settings. One adapter, many settings, no Python."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tokbench.specs.base import StrictModel, read_toml

__all__ = ["Card", "Kind", "ResidualSettings", "WeightsSource", "read_card"]


Kind = Literal["anchor", "classical codec", "neural codec", "semantic tokenizer", "continuous tokenizer"]


class WeightsSource(StrictModel):
    """Where the official weights come from, and what they must be."""

    folder: str
    """Folder under ``$TOKBENCH_HOME/weights`` in which they are looked for."""
    files: Mapping[str, str] = {}
    """SHA-256 by file name; an empty string where the publisher's hash is not known."""
    by_setting: Mapping[str, Mapping[str, str]] = {}
    """Files, likewise, that only one setting needs, such as the centroids of each number of units."""
    alternatives: tuple[Mapping[str, str], ...] = ()
    """Other sets of files that hold the same model, such as the publisher's first format."""
    hub: str | None = None
    """Repository on the Hugging Face hub."""
    revision: str | None = None
    """Commit of that repository."""
    page: str = ""
    """Where a person finds the files, for a model that is not on the hub."""

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        tables = (self.files, *self.by_setting.values(), *self.alternatives)
        for name in (self.folder, *(name for table in tables for name in table)):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                msg = f"{name!r} leads out of the folder of the weights"
                raise ValueError(msg)
        return self

    def choices(self, setting: str) -> tuple[Mapping[str, str], ...]:
        """Return every set of files that will do for ``setting``, the usual one first."""
        own = self.by_setting.get(setting, {})
        return tuple({**files, **own} for files in (self.files, *self.alternatives))


class ResidualSettings(StrictModel):
    """Residual quantization: every number of codebooks, from 1 on, is a setting called ``<number>x<size>``."""

    num_codebooks: int = Field(gt=0)
    codebook_size: int = Field(gt=1)
    frame_rate_hz: float = Field(gt=0)

    def items(self) -> Iterator[tuple[str, int]]:
        """Yield each setting's name with its number of codebooks."""
        for num_codebooks in range(1, self.num_codebooks + 1):
            yield f"{num_codebooks}x{self.codebook_size}", num_codebooks


class Card(StrictModel):
    """A family of codecs: one adapter, its settings from the lowest bitrate to the highest, and its papers."""

    name: str
    """What ``--codec`` calls it."""
    title: str
    """Heading for people."""
    kind: Kind = "neural codec"
    """What sort of tokenizer it is."""
    adapter: str
    """``module:Class`` of the adapter; imported only when a codec is loaded."""
    licence: str
    """SPDX name of the licence of the weights, or of the implementation where there are none."""
    source: str
    """Paper or standard, and where the implementation comes from."""
    default_setting: str
    """Setting that ``--codec NAME`` means."""
    settings: Mapping[str, Mapping[str, Any]] = {}
    """Keyword arguments of the adapter by setting, in the order of rising bitrate."""
    residual: ResidualSettings | None = None
    """In the place of ``settings``, for a codec of which every number of codebooks is one: ``num_codebooks``."""
    arguments: Mapping[str, Any] = {}
    """Keyword arguments that all settings share."""
    bitrate_bps: Mapping[str, float] = {}
    """Nominal bits per second by setting, where they do not follow from ``residual``; none if it varies."""
    sample_rate_hz: int | None = None
    """Sample rate of the audio that is encoded."""
    causal: bool | None = None
    """Whether no code depends on later audio than its own frame and ``latency_s``; none if unknown."""
    latency_s: float | None = None
    """Audio beyond a frame's own end that its codes need, in seconds: ``inf`` if all of it; none if unknown."""
    streaming: bool | None = None
    """Whether the publisher's implementation can encode and decode while audio is still coming in."""
    num_parameters: int | None = Field(default=None, ge=0)
    """Parameters of the published model, encoder and decoder together."""
    trained_on: tuple[str, ...] = ()
    """Corpora that the weights saw in training: a score on one of them is flagged as contaminated."""
    requires: tuple[str, ...] = ()
    """Packages that must be installed, by the name that pip knows, ``import=name`` in front where it differs."""
    libraries: Mapping[str, str] = {}
    """Shared libraries of the system that must be there: the Debian package by the name that a linker knows."""
    weights: WeightsSource | None = None
    """Official weights, handed to the adapter as ``weights``; none for a classical codec."""
    parts: Mapping[str, WeightsSource] = {}
    """Further models that it is made of, each handed to the adapter as a folder under this name."""
    notes: str = ""
    """What a reader of a table should know."""

    @model_validator(mode="after")
    def _settings_of_residual(self) -> Self:
        if self.residual is not None and not self.settings:
            rate = self.residual.frame_rate_hz * math.log2(self.residual.codebook_size)
            counts = dict(self.residual.items())
            settings = {name: {"num_codebooks": count} for name, count in counts.items()}
            object.__setattr__(self, "settings", settings)
            object.__setattr__(self, "bitrate_bps", {name: count * rate for name, count in counts.items()})
        return self

    @model_validator(mode="after")
    def _settings_exist(self) -> Self:
        listed = ", ".join(self.settings) or "none"
        if self.default_setting not in self.settings:
            msg = f"default_setting {self.default_setting!r} is not among the settings ({listed})"
            raise ValueError(msg)
        if unknown := [name for name in self.bitrate_bps if name not in self.settings]:
            msg = f"bitrate_bps names {unknown[0]!r}, which is not among the settings ({listed})"
            raise ValueError(msg)
        return self

    @property
    def packages(self) -> tuple[str, ...]:
        """What ``requires`` names, as pip knows it."""
        return tuple(requirement.rpartition("=")[2] for requirement in self.requires)

    @property
    def sources(self) -> Mapping[str, WeightsSource]:
        """Every folder of weights by the name of the adapter's argument."""
        return {**({"weights": self.weights} if self.weights else {}), **self.parts}


def read_card(path: Path) -> Card:
    """Read a card; raises :class:`tokbench.errors.SpecError` with every problem in it."""
    return read_toml(path, Card)
