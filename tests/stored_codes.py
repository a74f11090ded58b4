"""Codes to store, and a process that works on a cache: in a module of its own, which another process can import."""

from pathlib import Path

import torch

from tokbench.codes import Codes, CodeStream
from tokbench.store import CodeStore, StoredCodes


def some_codes(seed: int = 0, *, size: int = 1024, num_frames: int = 50) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(0, size, (4, num_frames), generator=generator)
    slow = torch.randint(0, 3, (1, 5), generator=generator)
    return Codes((CodeStream(indices, size, 50.0), CodeStream(slow, 3, None)), 16000, 16000)


def assert_equal(first: Codes, second: Codes) -> None:
    assert (first.num_samples, first.sample_rate_hz) == (second.num_samples, second.sample_rate_hz)
    for mine, theirs in zip(first.streams, second.streams, strict=True):
        assert torch.equal(mine.indices, theirs.indices)
        assert (mine.codebook_size, mine.frame_rate_hz) == (theirs.codebook_size, theirs.frame_rate_hz)


def hammer(folder: Path, seed: int) -> int:
    """Write, read and evict in a small cache; return how many reads found the right codes."""
    store, found = CodeStore(folder, limit_bytes=20_000), 0
    for index in range(150):
        key = str((index * 7 + seed) % 40)
        stored = store.get("codec", key)
        if stored is not None:
            assert_equal(stored.codes, some_codes(int(key)))
            found += 1
        store.put("codec", key, StoredCodes(some_codes(int(key)), 0.1))
        if index % 10 == 0:
            store.evict()
    return found
