"""Whether a corpus still sounds as it did when records of it were made.

A folder is known by the names and sizes of its files, and so is a manifest without hashes. Another folder of the
same names and lengths, noisy recordings beside clean ones, has the same corpus hash. The rows of a record hold the
hash of each recording: a few of them, spread over the corpus, are read again and compared before a cell is called
done, and before a codec is measured beside others.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tokbench.errors import UsageError
from tokbench.records import file_safe, read_record, read_rows
from tokbench.run import worker
from tokbench.run.executor import Executor, outcome
from tokbench.run.plan import Cell

if TYPE_CHECKING:
    from tokbench.corpora.base import Corpus

__all__ = ["NUM_READ", "OtherAudioError", "check_audio"]

NUM_READ = 16
"""Utterances of a corpus that are read again."""


class OtherAudioError(UsageError):
    """Records of other recordings that have the same names and sizes."""

    def __init__(self, record: Path, utterance: str, reference: str) -> None:
        super().__init__(
            f"{record} is of other audio of the same name: {utterance} of {reference} is not the recording that it "
            "was. Run it with another --results folder, or measure all codecs again with --force"
        )


def check_audio(plan: Sequence[Cell], executor: Executor, *, timeout_s: float) -> None:
    """Raise :class:`OtherAudioError` where a record of a cell, or one beside it, is of other recordings.

    Raises :class:`tokbench.errors.RecordError` for a record that cannot be read.
    """
    heard: dict[Corpus, Mapping[str, str]] = {}
    neighbours: dict[Corpus, Path | None] = {}
    for cell in plan:
        if cell.skip_reason is not None:
            continue
        record: Path | None = cell.files.record
        if cell.files.record.is_file():
            read_record(cell.files.record)  # what cannot be read is not replaced by accident
        if not (cell.files.record.is_file() and cell.files.utterances.is_file()):
            if cell.corpus not in neighbours:
                neighbours[cell.corpus] = next(_records_beside(cell), None)
            record = neighbours[cell.corpus]
        if record is None:
            continue
        if cell.corpus not in heard:
            heard[cell.corpus] = _hear(cell, executor, timeout_s=timeout_s)
        _compare(record, heard[cell.corpus], cell)


def _records_beside(cell: Cell) -> Iterator[Path]:
    """Yield the records of any task and codec that were measured on the corpus of ``cell``."""
    sha256 = cell.corpus.sha256.encode()
    for table in sorted(cell.options.results.glob(f"*/{file_safe(cell.corpus_name)}/*/*.parquet")):
        record = table.with_suffix(".json")
        if record.is_file() and sha256 in record.read_bytes():
            yield record


def _hear(cell: Cell, executor: Executor, *, timeout_s: float) -> Mapping[str, str]:
    """Return the hashes of the audio of a few utterances, by id; without those that cannot be read."""
    positions = np.linspace(0, cell.num_utterances - 1, min(NUM_READ, cell.num_utterances)).round()
    wanted = frozenset(positions.astype(int).tolist())
    utterances = islice(cell.corpus, cell.num_utterances)
    futures = {
        utterance.id: executor.submit(worker.audio_sha256, utterance, timeout_s=timeout_s)
        for position, utterance in enumerate(utterances)
        if position in wanted
    }
    found = {utterance: outcome(future, timeout_s) for utterance, future in futures.items()}
    return {utterance: sha256 for utterance, sha256 in found.items() if isinstance(sha256, str)}


def _compare(record: Path, heard: Mapping[str, str], cell: Cell) -> None:
    rows = read_rows(record.with_suffix(".parquet"), ("utterance", "audio_sha256")).to_pydict()
    for utterance, sha256 in zip(rows["utterance"], rows["audio_sha256"], strict=True):
        if sha256 is not None and heard.get(utterance, sha256) != sha256:
            raise OtherAudioError(record, utterance, cell.corpus.reference)
