"""One table of all tables of a page."""

import re
from dataclasses import replace
from typing import Any

import pytest
from leaderboard.builder import Results, board, summary_of

from tokbench.leaderboard.glance import Glance
from tokbench.leaderboard.page import render
from tokbench.leaderboard.table import read_tables
from tokbench.leaderboard.view import TableView

GROUPS = [
    {"heading": "Said", "task": "said.v1", "prefix": "said", "columns": [{"metric": "stoi"}]},
    {"heading": "Sung", "task": "sung.v1", "prefix": "sung", "columns": [{"metric": "mel_distance_dac"}]},
]
GOOD, POOR = [0.9, 0.8, 0.9, 0.8], [0.5, 0.4, 0.6, 0.4]


def shown(**fields: Any) -> Any:
    return board(groups=GROUPS, plot=None, table_per_group=True, sort_by="said/stoi", **fields)


def floor(values: list[float], group: str, metric: str = "stoi") -> Any:
    return summary_of(metric, values, group=group)


def glance(results: Results) -> Glance:
    return Glance([TableView(table) for table in read_tables(shown(), results.folder)])


def test_every_codec_has_a_column_and_every_table_a_line(results: Results) -> None:
    results.add("b", "1", {"stoi": GOOD}, task="said.v1")
    results.add("a", "1", {"stoi": POOR}, task="said.v1")
    results.add("b", "1", {"mel_distance_dac": POOR}, task="sung.v1")
    found = glance(results)
    assert [codec.name for codec in found.codecs] == ["b", "a"]  # b is in two tables
    assert [(line.view.title, line.heading.text, line.heading.arrow) for line in found.lines] == [
        ("Said", "STOI", "↑"),
        ("Sung", "mel distance dac", "↓"),
    ]
    texts = [[each and each.entry.text for each in line.entries] for line in found.lines]
    assert texts == [["0.850", "0.475"], ["0.475", None]]
    assert [each and each.is_best for each in found.lines[0].entries] == [True, False]


def test_what_is_no_better_than_a_floor_is_idle_and_not_the_best(results: Results) -> None:
    results.add(
        "a", "1", {"stoi": GOOD}, task="said.v1", summaries=[floor(GOOD, "swapped"), floor(POOR, "untrained")]
    )
    results.add("b", "1", {"stoi": POOR}, task="said.v1", summaries=[floor([0.1] * 4, "untrained")])
    (line,) = glance(results).lines
    first, second = line.entries
    assert first is not None
    assert second is not None
    assert (first.entry.is_best, first.is_idle, first.is_best) == (True, True, False)
    assert (second.is_idle, second.is_best) == (False, False)


CLEAR, LESS, WIDE = [0.9, 0.8, 0.9, 0.8], [0.5, 0.4, 0.5, 0.4], [0.9, 0.1, 0.9, 0.1]


@pytest.mark.parametrize("group", ["untrained", "swapped", "guess"])
def test_a_floor_is_cleared_where_the_difference_is_clear(results: Results, group: str) -> None:
    for place, (of_model, of_floor) in enumerate([(CLEAR, LESS), (LESS, CLEAR), (WIDE, LESS)]):
        results.add("a", str(place), {"stoi": of_model}, task="said.v1", summaries=[floor(of_floor, group)])
        beside = [floor(of_floor, group, "mel_distance_dac")]
        results.add("a", str(place), {"mel_distance_dac": of_model}, task="sung.v1", summaries=beside)
    assert [[each and each.is_idle for each in line.entries] for line in glance(results).lines] == [
        [False, True, True],
        [True, False, True],  # lower is better
    ]


def test_shuffled_codes_and_ceilings_are_no_floors(results: Results) -> None:
    beside = [floor(GOOD, group) for group in ("shuffled", "ceiling", "original", "input")]
    results.add("a", "1", {"stoi": POOR}, task="said.v1", summaries=beside)
    ((entry,),) = (line.entries for line in glance(results).lines)
    assert entry is not None
    assert not entry.is_idle


def test_a_missing_number_is_faint(results: Results) -> None:
    results.add("a", "1", {"stoi": [0.9, None, 0.9, 0.9]}, task="said.v1")
    ((entry,),) = (line.entries for line in glance(results).lines)
    assert entry is not None
    assert (entry.is_idle, entry.entry.text) == (True, "")


def test_the_page_links_its_lines_to_its_tables(results: Results) -> None:
    results.add("a", "<1>", {"stoi": GOOD}, task="said.v1")
    results.add("a", "<1>", {"mel_distance_dac": POOR}, task="sung.v1")
    page = shown()
    text = render(page, read_tables(page, results.folder)).html.decode()
    inside = text[text.index('<section class="glance">') : text.index('<section class="corpus"')]
    assert re.findall(r'<a href="#([^"]*)">([^<]*)</a>', inside) == [("corpus-1", "Said"), ("corpus-2", "Sung")]
    assert re.findall(r'id="(corpus-\d)">\s*<h2>([^<]*)</h2>', text) == [("corpus-1", "Said"), ("corpus-2", "Sung")]
    assert "&lt;1&gt;" in inside
    assert "On this page" not in text


def test_tables_of_one_title_are_told_apart_by_their_corpora(results: Results) -> None:
    results.add("a", "1", {"stoi": GOOD}, task="said.v1")
    results.add("a", "1", {"mel_distance_dac": POOR}, task="sung.v1")
    replace(results, corpus="rooms").add("a", "1", {"stoi": POOR}, task="said.v1")
    lines = glance(results).lines
    assert [(line.view.title, line.corpus) for line in lines] == [
        ("Said", "rooms"),
        ("Said", "synth"),
        ("Sung", ""),
    ]
    page = shown()
    text = render(page, read_tables(page, results.folder)).html.decode()
    inside = text[text.index('<section class="glance">') : text.index('<section class="corpus"')]
    assert re.findall(r'</a><span class="setting">([^<]*)</span>', inside) == ["rooms", "synth"]


def test_a_page_of_one_table_has_none(results: Results) -> None:
    results.add("a", "1", {"stoi": GOOD}, task="said.v1")
    page = shown()
    assert "At a glance" not in render(page, read_tables(page, results.folder)).html.decode()
