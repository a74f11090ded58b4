"""Tiny models with random weights, saved in the official format of each published codec.

One module per adapter, of the adapter's name, with a function ``write(card, folder)``: it saves what ``card`` needs
below ``folder``, each source of weights in the folder that the card names, small enough to run in milliseconds but
with the card's sample rate, strides, number of codebooks and codebook size.
"""

import importlib
from pathlib import Path

from tokbench.codecs.card import Card, WeightsSource
from tokbench.codecs.registry import CodecReference

__all__ = ["references", "write"]


def write(card: Card, folder: Path) -> None:
    """Save tiny random weights for ``card`` below ``folder``."""
    module, _, _ = card.adapter.partition(":")
    importlib.import_module(f"tiny.{module.rpartition('.')[2]}").write(card, folder)


def references(card: Card) -> list[CodecReference]:
    """Return every setting of ``card`` without the hashes of its official weights, which tiny ones do not have."""
    parts = {name: _unhashed(source) for name, source in card.parts.items()}
    weights = _unhashed(card.weights) if card.weights else None
    tiny = card.model_copy(update={"weights": weights, "parts": parts})
    return [CodecReference(tiny, setting) for setting in card.settings]


def _unhashed(source: WeightsSource) -> WeightsSource:
    return source.model_copy(
        update={
            "files": dict.fromkeys(source.files, ""),
            "by_setting": {name: dict.fromkeys(files, "") for name, files in source.by_setting.items()},
            "alternatives": tuple(dict.fromkeys(files, "") for files in source.alternatives),
        }
    )
