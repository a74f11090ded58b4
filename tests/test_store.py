"""Codes on disk: the cache that every process shares, and the files of a user."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from stored_codes import assert_equal, hammer, some_codes

from tokbench.errors import CodesFileError
from tokbench.store import CodesFile, CodeStore, StoredCodes


@pytest.mark.parametrize("size", [2, 256, 257, 32768, 65536, 2**33])
def test_codes_of_every_size_come_back_unchanged(tmp_path: Path, size: int) -> None:
    store = CodeStore(tmp_path)
    store.put("codec", "audio", StoredCodes(some_codes(size=size), 0.25))
    stored = store.get("codec", "audio")
    assert stored is not None
    assert_equal(stored.codes, some_codes(size=size))
    assert stored.encode_s == 0.25


def test_another_codec_or_other_audio_is_a_miss(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    store.put("codec", "audio", StoredCodes(some_codes(), 0.1))
    assert store.get("codec 2", "audio") is None
    assert store.get("codec", "audio 2") is None
    assert CodeStore(tmp_path, device="cuda").get("codec", "audio") is None
    assert CodeStore(tmp_path, device="cpu:0").get("codec", "audio") is not None


@pytest.mark.parametrize("damage", [b"", b"junk", b"\xff" * 64])
def test_a_damaged_entry_is_a_miss_and_goes_away(tmp_path: Path, damage: bytes) -> None:
    store = CodeStore(tmp_path)
    store.put("codec", "audio", StoredCodes(some_codes(), 0.1))
    (entry,) = tmp_path.glob("*/*.safetensors")
    entry.write_bytes(damage)
    assert store.get("codec", "audio") is None
    assert not entry.exists()


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    for index in range(10):
        store.put("codec", str(index), StoredCodes(some_codes(index), 0.1))
    for age, index in enumerate([3, 1, 4, 0, 5, 9, 2, 6, 8, 7]):
        os.utime(store._path("codec", str(index)), (1000 + age, 1000 + age))
    one = store._path("codec", "0").stat().st_size
    CodeStore(tmp_path, limit_bytes=5 * one).evict()
    assert [index for index in range(10) if store.get("codec", str(index))] == [2, 6, 7, 8]


def test_the_limit_can_be_set_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKBENCH_CACHE_BYTES", "12345")
    assert CodeStore(tmp_path).limit_bytes == 12345


def test_a_full_disk_costs_the_entry_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tokbench.store.write_bytes", refuse)
    store = CodeStore(tmp_path)
    store.put("codec", "audio", StoredCodes(some_codes(), 0.1))
    assert store.get("codec", "audio") is None


def test_several_processes_share_one_cache(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(hammer, [tmp_path, tmp_path], [0, 1]))
    assert sum(found) > 0  # what was found was right: the processes checked that


def test_a_file_of_codes_comes_back_with_its_codec(tmp_path: Path) -> None:
    CodesFile("opus:6kbps", some_codes()).write(tmp_path / "a.safetensors")
    read = CodesFile.read(tmp_path / "a.safetensors")
    assert read.codec == "opus:6kbps"
    assert_equal(read.codes, some_codes())


def test_a_changed_bit_of_the_codes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    CodesFile("opus:6kbps", some_codes()).write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CodesFileError, match="its codes are not those that were written"):
        CodesFile.read(path)


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"\x10" + b"\0" * 30])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(CodesFileError, match="not a file of codes that `tokbench encode` wrote"):
        CodesFile.read(tmp_path / "b.safetensors")
