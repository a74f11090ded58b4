"""The corpus ``synth``: speech by espeak-ng, made once, reproducible bit for bit.

The folder holds 16-bit WAV files at espeak-ng's own 22,050 Hz, a manifest with their hashes, and the times of
phones, words and tones. Around the speech there is a tenth of a second without it, and under all of it the noise
floor of a quiet room: digital silence would make the logarithm of a spectrum a matter of taste.
"""

import csv
import hashlib
import random
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokbench.corpora.alignments import FILE_NAME, write_alignments
from tokbench.corpora.espeak import Speech, speak
from tokbench.corpora.intervals import Interval, Tier
from tokbench.corpora.manifest import ManifestCorpus
from tokbench.corpora.reference import CorpusReference, Filters, corpus_name
from tokbench.corpora.synth_recipe import SyntheticUtterance, list_utterances
from tokbench.corpora.tones import is_tonal, tone_of
from tokbench.errors import CorpusError
from tokbench.paths import corpora_dir
from tokbench.specs.base import file_sha256

__all__ = ["NAME", "build_synth", "open_synth"]

NAME = "synth.v1"
"""The version changes with anything that changes a sample: texts, speakers, noise floor."""
LICENCE = "Apache-2.0"

_PAD_S = 0.1
_COLUMNS = (
    "id",
    "path",
    "split",
    "demo",
    "kind",
    "speaker",
    "gender",
    "language",
    "text",
    "duration_s",
    "licence",
    "sha256",
)


def open_synth(reference: CorpusReference) -> ManifestCorpus:
    """Open ``synth`` (the test split), ``synth?split=train``, ``synth?split=demo``, ``synth?language=cmn|yue``.

    It is made in a few seconds if it is not there. ``split=demo`` is a part of the test split, of about a minute.
    """
    if reference.location:
        msg = f"synth: takes no path; ask for synth, or for manifest:{reference.location}"
        raise CorpusError(msg)
    folder = corpora_dir() / NAME
    if not folder.is_dir():
        build_synth(folder)
    return ManifestCorpus(
        folder / "manifest.csv",
        filters=_filters(reference.filters),
        name=corpus_name(NAME, {k: v for k, v in reference.filters.items() if (k, v) != ("split", ("test",))}),
        reference=reference.without_folders(),
    )


def _filters(asked: Filters) -> Filters:
    split = asked.get("split", ("test",))
    others = {column: values for column, values in asked.items() if column != "split"}
    if split == ("demo",):
        return {"demo": ("yes",), **others}
    if "demo" in split:
        msg = "synth: split=demo is a part of split=test already; ask for one of them"
        raise CorpusError(msg)
    return {"split": split, **others}


def build_synth(folder: Path, utterances: Sequence[SyntheticUtterance] | None = None) -> None:
    """Make the corpus in ``folder``, which appears complete or not at all, also when two processes make it.

    Raises :class:`CorpusError` if the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            complete = Path(temporary, "complete")
            complete.mkdir()
            _write(complete, list_utterances() if utterances is None else utterances)
            _publish(complete, folder)
    except OSError as error:
        reason = error.strerror or error
        msg = f"cannot make the corpus synth in {folder}: {reason}. Free some space or set TOKBENCH_HOME"
        raise CorpusError(msg) from error


def _publish(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        if not (folder / "manifest.csv").is_file():
            raise
        # Another process was faster, with the same bytes.


@dataclass(frozen=True)
class _Written:
    row: dict[str, str]
    intervals: tuple[tuple[Tier, Interval], ...]


def _write(folder: Path, utterances: Sequence[SyntheticUtterance]) -> None:
    for split in {utterance.split for utterance in utterances}:
        (folder / split).mkdir()
    # Shuffled by hash, so that the first few utterances are of many languages and speakers.
    written = sorted((_write_one(folder, item) for item in utterances), key=lambda item: _hash(item.row["id"]))
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(item.row for item in written)
    write_alignments(
        folder / FILE_NAME,
        ((item.row["id"], tier, interval) for item in written for tier, interval in item.intervals),
    )


def _write_one(folder: Path, utterance: SyntheticUtterance) -> _Written:
    speech = speak(utterance.text, utterance.voice)
    samples = _in_a_quiet_room(speech, seed=utterance.id)
    path = folder / utterance.split / f"{utterance.id}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(samples.itemsize)
        file.setframerate(speech.sample_rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    row = {
        "id": utterance.id,
        "path": path.relative_to(folder).as_posix(),
        "split": utterance.split,
        "demo": "yes" if utterance.is_demo else "no",
        "kind": utterance.kind,
        "speaker": utterance.speaker.name,
        "gender": utterance.speaker.gender,
        "language": utterance.language,
        "text": utterance.text,
        "duration_s": f"{len(samples) / speech.sample_rate_hz:.6f}",
        "licence": LICENCE,
        "sha256": file_sha256(path),
    }
    return _Written(row, tuple(_intervals(utterance.language, speech)))


def _in_a_quiet_room(speech: Speech, *, seed: str) -> np.ndarray:
    """Return int16 [T] with the pad on both sides and noise of about -74 dB of full scale under all of it."""
    padded = np.pad(speech.samples, round(_PAD_S * speech.sample_rate_hz)).astype(np.int32)
    # The sum of a random byte's two halves is triangular in -15 .. 15. These bytes are the same in every Python.
    noise = np.frombuffer(random.Random(seed).randbytes(len(padded)), dtype=np.uint8).astype(np.int32)
    limits = np.iinfo(np.int16)
    room: np.ndarray = np.clip(padded + (noise >> 4) + (noise & 15) - 15, limits.min, limits.max)
    return room.astype(np.int16)


def _intervals(language: str, speech: Speech) -> Iterator[tuple[Tier, Interval]]:
    for phone in speech.phones:
        yield "phone", phone.delayed(_PAD_S)
    for word in speech.words:
        yield "word", word.delayed(_PAD_S)
    for syllable in speech.words if is_tonal(language) else ():  # each written word is one syllable there
        yield "tone", Interval(syllable.start_s, syllable.end_s, tone_of(language, syllable.label)).delayed(_PAD_S)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
