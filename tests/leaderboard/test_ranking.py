"""The joint order of codecs, against pairs counted one by one."""

import re

import numpy as np
import pytest
from leaderboard.builder import Results, bitrate, board, summary_of

from tokbench.errors import SpecError
from tokbench.leaderboard.build import files_of
from tokbench.leaderboard.cells import read_sections
from tokbench.leaderboard.ranking import Ranks, rank
from tokbench.leaderboard.spec import Leaderboard, find_leaderboard
from tokbench.leaderboard.table import read_tables
from tokbench.metrics.catalogue import METRICS

QUESTIONS = [
    {"heading": "Sound", "columns": ["pesq_wb", "mel_distance_dac"]},
    {"heading": "Tokens", "columns": ["codebook_usage"]},
]


def asked(**fields: object) -> Leaderboard:
    groups = [
        {
            "heading": "Quality",
            "task": "reconstruction.v1",
            "columns": [{"metric": "pesq_wb"}, {"metric": "mel_distance_dac"}],
        },
        {
            "heading": "Codes",
            "task": "tokens.v1",
            "columns": [{"metric": "bitrate_nominal_bps"}, {"metric": "codebook_usage"}],
        },
    ]
    return board(groups=groups, ranking={"edges_bps": [500, 1000, 2000], "questions": QUESTIONS, **fields})


def ranks(results: Results) -> Ranks:
    shown = asked()
    [section] = read_sections(shown, results.folder)
    found = rank(shown, section)
    assert found is not None
    return found


def add(
    results: Results, codec: str, rate_bps: float, pesq: list[float | None], mel: list[float], usage: float
) -> None:
    results.num_utterances = len(pesq)
    results.add(codec, "1", {"pesq_wb": pesq, "mel_distance_dac": mel})
    use = summary_of("codebook_usage", [usage] * 3, better="higher", low=usage - 0.05, high=usage + 0.05)
    results.add(codec, "1", task="tokens.v1", summaries=[bitrate(rate_bps), use])


@pytest.fixture
def filled(results: Results) -> Results:
    """Return four codecs in one band, of which two cannot be told apart by PESQ, one in another, and an anchor."""
    hard = np.random.default_rng(0).normal(0, 0.3, 40)

    def around(value: float) -> list[float | None]:
        return [float(item) for item in value + hard]

    add(results, "best", 500, around(3.0), [0.5] * 40, 0.90)
    add(results, "good", 600, around(2.5), [0.6] * 40, 0.91)
    same = [float(item) for item in 2.5 + hard + np.random.default_rng(1).normal(0, 0.2, 40)]
    add(results, "as-good", 700, list(same), [0.7] * 40, 0.50)
    add(results, "worst", 999, around(1.5), [0.8] * 40, 0.20)
    add(results, "other", 1000, around(1.0), [0.9] * 40, 0.10)
    add(results, "far", 9000, around(4.0), [0.1] * 40, 1.0)
    add(results, "identity", 600, around(4.6), [0.0] * 40, 1.0)
    return results


def test_ranks_are_those_of_pairs_counted_one_by_one(filled: Results) -> None:
    first, second = ranks(filled).bands
    assert (first.low_bps, first.high_bps, second.low_bps, second.high_bps) == (500, 1000, 1000, 2000)
    found = {item.row.codec.name: item for item in first.ranked}
    # PESQ: 1, 2.5, 2.5, 4. Mel: 1, 2, 3, 4. Usage: the first two are tied, 1.5 each; then 3 and 4.
    expected = {"best": (1.0, 1.5), "good": (2.25, 1.5), "as-good": (2.75, 3.0), "worst": (4.0, 4.0)}
    assert {name: (item.questions["Sound"], item.questions["Tokens"]) for name, item in found.items()} == expected
    assert [item.row.codec.name for item in first.ranked] == list(expected)
    assert {name: item.joint for name, item in found.items()} == {
        name: pytest.approx(sum(values) / 2) for name, values in expected.items()
    }
    assert [item.place for item in first.ranked] == [1, 2, 3, 4]
    assert [(item.place, item.joint) for item in second.ranked] == [(1, 1.0)]


