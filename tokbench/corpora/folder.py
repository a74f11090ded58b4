"""A corpus made of the audio files below a folder, without any list of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from tokbench.corpora.base import Corpus, Utterance
from tokbench.corpora.inventory import Inventory
from tokbench.corpora.reference import CorpusReference, corpus_name
from tokbench.errors import CorpusError
from tokbench.records import EXAMPLES_SUFFIX

__all__ = ["AUDIO_SUFFIXES", "FolderCorpus", "open_folder"]

AUDIO_SUFFIXES = frozenset(
    [".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".sph", ".w64", ".wav"]
)
"""Suffixes, in any case, of the formats that libsndfile reads and people keep recordings in."""


def open_folder(reference: CorpusReference) -> "FolderCorpus":
    """Open ``folder:DIR``; named after the folder."""
    reference.require_only(())
    path = reference.path()
    return FolderCorpus(path, name=corpus_name(path.resolve().name or "root", {}))


class FolderCorpus(Corpus):
    """Every audio file below ``path``, sorted folder by folder; the folder of a nested file is its speaker.

    Links to folders are followed, each folder once. What ``tokbench`` keeps to listen to, beside records and pages,
    is no part of any corpus. Raises :class:`CorpusError` if there is no such folder, or no
    audio in it, for a folder that cannot be read, and for a name that is not in UTF-8.
    """

    def __init__(self, path: Path, *, name: str) -> None:
        self.path = path
        self.name = name
        self.reference = f"folder:{path.resolve().name}"
        if not path.is_dir():
            msg = f"{path}: {'not a folder' if path.exists() else 'no such folder'}"
            raise CorpusError(msg)
        self._inventory = Inventory()
        for utterance in self:
            self._inventory.add(utterance, utterance.path.stat().st_size)
        if len(self) == 0:
            msg = f"{path}: no audio files below this folder ({', '.join(sorted(AUDIO_SUFFIXES))})"
            raise CorpusError(msg)

    def __iter__(self) -> Iterator[Utterance]:
        for folder, names in self._folders():
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix.lower() in AUDIO_SUFFIXES and not name.startswith(".") and path.is_file():
                    yield self._utterance(path)

    def __len__(self) -> int:
        return self._inventory.num_utterances

    @property
    def sha256(self) -> str:
        """Hash over the names and sizes of the files."""
        return self._inventory.sha256

    def _folders(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder with the names of the files in it."""
        visited: set[tuple[int, int]] = set()
        for folder, subfolders, names in os.walk(self.path, onerror=_raise_unreadable, followlinks=True):
            status = Path(folder).stat()
            # A link to a folder above would lead round and round.
            if (status.st_dev, status.st_ino) in visited:
                subfolders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            subfolders[:] = sorted(each for each in subfolders if not _is_own(Path(folder, each)))
            yield folder, names

    def _utterance(self, path: Path) -> Utterance:
        relative = path.relative_to(self.path)
        try:
            relative.as_posix().encode()
        except UnicodeEncodeError as error:
            raise CorpusError(f"{str(path)!a}: its name is not in UTF-8, rename it") from error
        # The suffix stays: a.wav and a.flac in one folder are two utterances.
        return Utterance(id=relative.as_posix(), path=path, speaker=relative.parent.name)


def _is_own(folder: Path) -> bool:
    """Say whether ``folder`` holds sounds of records or of a leaderboard's page."""
    return folder.suffix == EXAMPLES_SUFFIX or (folder.suffix == ".audio" and folder.with_suffix(".html").is_file())


def _raise_unreadable(error: OSError) -> None:
    raise CorpusError(f"{error.filename}: cannot be read: {error.strerror}") from error
