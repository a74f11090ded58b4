"""Code that a user brings along: a file, what it may import from beside it, and what of that decides what it does.

A file imports the modules and packages of its folder as a script does, but after all that is installed, so that a
name means there what it means everywhere else. One folder at a time: of two codecs that each have a ``model.py``,
each gets its own.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from tokbench.errors import UsageError

__all__ = ["USER_MODULE", "files_of", "import_file"]

USER_MODULE = "tokbench_user_"
"""Begins the name of the module that a user's file becomes."""


class _Neighbours(MetaPathFinder):
    """Finds what lies beside the user's file that was asked for last, where nothing else finds it."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._names: set[str] = set()
        """Modules and packages that were found in the folder."""
        self._aside: dict[Path, dict[str, ModuleType]] = {}
        """What was imported from other folders, and is not to be found from this one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the module ``fullname`` is; what is within a package is left to others."""
        if path is not None or self._folder is None:
            return None
        spec = PathFinder.find_spec(fullname, [str(self._folder)], target)
        if spec is not None:
            self._names.add(fullname)
        return spec

    def look_in(self, folder: Path) -> None:
        """Find modules in ``folder`` from now on, and put those of the folder before it aside."""
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        if folder == self._folder:
            return
        importlib.invalidate_caches()
        imported = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in self._names}
        for name in imported:
            del sys.modules[name]
        if self._folder is not None:
            self._aside[self._folder] = imported
        self._folder = folder
        own = self._aside.pop(folder, {})
        self._names = {name.partition(".")[0] for name in own}
        sys.modules.update(own)


_NEIGHBOURS = _Neighbours()


def import_file(path: str) -> ModuleType:
    """Return the module in the file ``path``, imported once.

    Raises :class:`UsageError` for a file that is not there or not Python, and whatever the file raises.
    """
    file = Path(path).resolve()
    if not file.is_file():
        msg = f"{path}: no such file"
        raise UsageError(msg)
    _NEIGHBOURS.look_in(file.parent)
    return _imported(file)


@functools.cache
def _imported(file: Path) -> ModuleType:
    name = f"{USER_MODULE}{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        msg = f"{file}: not a Python file"
        raise UsageError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def files_of(file: Path) -> set[Path]:
    """Return ``file``, which was imported last, with what it takes from its folder and from below.

    These are the modules that it imports, and those import; all Python files of packages; and each file that a
    string of the code is the path of, from the folder of the code or from a folder there that another string names.
    """
    pending, code, data = [file], set[Path](), set[Path]()
    while pending:
        current = pending.pop()
        if current in code:
            continue
        code.add(current)
        tree = _tree(current)
        pending += [path for name in _names(tree) for path in _beside(name, file.parent)]
        data.update(_data(tree, current.parent))
    return code | data


def _tree(file: Path) -> ast.AST:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # a package may hold what is never imported, or is compiled
        return ast.Module([], [])


def _names(tree: ast.AST) -> set[str]:
    """Return the modules and packages that are imported anywhere in a file, without what is within packages."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def _beside(name: str, folder: Path) -> Iterator[Path]:
    """Yield the files of a module or package that lies in ``folder`` or below it."""
    try:
        spec = None if name == "tokbench" else importlib.util.find_spec(name)
    except ValueError:  # a module that was made without one
        return
    if spec is None:
        return
    places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    for place in places:
        # An environment may lie below the folder of a user's file.
        if place.is_relative_to(folder) and "site-packages" not in place.parts:
            yield from (sorted(place.rglob("*.py")) if place.is_dir() else [place])


def _data(tree: ast.AST, folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder`` that strings are the paths of; most strings are the path of nothing."""
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    strings = {text for text in constants if isinstance(text, str) and text}
    is_folder, is_file = os.path.isdir, os.path.isfile  # Path's own raise for what cannot be a path
    for place in (folder, *(folder / text for text in strings if is_folder(folder / text))):
        yield from (place / text for text in strings if is_file(place / text))
