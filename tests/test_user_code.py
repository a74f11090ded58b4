"""A user's file with what lies beside it: what it may import, and which changes of it are noticed."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Cli

from tokbench import user_code
from tokbench.codecs.registry import fingerprint, load, one
from tokbench.errors import UsageError
from tokbench.user_code import files_of, import_file

CODEC = '''
from pathlib import Path

import torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

from helper_of_test import LEVEL


class Sign(Codec):
    """One bit per sample."""

    def __init__(self):
        from late_of_test import SIGN

        self.level = SIGN * LEVEL
        self.info = TokenizerInfo(sample_rate_hz=8000, streams=(StreamInfo(1, 2, 8000),))

    def _encode(self, samples):
        return [(samples > self.level).long()]

    def _decode(self, streams):
        return streams[0] * 2.0 - 1
'''


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Leave no module of a test to the next."""
    before = set(sys.modules)
    yield
    user_code._imported.cache_clear()
    for name in set(sys.modules) - before:
        if name.endswith("_of_test"):
            del sys.modules[name]


@pytest.fixture
def codec(tmp_path: Path) -> Path:
    return written(tmp_path / "one", level="0.25")


def written(folder: Path, *, level: str) -> Path:
    folder.mkdir()
    (folder / "helper_of_test.py").write_text(f"LEVEL = {level}\n")
    (folder / "late_of_test.py").write_text("SIGN = 1.0\n")
    (folder / "codec.py").write_text(CODEC)
    return folder / "codec.py"


def level(file: Path) -> object:
    return vars(load(one(f"{file}:Sign")))["level"]


def test_a_file_imports_what_lies_beside_it(codec: Path) -> None:
    assert level(codec) == 0.25


def test_two_files_each_have_their_own_neighbours(codec: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "two", level="0.75")
    assert [level(codec), level(other), level(codec), level(other)] == [0.25, 0.75, 0.25, 0.75]


def test_what_is_installed_is_not_hidden_by_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "pebble.py").write_text("ProcessPool = None\n")
    (tmp_path / "takes.py").write_text("import pebble\nfrom pebble import ProcessPool\n")
    module = import_file(str(tmp_path / "takes.py"))
    assert vars(module)["ProcessPool"] is not None
    assert files_of(tmp_path / "takes.py") == {tmp_path / "takes.py"}


def test_a_module_that_is_nowhere_is_told(codec: Path) -> None:
    (codec.parent / "helper_of_test.py").unlink()
    with pytest.raises(UsageError, match=r"codec\.py: cannot be imported \(No module named 'helper_of_test'\)"):
        one(f"{codec}:Sign")


def in_package(folder: Path) -> Path:
    (folder / "nets_of_test").mkdir()
    (folder / "nets_of_test" / "blocks.py").write_text("from nets_of_test.sizes import *\n")
    (folder / "nets_of_test" / "sizes.py").write_text("SIZE = 3\n")
    (folder / "helper_of_test.py").write_text("from nets_of_test.blocks import SIZE\nLEVEL = SIZE / 12\n")
    return folder / "nets_of_test" / "sizes.py"


def weights(folder: Path) -> Path:
    text = f"open_weights = lambda: Path(__file__).parent / 'w.pt'\n{CODEC}"
    (folder / "codec.py").write_text(text)
    (folder / "w.pt").write_text("first")
    return folder / "w.pt"


def nested_weights(folder: Path) -> Path:
    text = f"open_weights = lambda: Path(__file__).parent / 'weights' / 'w.pt'\n{CODEC}"
    (folder / "codec.py").write_text(text)
    (folder / "weights").mkdir()
    (folder / "weights" / "w.pt").write_text("first")
    return folder / "weights" / "w.pt"


@pytest.mark.parametrize(
    "changing",
    [
        lambda folder: folder / "helper_of_test.py",
        lambda folder: folder / "late_of_test.py",
        in_package,
        weights,
        nested_weights,
    ],
    ids=["constant", "late", "package", "weights", "nested-weights"],
)
def test_the_fingerprint_follows_all_that_a_file_takes_from_its_folder(
    codec: Path, changing: Callable[[Path], Path]
) -> None:
    changed = changing(codec.parent)
    before = fingerprint(one(f"{codec}:Sign"))
    (codec.parent / "notes.txt").write_text("what it does not take")
    (codec.parent / "other_of_test.py").write_text("OTHER = 1\n")
    assert fingerprint(one(f"{codec}:Sign")) == before
    changed.write_text(changed.read_text() + "# changed\n")
    assert fingerprint(one(f"{codec}:Sign")) != before


def test_what_cannot_be_a_path_is_none(tmp_path: Path) -> None:
    file = tmp_path / "strings.py"
    file.write_text(f"LONG = '{'x' * 5000}'\nNULL = 'a\\0b'\nEMPTY = ''\nHERE = '.'\n")
    assert files_of(file) == {file}


def test_codes_are_not_those_of_what_stood_beside_the_file_before(cli: Cli, corpus: Path, codec: Path) -> None:
    def counts() -> list[object]:
        options = [f"--corpus=folder:{corpus}", "--task=tokens", "--jobs=1", "--results=results"]
        done = cli("run", f"--codec={os.path.relpath(codec, corpus.parent)}:Sign", *options)
        assert done.returncode == 0, done.stderr
        (path,) = corpus.parent.glob("results/tokens.v1/corpus/sign/default.json")
        metrics = json.loads(path.read_text())["metrics"]
        return [item["value"] for item in metrics if item["name"] == "bitrate_entropy_bps"]

    (codec.parent / "helper_of_test.py").write_text("LEVEL = 0.0\n")
    before = counts()
    (codec.parent / "helper_of_test.py").write_text("LEVEL = 0.9\n")
    assert counts() != before
