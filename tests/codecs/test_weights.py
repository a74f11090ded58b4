"""Where weights are looked for, and what is said of those that are missing or wrong."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tokbench.codecs.card import Card
from tokbench.codecs.state import examine
from tokbench.codecs.weights import locate_sources, weights_files
from tokbench.errors import WeightsError, WeightsNotFoundError
from tokbench.paths import weights_dir


def card(**changes: Any) -> Card:
    content = {
        "name": "toy",
        "title": "Toy",
        "adapter": "toy:Toy",
        "licence": "MIT",
        "source": "nowhere",
        "default_setting": "a",
        "settings": {"a": {}, "b": {}},
        "weights": {"folder": "toy", "files": {"model.pt": ""}, "page": "the toy's page"},
    }
    return Card.model_validate({**content, **changes})


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_the_usual_folder_is_found() -> None:
    put(weights_dir() / "toy", "model.pt")
    assert locate_sources(card(), "a") == {"weights": weights_dir() / "toy"}


def test_a_given_folder_takes_the_place_of_the_usual_one(tmp_path: Path) -> None:
    put(weights_dir() / "toy", "model.pt")
    with pytest.raises(WeightsNotFoundError, match=f"put them in {tmp_path}"):
        locate_sources(card(), "a", override=tmp_path)
    assert locate_sources(card(), "a", override=put(tmp_path, "model.pt")) == {"weights": tmp_path}


def test_a_folder_of_folders_may_be_given(tmp_path: Path) -> None:
    put(tmp_path, "toy/model.pt")
    assert locate_sources(card(), "a", override=tmp_path) == {"weights": tmp_path / "toy"}


def test_what_to_download_is_said_and_what_lies_there_instead() -> None:
    put(weights_dir() / "toy", "model (1).pt")
    wanted = r"Download model\.pt from the toy's page, put them in .*/weights/toy, or .*holds model \(1\)\.pt"
    with pytest.raises(WeightsNotFoundError, match=wanted):
        locate_sources(card(), "a")


def test_any_of_the_alternatives_will_do() -> None:
    weights = {"folder": "toy", "files": {"a.pt": "", "b.json": ""}, "alternatives": [{"old.pth": ""}]}
    source = card(weights=weights)
    put(weights_dir() / "toy", "b.json")
    with pytest.raises(WeightsNotFoundError, match=r"Download a\.pt, b\.json"):
        locate_sources(source, "a")
    folder = put(weights_dir() / "toy", "old.pth")
    assert locate_sources(source, "a")["weights"] == folder
    assert source.weights is not None
    assert [path.name for path in weights_files(source.weights, "a", folder)] == ["b.json", "old.pth"]


def test_a_setting_may_have_files_of_its_own() -> None:
    source = card(weights={"folder": "toy", "files": {"model.pt": ""}, "by_setting": {"b": {"b/km.bin": ""}}})
    put(weights_dir() / "toy", "model.pt")
    assert [state.is_ready for state in examine(source).values()] == [True, False]
    with pytest.raises(WeightsNotFoundError, match=r"Download b/km\.bin, model\.pt"):
        locate_sources(source, "b")
    put(weights_dir() / "toy", "b/km.bin")
    assert {str(state) for state in examine(source).values()} == {"ready"}


def test_a_part_is_shared_with_other_codecs(tmp_path: Path) -> None:
    source = card(parts={"encoder": {"folder": "shared-encoder", "files": {"encoder.pt": ""}}})
    put(tmp_path, "model.pt")
    with pytest.raises(WeightsNotFoundError, match=r"Download encoder\.pt.*weights/shared-encoder"):
        locate_sources(source, "a", override=tmp_path)
    put(weights_dir() / "shared-encoder", "encoder.pt")
    folders = locate_sources(source, "a", override=tmp_path)
    assert folders == {"weights": tmp_path, "encoder": weights_dir() / "shared-encoder"}
    put(tmp_path / "shared-encoder", "encoder.pt")
    assert locate_sources(source, "a", override=tmp_path)["encoder"] == tmp_path / "shared-encoder"


def test_a_file_with_another_hash_is_refused_unless_it_is_only_listed() -> None:
    expected = hashlib.sha256(b"the published one").hexdigest()
    source = card(weights={"folder": "toy", "files": {"model.pt": expected}})
    put(weights_dir() / "toy", "model.pt")
    with pytest.raises(WeightsError, match=f"model.pt: expected SHA-256 {expected}, found"):
        locate_sources(source, "a")
    assert "expected SHA-256" in examine(source)["a"].remark
    assert examine(source, verify=False)["a"].is_ready


def test_a_missing_library_is_asked_for_by_its_package() -> None:
    state = examine(card(weights=None, libraries={"no-such-thing": "libno-such-thing1"}))["a"]
    assert str(state) == "missing"
    assert state.remark == "toy needs libno-such-thing of the system. On Debian: apt install libno-such-thing1"


def test_every_number_of_codebooks_is_a_setting() -> None:
    residual = {"num_codebooks": 3, "codebook_size": 1024, "frame_rate_hz": 12.5}
    made = card(settings={}, residual=residual, default_setting="2x1024")
    assert made.settings == {f"{k}x1024": {"num_codebooks": k} for k in (1, 2, 3)}
    assert made.bitrate_bps == {"1x1024": 125.0, "2x1024": 250.0, "3x1024": 375.0}
