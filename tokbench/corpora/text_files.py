"""Text files of corpora: opened in one place, so that one that cannot be read is a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tokbench.errors import CorpusError

__all__ = ["opened", "words_in"]


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a file of UTF-8 text, with or without a byte order mark, its line ends as they are.

    Raises :class:`CorpusError`, while it is read too, for a file that is missing, cannot be read, or is not UTF-8.
    """
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError as error:
        raise CorpusError(f"{path}: no such file") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from error
    with file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path}: not UTF-8; save the file with that encoding") from error


def words_in(path: Path) -> list[str]:
    """Return what white space parts in a file; raises as :func:`opened`."""
    with opened(path) as file:
        return file.read().split()
