"""Whatever is wrong with the weights of a codec, one sentence names the file, what was expected, what was found."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from tokbench.codecs.card import Card
from tokbench.codecs.registry import CARD_FILE, TRAINED, CodecReference, list_cards, load
from tokbench.codecs.weights import locate_sources, weights_files
from tokbench.errors import WeightsError, WeightsNotFoundError

PACKAGED = tuple(path.parent.name for path in TRAINED.glob(f"*/{CARD_FILE}"))
"""Their files are the package's own: nothing is to be downloaded, and nothing here may touch them."""
REAL = ("lyra",)
"""No tiny weights can be made of these; their own tests use the published files."""

CARDS = {name: card for name, card in list_cards().items() if card.sources and name not in (*PACKAGED, *REAL)}


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def replace_by_a_page(file: Path) -> None:
    file.write_text("<!DOCTYPE html><html><body>404: not found</body></html>")


DAMAGES: list[Callable[[Path], None]] = [truncate, empty, replace_by_a_page]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Card], Path]:
    """Return a function that gives the folder with the weights of a card, writing them once."""
    folders: dict[str, Path] = {}

    def write(card: Card) -> Path:
        if card.name not in folders:
            folders[card.name] = tmp_path_factory.mktemp(card.name)
            tiny.write(card, folders[card.name])
        return folders[card.name]

    return write


def default(card: Card) -> CodecReference:
    return next(item for item in tiny.references(card) if item.setting == card.default_setting)


def files_of(reference: CodecReference) -> list[Path]:
    folders = locate_sources(reference.card, reference.setting)
    return [
        file
        for argument, folder in folders.items()
        for file in weights_files(reference.card.sources[argument], reference.setting, folder)
    ]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_damaged_file_is_named(
    card: Card, damage: Callable[[Path], None], written: Callable[[Card], Path], tokbench_home: Path
) -> None:
    reference = default(card)
    shutil.copytree(written(card), tokbench_home / "weights")
    for file in files_of(reference):
        assert file.is_relative_to(tokbench_home)
        good = file.read_bytes()
        damage(file)
        with pytest.raises(WeightsError, match=r"expected .*, found ") as caught:
            load(reference)
        assert file.name in str(caught.value)
        file.write_bytes(good)
    load(reference)


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_file_under_another_name_is_asked_for(
    card: Card, written: Callable[[Card], Path], tokbench_home: Path
) -> None:
    reference = default(card)
    shutil.copytree(written(card), tokbench_home / "weights")
    for file in files_of(reference):
        other = file.rename(file.with_name(f"{file.name} (1)"))
        with pytest.raises(WeightsNotFoundError, match="no weights for") as caught:
            load(reference)
        assert file.name in str(caught.value)
        other.rename(file)


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_hash_that_differs_is_told(card: Card, written: Callable[[Card], Path], tokbench_home: Path) -> None:
    shutil.copytree(written(card), tokbench_home / "weights")
    reference = default(card)
    name, source = next(iter(reference.card.sources.items()))
    folder = locate_sources(reference.card, reference.setting)[name]
    present = [path.relative_to(folder).as_posix() for path in weights_files(source, reference.setting, folder)]
    [file, *_] = next(files for files in source.choices(reference.setting) if set(files) <= set(present))
    pinned = {file: "0" * 64}
    changed_source = source.model_copy(
        update={
            "files": {**source.files, **(pinned if file in source.files else {})},
            "by_setting": {
                setting: {**files, **(pinned if file in files else {})}
                for setting, files in source.by_setting.items()
            },
            "alternatives": tuple({**files, **(pinned if file in files else {})} for files in source.alternatives),
        }
    )
    changed = (
        {name: changed_source} if name == "weights" else {"parts": {**reference.card.parts, name: changed_source}}
    )
    reference = dataclasses.replace(reference, card=reference.card.model_copy(update=changed))
    with pytest.raises(WeightsError, match=f"{re.escape(Path(file).name)}: expected SHA-256 000"):
        load(reference)
