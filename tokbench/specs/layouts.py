"""The orders in which a language model goes through the codes of several codebooks."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tokbench.specs.base import StrictModel

__all__ = ["CoarseFirst", "Delay", "Flatten", "Layout", "Parallel"]

Delays = tuple[Annotated[int, Field(ge=0)], ...]


class Parallel(StrictModel):
    """All codes of a frame in one step."""

    kind: Literal["parallel"] = "parallel"


class Delay(StrictModel):
    """A frame per step, in which each codebook is some frames late (MusicGen)."""

    kind: Literal["delay"]
    delays: Delays = ()
    """Steps by which each codebook is late; the last number goes for all that follow. By default 0, 1, 2 …"""

    @field_validator("delays")
    @classmethod
    def _first_leads(cls, delays: Delays) -> Delays:
        # What ends is told by the first codebook: none may be ahead of it.
        if delays and delays[0]:
            msg = f"expected 0 for the first codebook, found {list(delays)}"
            raise ValueError(msg)
        return delays


class Flatten(StrictModel):
    """One code per step, all codes of a frame after another (AudioLM)."""

    kind: Literal["flatten"]
    group: int | None = Field(default=None, gt=0)
    """Codebooks that are flattened together; each further group follows once the one before is complete (MusicLM).
    By default all of them."""


class CoarseFirst(StrictModel):
    """The first codebook of all frames, then a frame per step of all others (nearly VALL-E's order)."""

    kind: Literal["coarse-first"]
    delays: Delays = (0,)
    """Steps by which each of the others is late, as for ``delay``."""


Layout = Annotated[Parallel | Delay | Flatten | CoarseFirst, Field(discriminator="kind")]
