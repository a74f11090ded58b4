"""Tables on terminals of several widths."""

import re
import sys

import pytest

from tokbench.cli.terminal import print_table

COLUMNS = ("metric", "codec", "baseline", "verdict")
ROW = ("mel_distance_codec_superb", "0.123456", "0.654321", "better, of sixty utterances missing")


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table([ROW], columns=COLUMNS, numeric=("codec", "baseline"), optional=("baseline", "codec"))
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (120, ROW, ""),
        (71, ROW[:3], ""),  # 25 + 8 + 8 + 16, and 11 between and around them; the verdict folds
        (67, ROW[:2], "baseline"),
        (50, ROW[:1], "codec, baseline"),
    ],
)
def test_names_and_numbers_are_whole_and_the_rest_folds_or_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
    shown: tuple[str, ...],
    left_out: str,
) -> None:
    text = printed(monkeypatch, capsys, width)
    assert all(cell in text for cell in shown)
    assert all(cell not in text for cell in ROW[len(shown) : 3])
    assert all(word in text for word in ROW[3].split())
    table, _, note = text.partition("No room for: ")
    assert note.partition(".")[0] == left_out
    assert max(map(len, table.splitlines())) <= width


def test_a_name_that_is_wider_than_the_terminal_folds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(monkeypatch, capsys, 30).partition("No room")[0].splitlines()
    assert max(map(len, lines)) <= 30
    assert "".join(line[1:14].strip() for line in lines[3:]) == ROW[0]


def test_a_pipe_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([ROW], columns=COLUMNS, optional=("baseline",))
    assert capsys.readouterr().out == "\t".join(COLUMNS) + "\n" + "\t".join(ROW) + "\n"
