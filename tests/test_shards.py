"""Sequences in mapped shards: what was written comes back, and what is damaged is told."""

from pathlib import Path

import numpy as np
import pytest

from tokbench.shards import Column, ShardError, Shards, ShardWriter

COLUMNS = {"codes": Column("int16", 2), "features": Column("float16", 3)}


def written(folder: Path, *, shard_bytes: int = 2**20) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    sequences = []
    with ShardWriter(folder, COLUMNS, shard_bytes=shard_bytes) as writer:
        for length in (5, 1, 9, 4):
            sequence = {"codes": generator.integers(-1, 100, (length, 2)).astype(np.int16)}
            if length != 1:
                sequence["features"] = generator.standard_normal((2 * length, 3)).astype(np.float16)
            writer.append(sequence, {"length": length})
            sequences.append(sequence)
    return sequences


@pytest.mark.parametrize("shard_bytes", [1, 30, 2**20])
def test_what_was_written_comes_back(tmp_path: Path, shard_bytes: int) -> None:
    sequences = written(tmp_path, shard_bytes=shard_bytes)
    shards = Shards(tmp_path)
    assert len(shards) == 4
    assert [note["length"] for note in shards.notes()] == [5, 1, 9, 4]
    assert shards.length("features", 1) is None
    assert shards.lengths("codes").tolist() == [5, 1, 9, 4]
    for index, sequence in enumerate(sequences):
        for name, values in sequence.items():
            assert np.array_equal(shards.read(name, index), values)
            assert np.array_equal(shards.read(name, index, first=1, end=3), values[1:3])
    assert len(list(tmp_path.glob("codes-*.bin"))) == {1: 4, 30: 3, 2**20: 1}[shard_bytes]


def test_what_is_read_is_not_what_is_mapped(tmp_path: Path) -> None:
    sequences = written(tmp_path)
    shards = Shards(tmp_path)
    shards.read("codes", 0)[:] = 0
    assert np.array_equal(shards.read("codes", 0), sequences[0]["codes"])


def test_what_was_interrupted_is_not_there(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ShardWriter(tmp_path, COLUMNS) as writer:
            writer.append({"codes": np.zeros((3, 2))}, {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not Shards.is_complete(tmp_path)
    with pytest.raises(ShardError, match=r"shards.json cannot be read .* Delete the folder"):
        Shards(tmp_path)


DAMAGE = {
    "cut": ("codes-00000.bin", b"abc", r"codes-00000.bin: expected 76 bytes, found 3"),
    "gone": ("features-00000.bin", None, r"features-00000.bin: expected 216 bytes, found 0"),
    "places": ("codes.npy", b"no numbers", r"codes.npy cannot be read"),
    "index": ("shards.json", b"{", r"shards.json cannot be read"),
    "no places": ("codes.npy", b"", r"codes.npy cannot be read"),
    "no index": ("shards.json", b"", r"shards.json cannot be read"),
    "empty": ("codes-00000.bin", b"", r"codes-00000.bin: expected 76 bytes, found 0"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_in_a_sentence(tmp_path: Path, name: str) -> None:
    written(tmp_path)
    file, content, sentence = DAMAGE[name]
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ShardError, match=sentence):
        Shards(tmp_path)


def test_a_place_outside_of_its_shard_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    starts = np.load(tmp_path / "codes.npy")
    starts[2] = (0, 1000, 9)
    np.save(tmp_path / "codes.npy", starts)
    with pytest.raises(ShardError, match=r"codes.npy: sequence 2 lies outside of its shard"):
        Shards(tmp_path)


@pytest.mark.parametrize("place", [(5, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, -2)])
def test_a_place_that_cannot_be_is_told(tmp_path: Path, place: tuple[int, int, int]) -> None:
    written(tmp_path)
    starts = np.load(tmp_path / "codes.npy")
    starts[1] = place
    np.save(tmp_path / "codes.npy", starts)
    with pytest.raises(ShardError, match=r"codes.npy: sequence 1 lies outside of its shard"):
        Shards(tmp_path)
    np.save(tmp_path / "codes.npy", starts.astype(np.float32))
    with pytest.raises(ShardError, match=r"codes.npy: expected int64 \[4, 3\], found float32 \[4, 3\]"):
        Shards(tmp_path)
