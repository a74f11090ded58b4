import re
from pathlib import Path

import pytest

from tokbench.corpora.intervals import Interval
from tokbench.corpora.item_files import ListedItem, read_item_file
from tokbench.errors import CorpusError

HEADER = "#file onset offset #phone prev-phone next-phone speaker\n"


def test_items_are_read_by_recording(tmp_path: Path) -> None:
    path = tmp_path / "triphone.item"
    path.write_text(
        f"{HEADER}2035-1 0.3225 0.5225 IH L NG 2035\n\n84-2 1 1.5 T AH SIL 84\n2035-1 0.5 0.7 D N SIL 2035\n"
    )
    found = read_item_file(path)
    assert list(found) == ["2035-1", "84-2"]
    assert found["2035-1"] == (
        ListedItem(Interval(0.3225, 0.5225, "IH"), "L", "NG", "2035"),
        ListedItem(Interval(0.5, 0.7, "D"), "N", "SIL", "2035"),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a 0 1 b c d e\n", "the first line must be '#file onset offset #phone prev-phone next-phone speaker'"),
        (f"{HEADER}a 0 1 b c d\n", "line 2: 6 cells where 7 were expected"),
        (f"{HEADER}a 0 1 b c d e\na one 2 b c d e\n", "line 3: could not convert string to float: 'one'"),
        (f"{HEADER}a 2 1 b c d e\n", "line 2: an interval cannot go from 2.0 s to 1.0 s"),
    ],
)
def test_what_is_no_item_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "some.item"
    path.write_text(text)
    with pytest.raises(CorpusError, match=re.escape(sentence)):
        read_item_file(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none\.item: no such file"):
        read_item_file(tmp_path / "none.item")
