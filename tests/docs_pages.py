"""The modules that make pages of ``docs/``, which belong to no package."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["DOCS", "imported"]

DOCS = Path(__file__).parent.parent / "docs"


def imported(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[ModuleType]:
    """Yield the module ``name`` of ``docs/``, and forget it and those that it imported from there."""
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module(name)
    for path in DOCS.glob("*.py"):
        sys.modules.pop(path.stem, None)