def test_ranks_of_a_column_add_up_whatever_is_tied(filled: Results) -> None:
    for band in ranks(filled).bands:
        count = len(band.ranked)
        for heading in ("Sound", "Tokens"):
            total = sum(item.questions[heading] or 0.0 for item in band.ranked)
            assert total == pytest.approx(count * (count + 1) / 2)


def test_anchors_and_other_bitrates_are_in_no_band(filled: Results) -> None:
    found = ranks(filled)
    assert found.outside == ("far:1",)
    assert all(item.row.codec.name != "identity" for band in found.bands for item in band.ranked)


def test_who_lacks_a_number_has_no_joint_rank_and_costs_nobody_else_theirs(filled: Results) -> None:
    add(filled, "half", 800, [None, *[2.0] * 39], [0.4] * 40, 0.95)
    first = ranks(filled).bands[0]
    half = first.ranked[-1]
    assert half.row.codec.name == "half"
    assert (half.place, half.joint, half.questions["Sound"]) == (None, None, None)
    assert half.questions["Tokens"] is not None
    found = {item.row.codec.name: item for item in first.ranked}
    assert found["best"].questions["Sound"] == 1.5  # half has the better mel distance, and no PESQ
    assert found["best"].place == 1


def test_a_question_that_nobody_was_asked_is_left_out(results: Results) -> None:
    for name, value in (("one", 3.0), ("two", 2.0)):
        results.add(name, "1", {"pesq_wb": [value, value + 0.1] * 2, "mel_distance_dac": [0.5] * 4})
        results.add(name, "1", task="tokens.v1", summaries=[bitrate(600)])
    found = ranks(results)
    assert (found.headings, found.not_asked) == (("Sound",), ("Tokens",))
    assert [item.place for item in found.bands[0].ranked] == [1, 2]


def test_equal_joint_ranks_share_a_place(results: Results) -> None:
    for name in ("one", "two"):
        add(results, name, 600, [3.0, 3.1, 2.9, 3.0], [0.5] * 4, 0.5)
    add(results, "three", 600, [1.0, 1.1, 0.9, 1.0], [0.9] * 4, 0.1)
    assert [item.place for item in ranks(results).bands[0].ranked] == [1, 1, 3]


def test_ranks_stand_in_the_table_and_on_the_page(filled: Results) -> None:
    [table] = read_tables(asked(), filled.folder)
    wide = table.wide().set_index("codec")
    assert wide.loc[
        "best", ["band_bps", "place_in_band", "joint_rank", "rank: Sound", "rank: Tokens"]
    ].tolist() == [
        "500-1000",
        1,
        1.25,
        1.0,
        1.5,
    ]
    assert wide.loc["identity", ["band_bps", "joint_rank"]].isna().all()
    page = files_of(asked(), read_tables(asked(), filled.folder))["small.html"].decode()
    section = page[page.index("Ranks at the same bitrate") : page.index('<table class="board">')]
    assert re.search(r"0\.500 to 1\.00 kbit/s", section)
    assert re.findall(r'class="name">([a-z-]+)<', section) == ["best", "good", "as-good", "worst", "other"]
    assert "In no band:\n    far:1." in section


def test_a_leaderboard_without_a_ranking_has_none(filled: Results) -> None:
    [table] = read_tables(board(), filled.folder)
    assert table.joint is None
    assert "band_bps" not in table.wide()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"edges_bps": [1000, 500]}, "edges_bps: expected rising numbers"),
        (
            {"questions": [{"heading": "?", "columns": ["stoi"]}]},
            "ranking.questions 'stoi' is not among the columns",
        ),
        ({"rate": "kbps"}, "ranking.rate 'kbps' is not among the columns"),
    ],
)
def test_a_ranking_of_what_is_not_there_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises((SpecError, ValueError), match=problem):
        asked(**fields)


def test_the_overview_ranks_by_what_has_a_direction() -> None:
    shown = find_leaderboard("overview")
    assert shown.ranking is not None
    for question in shown.ranking.questions:
        for key in question.columns:
            assert METRICS[shown.columns[key].metric].better is not None
