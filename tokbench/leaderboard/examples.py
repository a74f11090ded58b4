"""Sounds to listen to: a few utterances, the original beside what each codec made of it."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokbench.leaderboard.cells import Row, SourceRecord
from tokbench.leaderboard.components import read_utterances
from tokbench.leaderboard.numbers import number_format
from tokbench.leaderboard.table import Table
from tokbench.records import MetricSummary, file_safe

__all__ = ["Example", "Media", "Sound", "examples", "inline"]

_MIME = {".flac": "audio/flac", ".png": "image/png"}


@dataclass(frozen=True)
class Media:
    """A file that the page shows or plays, from within itself or from beside it."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Media | None":
        """Return the file at ``path``, None where there is none."""
        return cls(path, hashlib.sha256(path.read_bytes()).hexdigest()) if path.is_file() else None

    @property
    def name(self) -> str:
        """Name in the folder beside the page: equal content has one name, whatever the codec is called."""
        return f"{self.sha256[:24]}{self.path.suffix}"

    def data_uri(self) -> str:
        """Return the whole file as an address."""
        content = base64.b64encode(self.path.read_bytes()).decode()
        return f"data:{_MIME[self.path.suffix]};base64,{content}"

    @property
    def uri_length(self) -> int:
        """Length of :meth:`data_uri`."""
        return len(f"data:{_MIME[self.path.suffix]};base64,") + (self.path.stat().st_size + 2) // 3 * 4


@dataclass(frozen=True)
class Sound:
    """One version of an utterance."""

    heading: str
    setting: str
    score: str
    """What the sorting metric says of this very sound; empty where it does not."""
    audio: Media
    picture: Media | None


@dataclass(frozen=True)
class Example:
    """One utterance, the original first and then the codecs in the order of the table."""

    utterance: str
    speaker: str
    language: str
    asked: str
    """What a language model was asked to say, or to make; empty for no such thing."""
    sounds: tuple[Sound, ...]

    @property
    def media(self) -> Iterator[Media]:
        """Every file, in the order of the page."""
        for sound in self.sounds:
            yield sound.audio
            if sound.picture is not None:
                yield sound.picture


def examples(table: Table) -> list[Example]:
    """Return the first utterances that were kept as sounds, at most as many as the leaderboard asks for."""
    for task in table.board.tasks:
        # Others have no sounds, and what was skipped has no utterances either.
        rows = [row for row in table.section.rows if _has_sounds(row, task)]
        if rows and table.board.num_examples:
            return _examples(table, task, rows)
    return []


def _has_sounds(row: Row, task: str) -> bool:
    return task in row.sources and any(row.sources[task].files.examples.glob("*.flac"))


def _examples(table: Table, task: str, rows: Sequence[Row]) -> list[Example]:
    kept = {path.name for row in rows for path in row.sources[task].files.examples.glob("*.flac")}
    source = rows[0].sources[task]
    utterances = read_utterances(source).index
    is_kept = [f"{file_safe(utterance)}.flac" in kept for utterance in utterances]
    wanted = utterances[is_kept].tolist()[: table.board.num_examples]
    tables = {row.label: _by_utterance(row.sources[task], wanted) for row in rows}
    found: list[Example] = []
    for utterance, facts in tables[rows[0].label].items():
        original = _sound(source.files.originals / file_safe(utterance), "original", "", "")
        decoded = [_decoded(table, task, row, utterance, tables[row.label]) for row in rows]
        sounds = tuple(sound for sound in (original, *decoded) if sound is not None)
        speaker, language, asked = (str(facts.get(key) or "") for key in ("speaker", "language", "asked"))
        found.append(Example(utterance, speaker, language, asked, sounds))
    return found


def _by_utterance(source: SourceRecord, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what is known of each of the utterances that are ``wanted``."""
    lines = read_utterances(source)
    chosen = lines[lines.index.isin(wanted)].to_dict("index")
    return {str(name): {str(key): value for key, value in line.items()} for name, line in chosen.items()}


def _decoded(table: Table, task: str, row: Row, utterance: str, scores: dict[str, dict[str, Any]]) -> Sound | None:
    stem = row.sources[task].files.examples / file_safe(utterance)
    key = table.board.sort_by
    summary = row.cells[key].summary if table.board.task_of[key] == task else None
    score = _score(summary, scores.get(utterance, {})) if summary else ""
    return _sound(stem, row.codec.name, row.codec.setting, score)


def _score(summary: MetricSummary, line: Mapping[str, Any]) -> str:
    total, weight = (line.get(f"{summary.name}.{part}", 0.0) for part in ("total", "weight"))
    if not weight > 0:
        return ""
    value = max(total / weight, 0.0) ** 0.5 if summary.pooling == "rms" else total / weight
    number = number_format(summary.unit, [value])
    return f"{summary.title} {number.text(value)} {number.unit}".rstrip()


def _sound(stem: Path, heading: str, setting: str, score: str) -> Sound | None:
    audio = Media.of(stem.with_name(f"{stem.name}.flac"))
    return Sound(heading, setting, score, audio, Media.of(stem.with_name(f"{stem.name}.png"))) if audio else None


def inline(media: Sequence[Media], *, budget_bytes: int, folder: str) -> tuple[Mapping[str, str], list[Media]]:
    """Return the address of each file by its SHA-256, and the files that have to lie in ``folder``.

    Files become part of the page, in their order, while ``budget_bytes`` last. ``media`` has a file as often as the
    page has it: what a codec returned unchanged is in there twice.
    """
    uses = Counter(item.sha256 for item in media)
    addresses: dict[str, str] = {}
    beside: list[Media] = []
    for item in {item.sha256: item for item in media}.values():
        length = uses[item.sha256] * item.uri_length
        if not beside and length <= budget_bytes:
            addresses[item.sha256] = item.data_uri()
            budget_bytes -= length
        else:
            addresses[item.sha256] = f"{folder}/{item.name}"
            beside.append(item)
    return addresses, beside
