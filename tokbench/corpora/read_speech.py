"""Published sets of read speech: LibriTTS, VCTK, AISHELL-1 and THCHS-30."""

from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

from tokbench.corpora.base import Utterance
from tokbench.corpora.laid_out import LaidOutCorpus
from tokbench.corpora.text_files import opened
from tokbench.errors import CorpusError

__all__ = ["AishellCorpus", "LibriTtsCorpus", "Thchs30Corpus", "VctkCorpus"]


class LibriTtsCorpus(LaidOutCorpus):
    """LibriTTS (Zen et al. 2019, arXiv:1904.02882): ``<split>/<speaker>/<chapter>/<utterance>.wav``.

    The text is the normalized one, beside each recording in ``<utterance>.normalized.txt``. Splits are archives of
    their own: only those that are asked for have to be there.
    """

    kind = "libritts"
    folder = "LibriTTS"
    origin = "https://www.openslr.org/60"
    splits = (
        "test-clean",
        "test-other",
        "dev-clean",
        "dev-other",
        "train-clean-100",
        "train-clean-360",
        "train-other-500",
    )
    licence = "CC-BY-4.0"

    @property
    def landmarks(self) -> Collection[str]:
        """The folders of the splits."""
        return self.chosen

    def _all(self) -> Iterator[Utterance]:
        for split in self.chosen:
            for path in sorted((self.root / split).glob("*/*/*.wav")):
                yield Utterance(
                    id=path.stem,
                    path=path,
                    speaker=path.parent.parent.name,
                    language="en",
                    text=_text(path.with_suffix(".normalized.txt")),
                    labels={"chapter": path.parent.name, "split": split},
                )


class VctkCorpus(LaidOutCorpus):
    """VCTK 0.92 (Yamagishi, Veaux, MacDonald 2019), by the first microphone.

    ``wav48_silence_trimmed/<speaker>/<utterance>_mic1.flac`` and ``txt/<speaker>/<utterance>.txt``. Recordings
    without a text are left out, as are texts without a recording: of one speaker the texts were lost. There is one
    split, ``all``: the authors name none.
    """

    kind = "vctk"
    folder = "VCTK-Corpus-0.92"
    origin = "https://doi.org/10.7488/ds/2645"
    splits = ("all",)
    licence = "CC-BY-4.0"
    landmarks: Collection[str] = ("txt", "wav48_silence_trimmed")

    def _all(self) -> Iterator[Utterance]:
        for path in sorted((self.root / "wav48_silence_trimmed").glob("*/*_mic1.flac")):
            speaker, name = path.parent.name, path.stem.removesuffix("_mic1")
            text = self.root / "txt" / speaker / f"{name}.txt"
            if text.is_file():
                yield Utterance(
                    id=name,
                    path=path,
                    speaker=speaker,
                    language="en",
                    text=_text(text),
                    labels={"split": "all", **self._about.get(speaker, {})},
                )

    @cached_property
    def _about(self) -> dict[str, dict[str, str]]:
        """Gender and accent by speaker, as far as ``speaker-info.txt`` tells them."""
        path = self.root / "speaker-info.txt"
        rows = [line.split() for line in _lines(path)[1:]] if path.is_file() else []
        return {row[0]: {"gender": row[2].lower(), "accent": row[3]} for row in rows if row[3:]}


class AishellCorpus(LaidOutCorpus):
    """AISHELL-1 (Bu et al. 2017, arXiv:1709.05522): ``wav/<split>/<speaker>/<utterance>.wav``.

    ``transcript/aishell_transcript_v0.8.txt`` holds the words of all; recordings that it does not know are left
    out. The archive holds an archive of each speaker in ``wav``, which are to be unpacked there.
    """

    kind = "aishell"
    folder = "data_aishell"
    origin = "https://www.openslr.org/33"
    splits = ("test", "dev", "train")
    licence = "Apache-2.0"
    landmarks: Collection[str] = ("transcript/aishell_transcript_v0.8.txt", "wav")

    def _all(self) -> Iterator[Utterance]:
        lines = _lines(self.root / "transcript" / "aishell_transcript_v0.8.txt")
        texts = {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}
        for split in self.chosen:
            paths = sorted((self.root / "wav" / split).glob("*/*.wav"))
            if not paths:
                self._require_unpacked(split)
            for path in paths:
                if path.stem in texts:
                    yield Utterance(
                        id=path.stem,
                        path=path,
                        speaker=path.parent.name,
                        language="cmn",
                        text=texts[path.stem],
                        labels={"split": split},
                    )

    def _require_unpacked(self, split: str) -> None:
        """Raise :class:`CorpusError` where there are archives, one for each speaker, in the place of recordings."""
        archives = sorted((self.root / "wav").glob("*.tar.gz"))
        if archives:
            raise CorpusError(
                f"{self.root / 'wav'}: no recordings of {split}, but {len(archives)} archives "
                f"({archives[0].name} .. {archives[-1].name}). Unpack each of them there"
            )


class Thchs30Corpus(LaidOutCorpus):
    """THCHS-30 (Wang, Zhang 2015, arXiv:1512.01882): ``<split>/<speaker>_<number>.wav``, texts in ``data/``.

    The three lines of ``data/<utterance>.wav.trn`` are words, syllables in Pinyin with the number of their tone,
    which are the label ``pinyin``, and phones.
    """

    kind = "thchs-30"
    folder = "data_thchs30"
    origin = "https://www.openslr.org/18"
    splits = ("test", "dev", "train")
    licence = "Apache-2.0"
    landmarks: Collection[str] = ("data", "test")

    def _all(self) -> Iterator[Utterance]:
        for split in self.chosen:
            for path in sorted((self.root / split).glob("*.wav")):
                words, pinyin, *_ = [*_lines(self.root / "data" / f"{path.name}.trn"), "", ""]
                yield Utterance(
                    id=path.stem,
                    path=path,
                    speaker=path.stem.partition("_")[0],
                    language="cmn",
                    text=words.strip(),
                    labels={"split": split, "pinyin": pinyin.strip()},
                )


def _lines(path: Path) -> list[str]:
    with opened(path) as file:
        return file.read().splitlines()


def _text(path: Path) -> str:
    return " ".join(_lines(path)).strip()
