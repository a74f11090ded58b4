"""Published sets of single words: Speech Commands, and the Free Spoken Digit Dataset."""

import re
from collections.abc import Collection, Iterator

from tokbench.corpora.base import Utterance
from tokbench.corpora.laid_out import LaidOutCorpus
from tokbench.corpora.text_files import words_in

__all__ = ["SpeechCommandsCorpus", "SpokenDigitsCorpus"]


class SpeechCommandsCorpus(LaidOutCorpus):
    """Speech Commands (Warden 2018, arXiv:1804.03209): ``<word>/<speaker>_nohash_<number>.wav``.

    ``validation_list.txt`` and ``testing_list.txt`` tell two splits, and everything else is the third; recordings
    of noise are left out.
    """

    kind = "speech-commands"
    folder = "speech_commands_v0.02"
    origin = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
    splits = ("test", "train", "validation")
    licence = "CC-BY-4.0"
    landmarks: Collection[str] = ("validation_list.txt", "testing_list.txt")

    def _all(self) -> Iterator[Utterance]:
        lists = {"validation": "validation_list.txt", "test": "testing_list.txt"}
        split_of = {name: split for split, file in lists.items() for name in words_in(self.root / file)}
        for path in sorted(self.root.glob("*/*_nohash_*.wav")):
            name = path.relative_to(self.root).as_posix()
            yield Utterance(
                id=name.removesuffix(".wav"),
                path=path,
                speaker=path.stem.partition("_nohash_")[0],
                language="en",
                text=path.parent.name,
                labels={"split": split_of.get(name, "train")},
            )


class SpokenDigitsCorpus(LaidOutCorpus):
    """The Free Spoken Digit Dataset: ``recordings/<digit>_<speaker>_<number>.wav``.

    Numbers 0 to 4 are the test, as its authors have it, and the others are for training, by the same speakers.
    """

    kind = "fsdd"
    folder = "free-spoken-digit-dataset"
    origin = "https://github.com/Jakobovski/free-spoken-digit-dataset"
    splits = ("test", "train")
    licence = "CC-BY-SA-4.0"
    landmarks: Collection[str] = ("recordings",)

    _words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    _num_test = 5

    def _all(self) -> Iterator[Utterance]:
        for path in sorted((self.root / "recordings").glob("*.wav")):
            if (match := re.fullmatch(r"(\d)_(\w+)_(\d+)", path.stem)) is None:
                continue
            digit, speaker, number = match.groups()
            yield Utterance(
                id=path.stem,
                path=path,
                speaker=speaker,
                language="en",
                text=self._words[int(digit)],
                labels={"split": "test" if int(number) < self._num_test else "train"},
            )
