"""Whether a codec can be used here, and what it lacks. Nothing is loaded or downloaded to find out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokbench.codecs.card import Card
from tokbench.codecs.registry import require_installed
from tokbench.codecs.weights import locate_sources
from tokbench.errors import TokbenchError, WeightsNotFoundError

__all__ = ["State", "examine"]


@dataclass(frozen=True)
class State:
    """The state of one setting of a codec."""

    is_ready: bool
    remark: str = ""
    """Where its weights are, or what to do about what is missing."""

    def __str__(self) -> str:
        return "ready" if self.is_ready else "missing"


def examine(card: Card, *, weights: Path | None = None, verify: bool = True) -> Mapping[str, State]:
    """Return the state of every setting of ``card``.

    ``weights`` is a folder to look in, as for ``--weights``; ``verify`` compares the hashes of weights that are
    found with those of the card, which takes a while for large models.
    """
    states: dict[tuple[str, ...], State] = {}
    found = {}
    for setting in card.settings:
        own = [*(name for source in card.sources.values() for name in source.by_setting.get(setting, ()))]
        key = tuple(own)
        if key not in states:
            states[key] = _state(card, setting, weights=weights, verify=verify)
        found[setting] = states[key]
    return found


def _state(card: Card, setting: str, *, weights: Path | None, verify: bool) -> State:
    try:
        require_installed(card)
        folders = locate_sources(card, setting, override=weights, download=False, verify=verify)
    except WeightsNotFoundError as error:
        return State(is_ready=False, remark=error.wanted)
    except TokbenchError as error:
        return State(is_ready=False, remark=str(error))
    return State(is_ready=True, remark=", ".join(str(folder) for folder in folders.values()))
