"""Where things lie on this machine, and how files are written so that nobody ever reads half of one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

__all__ = [
    "atomic_write",
    "cache_dir",
    "corpora_dir",
    "declarations_dir",
    "home",
    "items_dir",
    "weights_dir",
    "write_bytes",
]

_PACKAGE = Path(__file__).parent


def home() -> Path:
    """Return ``$TOKBENCH_HOME``, by default the user's cache folder for tokbench."""
    configured = os.environ.get("TOKBENCH_HOME")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("tokbench"))


def cache_dir() -> Path:
    """Return the folder of what can be made again: codes, for one."""
    return home() / "cache"


def corpora_dir() -> Path:
    """Return the folder in which built and downloaded corpora lie."""
    return home() / "corpora"


def items_dir() -> Path:
    """Return the folder in which item files of ABX are looked for."""
    return home() / "items"


def weights_dir() -> Path:
    """Return the folder in which the weights of published models are looked for."""
    return home() / "weights"


def declarations_dir(kind: str) -> Path:
    """Return the folder of the shipped TOML files of ``kind`` (``tasks`` or ``leaderboards``).

    They lie inside an installed package, and beside it in a source checkout.
    """
    installed = _PACKAGE / "_data" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path`` that replaces ``path`` when the block succeeds.

    A reader sees the old file or the whole new one; an exception, a full disk included, leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
