"""The utterances of a corpus as columns: a hundred bytes each, whatever the size of the corpus."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokbench.audio import AudioSize
from tokbench.corpora.base import Corpus, Utterance
from tokbench.errors import CorpusError

__all__ = ["Utterances", "held_out", "open_utterances"]

_BLOCK, _NUM_THREADS = 4096, 8
_TEXT = pa.large_string()
_SCHEMA = pa.schema(
    [
        ("id", _TEXT),
        ("path", _TEXT),
        ("speaker", _TEXT),
        ("text", _TEXT),
        ("start_s", pa.float64()),
        ("duration_s", pa.float64()),
    ]
)


class Utterances:
    """Where each utterance lies, how long it is, and who says what in it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()
        self.durations_s: np.ndarray = self._table["duration_s"].to_numpy()
        """Seconds of each, float64 [N]."""

    @classmethod
    def of(cls, corpus: Iterable[Utterance]) -> "Utterances":
        """Read ``corpus`` once; where it does not tell how long an utterance is, the header of its file does."""
        remaining = iter(corpus)
        blocks = iter(lambda: list(islice(remaining, _BLOCK)), [])
        with ThreadPoolExecutor(_NUM_THREADS) as threads:
            return cls(pa.Table.from_batches([_columns(block, threads) for block in blocks], schema=_SCHEMA))

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Utterance:
        row = {name: self._table[name][index].as_py() for name in _SCHEMA.names}
        return Utterance(**{**row, "path": Path(row["path"])})

    def __iter__(self) -> Iterator[Utterance]:
        return (self[index] for index in range(len(self)))

    def split(self, num_held_out: int) -> tuple["Utterances", "Utterances"]:
        """Return those to learn from, and ``num_held_out`` others, a tenth of all at most.

        Which they are depends on their ids alone: a corpus that grows keeps nearly all of them.
        """
        is_held_out = held_out(self._table["id"].to_pylist(), num_held_out)
        return Utterances(self._table.filter(pa.array(~is_held_out))), Utterances(
            self._table.filter(pa.array(is_held_out))
        )


def held_out(names: Sequence[str], num_held_out: int) -> np.ndarray:
    """Return bool [N], which ``num_held_out`` of all are not learnt from: a tenth at most, chosen by their names.

    What has one name stays together, so that there may be fewer, or, of the first name, more.
    """
    wanted = min(num_held_out, len(names) // 10 or len(names) - 1)
    digests = (int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in names)
    _, groups, sizes = np.unique(
        np.fromiter(digests, np.uint64, len(names)), return_inverse=True, return_counts=True
    )
    chosen: list[int] = []
    for group, size in enumerate(sizes):
        if wanted <= 0 or len(chosen) == len(sizes) - 1:
            break
        if size <= wanted or not chosen:
            chosen.append(group)
            wanted -= int(size)
    return np.isin(groups, chosen)


def _columns(block: list[Utterance], threads: ThreadPoolExecutor) -> pa.RecordBatch:
    values = [
        [utterance.id for utterance in block],
        [str(utterance.path) for utterance in block],
        [utterance.speaker for utterance in block],
        [utterance.text for utterance in block],
        [utterance.start_s for utterance in block],
        list(threads.map(_duration_s, block)),
    ]
    arrays = [pa.array(column, kind.type) for column, kind in zip(values, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _duration_s(utterance: Utterance) -> float:
    if utterance.duration_s is not None:
        return utterance.duration_s
    return AudioSize.of(utterance.path).duration_s - utterance.start_s


def open_utterances(corpus: Corpus) -> Utterances:
    """Return the utterances of ``corpus``; raises :class:`CorpusError` if there is none."""
    utterances = Utterances.of(corpus)
    if len(utterances) == 0:
        msg = "the corpus has no utterances to train on"
        raise CorpusError(msg)
    return utterances
