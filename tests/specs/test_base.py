"""A spec that says only in what it differs from another."""

from pathlib import Path

import pytest

from tokbench.errors import SpecError
from tokbench.specs.codec import find_spec, read_spec


def test_a_table_of_another_kind_takes_the_place_of_the_bases() -> None:
    base, _ = find_spec("speechtokenizer", "tiny")
    spec, _ = find_spec("speechtokenizer-units", "tiny")
    differing = {name for name, value in base if getattr(spec, name) != value}
    assert differing == {"name", "title", "distillation"}
    assert spec.model_dump()["distillation"]["semantic"]["kind"] == "units"


def test_the_base_lies_beside_the_file_or_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "encodec.toml").write_text('base = "encodec"\nname = "mine"\ntraining = { batch_size = 7 }\n')
    (tmp_path / "yours.toml").write_text('base = "encodec"\nname = "yours"\n')
    yours = read_spec(tmp_path / "yours.toml").model_dump()
    published = find_spec("encodec")[0].model_dump()
    assert (yours["name"], yours["training"]["batch_size"]) == ("yours", 7)
    published |= {"name": "yours", "training": {**published["training"], "batch_size": 7}}
    assert yours == published


def test_a_base_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "mine"\n')
    with pytest.raises(SpecError, match="base: no other spec named 'mine'"):
        read_spec(path)
