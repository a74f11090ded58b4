"""LibriSpeech as openslr.org ships it: ``LibriSpeech/<split>/<speaker>/<chapter>/<utterance>.flac``.

Panayotov, Chen, Povey, Khudanpur: LibriSpeech: an ASR corpus based on public domain audio books, ICASSP 2015.
The transcripts lie beside the audio in ``<speaker>-<chapter>.trans.txt``: an utterance's id, a space, its text.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokbench.corpora.base import Corpus, Utterance
from tokbench.corpora.inventory import Inventory, Problems
from tokbench.corpora.reference import CorpusReference, corpus_name
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

    ROOT holds the folder ``LibriSpeech`` (or is it) and is tokbench's folder of corpora if left out; the split is
    ``test-clean`` if left out. Raises :class:`CorpusError` with the way to get it for a split that is not there.
    """
    reference.require_only(("split", "download"))
    splits = reference.filters.get("split", ("test-clean",))
    for split in splits:
        if split not in SPLITS:
            raise UnknownNameError("split of librispeech", split, SPLITS, command="tokbench list corpora")
    root = reference.path() if reference.location else corpora_dir()
    if root.name != FOLDER:
        root /= FOLDER
    if reference.filters.get("download") == ("true",):
        for split in splits:
            _download(root, split)
    return LibriSpeechCorpus(root, splits=splits)


class LibriSpeechCorpus(Corpus):
    """Some splits of LibriSpeech; ``root`` is the folder called ``LibriSpeech``."""

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


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _read_transcript(path: Path, split: str) -> Iterator[Utterance]:
    with path.open(encoding="utf-8") as file:
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
    return CorpusError(
        f"{root / split}: no such folder. Download https://www.openslr.org/resources/12/{split}.tar.gz and unpack "
        f"it in {root.parent}, or ask for librispeech:{root.parent}?split={split}&download=true"
    )


def _download(root: Path, split: str) -> None:
    from torchaudio.datasets import LIBRISPEECH  # noqa: PLC0415  (needed where something is downloaded only)

    if (root / split).is_dir():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        LIBRISPEECH(root.parent, url=split, folder_in_archive=root.name, download=True)
    except (OSError, RuntimeError) as error:
        raise CorpusError(f"{_absent(root, split)} (the download failed: {error})") from error
