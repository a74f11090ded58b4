"""LibriSpeech as openslr.org ships it: ``LibriSpeech/<split>/<speaker>/<chapter>/<utterance>.flac``.

Panayotov, Chen, Povey, Khudanpur: LibriSpeech: an ASR corpus based on public domain audio books, ICASSP 2015.
The transcripts lie beside the audio in ``<speaker>-<chapter>.trans.txt``: an utterance's id, a space, its text.
"""

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokbench.corpora.base import Corpus, Utterance
from tokbench.corpora.inventory import Inventory, Problems
from tokbench.corpora.reference import CorpusReference, corpus_name
from tokbench.corpora.text_files import opened
from tokbench.errors import CorpusError, UnknownNameError
from tokbench.paths import corpora_dir

__all__ = ["FOLDER", "SPLITS", "LibriSpeechCorpus", "open_librispeech"]

FOLDER = "LibriSpeech"
SPLITS = (
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
)


def open_librispeech(reference: CorpusReference) -> "LibriSpeechCorpus":
    """Open ``librispeech:ROOT?split=SPLIT|SPLIT&download=true``.

    ROOT holds the folder ``LibriSpeech`` (or is it, by whatever name) and is tokbench's folder of corpora if left
    out; the split is ``test-clean`` if left out.

    Raises :class:`CorpusError` with the way to get it for a split that is not there.
    """
    reference.require_only(("split", "download"))
    splits = reference.filters.get("split", ("test-clean",))
    for split in splits:
        if split not in SPLITS:
            raise UnknownNameError("split of librispeech", split, SPLITS, command="tokbench list corpora")
    root = _find(reference.path() if reference.location else corpora_dir(), splits)
    if reference.filters.get("download") == ("true",):
        for split in splits:
            _download(root, split)
    return LibriSpeechCorpus(root, splits=splits)


class LibriSpeechCorpus(Corpus):
    """Some splits of LibriSpeech; ``root`` is the folder that holds the splits."""

    licence = "CC BY 4.0"

    def __init__(self, root: Path, *, splits: Sequence[str]) -> None:
        self.root = root
        self.splits = tuple(splits)
        self.name = corpus_name("librispeech", {"split": self.splits})
        self.reference = f"librispeech?split={'|'.join(splits)}"
        for split in splits:
            if not (root / split).is_dir():
                raise _absent(root, split)
        self._inventory = Inventory()
        problems = Problems()
        for utterance in self:
            if utterance.path.is_file():
                self._inventory.add(utterance, utterance.path.stat().st_size)
            else:
                problems.add(f"no such file: {utterance.path.relative_to(root)}")
        problems.raise_any(root)
        if len(self) == 0:
            msg = f"{root}: no transcripts (<speaker>/<chapter>/*.trans.txt) in {', '.join(splits)}"
            raise CorpusError(msg)

    def __iter__(self) -> Iterator[Utterance]:
        for split in self.splits:
            for speaker in _subfolders(self.root / split):
                for chapter in _subfolders(speaker):
                    for transcript in sorted(chapter.glob("*.trans.txt")):
                        yield from _read_transcript(transcript, split)

    def __len__(self) -> int:
        return self._inventory.num_utterances

    @property
    def sha256(self) -> str:
        """Hash over the ids, texts and files' sizes."""
        return self._inventory.sha256


def _find(folder: Path, splits: Sequence[str]) -> Path:
    """Return the folder that holds one of ``splits``, or the one that is to hold them."""
    inner = folder / FOLDER
    for place in (folder, inner):
        if any((place / split).is_dir() for split in splits):
            return place
    return folder if folder.name == FOLDER else inner


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _read_transcript(path: Path, split: str) -> Iterator[Utterance]:
    with opened(path) as file:
        for line in file:
            utterance_id, _, text = line.strip().partition(" ")
            if utterance_id:
                yield Utterance(
                    id=utterance_id,
                    path=path.parent / f"{utterance_id}.flac",
                    speaker=path.parent.parent.name,
                    language="en",
                    text=text,
                    labels={"chapter": path.parent.name, "split": split},
                )


def _absent(root: Path, split: str) -> CorpusError:
    is_named_so = root.name == FOLDER
    what = f"it in {root.parent}" if is_named_so else f"its folder {FOLDER}/{split} in {root}"
    return CorpusError(
        f"{root / split}: no such folder. Download https://www.openslr.org/resources/12/{split}.tar.gz and unpack "
        f"{what}, or add &download=true to librispeech:{root.parent if is_named_so else root}?split={split}"
    )


def _download(root: Path, split: str) -> None:
    from torchaudio.datasets import LIBRISPEECH  # noqa: PLC0415  (needed where something is downloaded only)

    if (root / split).is_dir():
        return
    parent = root.resolve().parent
    archive = parent / f"{split}.tar.gz"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{root.name}.") as temporary:
            # What is there counts as complete, so it is unpacked elsewhere; the archive stays, as it is large.
            fetched = Path(temporary, archive.name)
            if archive.is_file():
                fetched.symlink_to(archive)
            try:
                LIBRISPEECH(temporary, url=split, folder_in_archive=FOLDER, download=True)
            finally:
                if fetched.is_file() and not fetched.is_symlink():
                    fetched.rename(archive)
            _move_missing(Path(temporary, FOLDER), root)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise CorpusError(f"{_absent(root, split)} (the download failed: {error})") from error


def _move_missing(source: Path, target: Path) -> None:
    """Move what ``target`` does not hold yet: a split, and some tables that each archive brings."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if not (target / path.name).exists():
            path.rename(target / path.name)
