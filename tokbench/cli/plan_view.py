"""What `tokbench run --plan` prints: the cells, and what is known to keep them from running."""

import importlib
import os
from typing import TYPE_CHECKING

from tokbench.cli.terminal import print_table
from tokbench.codecs.weights import locate_sources
from tokbench.errors import TokbenchError
from tokbench.runners.registry import make_runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokbench.run.plan import Cell

__all__ = ["print_plan"]


def print_plan(cells: "Sequence[Cell]") -> None:
    """Print a row per cell."""
    rows = [
        (cell.spec.codec.label, cell.spec.task.id, cell.corpus.name, str(cell.num_utterances), _obstacle(cell))
        for cell in cells
    ]
    print_table(
        rows,
        columns=("codec", "task", "corpus", "utterances", "will not run because"),
        names=("codec", "task"),
        numeric=("utterances",),
        optional=("utterances", "corpus"),
    )


def _obstacle(cell: "Cell") -> str:
    """Return why a cell will not be measured, as far as that is known before its codec is loaded."""
    return cell.skip_reason or _of_kind(cell) or _of_weights(cell)


def _of_kind(cell: "Cell") -> str:
    """Return what the task asks for and a shipped codec does not have.

    Only the class of the adapter knows whether there is a decoder; it is imported for what may have none.
    """
    card, runner = cell.spec.codec.card, make_runner(cell.spec.task)
    if runner.needs_codes and card.kind == "continuous tokenizer":
        return f"{card.name} has no codes"
    if not runner.needs_decoder or card.kind not in {"semantic tokenizer", "continuous tokenizer"}:
        return ""
    from tokbench.codecs.base import Codec

    module, _, name = card.adapter.rpartition(":")
    if not module.startswith("tokbench."):
        return ""
    is_codec = issubclass(getattr(importlib.import_module(module), name), Codec)
    return "" if is_codec else f"{card.name} only encodes"


def _of_weights(cell: "Cell") -> str:
    """Return what to download for a codec whose weights are not here."""
    codec, weights = cell.spec.codec, cell.spec.weights
    try:
        locate_sources(codec.card, codec.setting, override=codec.folder or weights, download=False, verify=False)
    except TokbenchError as error:
        has_hub = any(source.hub for source in codec.card.sources.values())
        is_asked = has_hub and weights is None and not os.environ.get("HF_HUB_OFFLINE")
        return f"{error}{' A run asks the hub for them first.' if is_asked else ''}"
    return ""
