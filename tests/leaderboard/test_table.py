import csv
import io
from typing import Any

import pytest
from leaderboard.builder import Results, bitrate, board, summary_of

from tokbench.leaderboard.table import Table, csv_bytes, read_tables


@pytest.fixture
def measured(results: Results) -> Results:
    """Write three codecs whose numbers can be worked out by hand, one of them with a failure."""
    results.add(
        "opus", "12kbps", {"pesq_wb": [3.0, 3.5, 2.5, 3.0], "mel_distance_dac": [(2, 4), (1, 1), (0, 0), (3, 3)]}
    )
    results.add("kmeans", "256", {"pesq_wb": [2.0, None, 2.0, None]}, trained_on=("synth",), num_parameters=1024)
    results.add("identity", "pcm", {"pesq_wb": [4.6] * 4, "mel_distance_dac": [0.0] * 4})
    results.add("opus", "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    results.add_cost("opus", "12kbps", encode_rtf=0.125)
    return results


@pytest.fixture
def contested(measured: Results) -> Results:
    """Add a codec that is worse than opus in everything."""
    measured.add("mulaw", "4bit", {"pesq_wb": [1.0] * 4, "mel_distance_dac": [9.0] * 4})
    return measured


def table(results: Results, **fields: Any) -> Table:
    [found] = read_tables(board(**fields), results.folder)
    return found


def lines(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_wide_table_holds_the_numbers_worked_out_by_hand(measured: Results) -> None:
    wide = lines(csv_bytes([table(measured).wide()]))
    assert [(line["codec"], line["setting"], line["rank"]) for line in wide] == [
        ("identity", "pcm", ""),
        ("opus", "12kbps", "1"),
        ("kmeans", "256", ""),
    ]
    opus = wide[1]
    assert opus["pesq_wb"] == "3"  # (3 + 3.5 + 2.5 + 3) / 4
    assert opus["mel_distance_dac"] == "0.75"  # (2 + 1 + 0 + 3) / (4 + 1 + 0 + 3), and not a mean of ratios
    assert (opus["pesq_wb.low"], opus["pesq_wb.high"]) == ("2.64645", "3.35355")  # ± 2 · sqrt(0.125) / sqrt(4)
    assert (opus["pesq_wb.num_ok"], opus["pesq_wb.num_total"]) == ("4", "4")
    assert (opus["bitrate_nominal_bps"], opus["bitrate_nominal_bps.tied_with_best"]) == ("12000", "")
    assert (opus["anchor"], opus["trained_on_this_corpus"]) == ("no", "no")


def test_the_best_is_told_from_the_others(contested: Results) -> None:
    marks = {line["codec"]: line["pesq_wb.tied_with_best"] for line in lines(csv_bytes([table(contested).wide()]))}
    assert marks == {"identity": "", "opus": "yes", "mulaw": "no", "kmeans": ""}


def test_one_that_stands_alone_is_not_the_best(measured: Results) -> None:
    shown = table(measured)
    opus = next(row for row in shown.section.rows if row.codec.name == "opus")
    assert shown.is_tied(opus, "pesq_wb") is None  # identity is an anchor, and kmeans has no number
    assert shown.is_tied(opus, "mel_distance_dac") is None
    assert shown.ranks() == {"opus:12kbps": 1}


@pytest.mark.parametrize("group", ["untrained", "shuffled", "ceiling", "original", "input"])
def test_floors_and_ceilings_have_no_best(results: Results, group: str) -> None:
    for codec, value in {"a": 2.0, "b": 3.0}.items():
        summaries = [summary_of("pesq_wb", [value] * 4, group=each) for each in ("all", group)]
        results.add(codec, "1", summaries=summaries)
    columns = [{"metric": "pesq_wb"}, {"metric": "pesq_wb", "group": group}]
    groups = [{"heading": "Quality", "task": "reconstruction.v1", "columns": columns}]
    shown = table(results, groups=groups, plot=None)
    marks = {row.codec.name: [shown.is_tied(row, key) for key in row.cells] for row in shown.section.rows}
    assert marks == {"a": [False, None], "b": [True, None]}
    assert [*shown.standings] == ["pesq_wb"]


def test_a_missing_number_is_an_empty_cell_with_its_reason(measured: Results) -> None:
    kmeans = lines(csv_bytes([table(measured).wide()]))[2]
    assert (kmeans["pesq_wb"], kmeans["pesq_wb.low"], kmeans["pesq_wb.tied_with_best"]) == ("", "", "")
    assert (kmeans["pesq_wb.num_ok"], kmeans["pesq_wb.num_total"]) == ("2", "4")
    assert kmeans["pesq_wb.missing"] == "2 of 4 failed: the codec crashed (2)"
    assert kmeans["mel_distance_dac.missing"] == "not in the record of reconstruction.v1"
    assert kmeans["bitrate_nominal_bps.missing"].startswith("not run: tokbench run --codec kmeans:256")
    assert (kmeans["trained_on_this_corpus"], kmeans["num_parameters"]) == ("yes", "1024")


def test_equal_numbers_share_their_rank(results: Results) -> None:
    for codec, value in {"a": 2.0, "b": 3.0, "c": 2.0 + 1e-12, "d": 1.0}.items():
        results.add(codec, "1", {"pesq_wb": [value] * 4})
    assert table(results, plot=None).ranks() == {"b:1": 1, "a:1": 2, "c:1": 2, "d:1": 4}


def test_an_anchor_is_marked_and_never_ranked(measured: Results) -> None:
    identity = lines(csv_bytes([table(measured).wide()]))[0]
    assert (identity["anchor"], identity["rank"], identity["pesq_wb.tied_with_best"]) == ("yes", "", "")


def test_a_table_that_is_sorted_by_a_description_ranks_nobody(measured: Results) -> None:
    assert table(measured, sort_by="bitrate_nominal_bps").ranks() == {}


def test_the_long_table_holds_every_number_of_every_record(contested: Results) -> None:
    long = lines(csv_bytes([table(contested).long()]))
    assert len(long) == 2 + 2 + 1 + 1 + 2 + 1  # identity, opus, its bitrate and its cost, mulaw, kmeans
    opus = next(line for line in long if line["codec"] == "opus" and line["metric"] == "mel_distance_dac")
    assert opus["record"] == "reconstruction.v1/synth/opus/12kbps.json"
    assert (opus["value"], opus["better"], opus["group"], opus["tied_with_best"]) == ("0.75", "lower", "all", "yes")
    cost = next(line for line in long if line["metric"] == "encode_rtf")
    assert (cost["depends_on_machine"], cost["value"], cost["tied_with_best"]) == ("yes", "0.125", "")
    kmeans = next(line for line in long if line["codec"] == "kmeans")
    assert kmeans["reasons"] == '{"the codec crashed": 2}'
    assert (kmeans["value"], kmeans["status"]) == ("", "partial")


def test_the_long_table_holds_each_codebook(results: Results) -> None:
    parts = [summary_of("usage", [0.5]), summary_of("usage", [0.25], group="codebook 2")]
    results.add("opus", "12kbps", task="tokens.v1", summaries=parts)
    long = lines(csv_bytes([table(results).long()]))
    assert [(line["group"], line["value"]) for line in long] == [("all", "0.5"), ("codebook 2", "0.25")]


def test_a_board_may_leave_single_codebooks_out(results: Results) -> None:
    parts = [summary_of("usage", [0.5]), summary_of("usage", [0.25], group="codebook 2")]
    results.add("opus", "12kbps", task="tokens.v1", summaries=parts)
    long = lines(csv_bytes([table(results, per_codebook=False).long()]))
    assert [(line["group"], line["value"]) for line in long] == [("all", "0.5")]


def test_tables_of_several_corpora_follow_one_another(measured: Results) -> None:
    measured.corpus = "another"
    measured.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    tables = read_tables(board(), measured.folder)
    wide = lines(csv_bytes([each.wide() for each in tables]))
    assert [line["corpus"] for line in wide] == ["synth", "synth", "synth", "another"]


def test_a_name_cannot_break_out_of_its_cell(results: Results) -> None:
    name = '<script>alert("x")</script> \'q" 音, a;b'
    results.add(name, "1\n2", {"pesq_wb": [3.0] * 4})
    [line] = lines(csv_bytes([table(results).wide()]))
    assert (line["codec"], line["setting"]) == (name, "1\n2")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.333333"),
        (12000.0, "12000"),
        (1e-9, "1e-09"),
        (-0.0, "0"),
        (123456.789, "123457"),
        (5e8, "500000000"),
    ],
)
def test_numbers_have_six_digits(results: Results, value: float, text: str) -> None:
    results.add("opus", "1", task="tokens.v1", summaries=[bitrate(value)])
    [line] = lines(csv_bytes([table(results).wide()]))
    assert line["bitrate_nominal_bps"] == text


def test_no_records_make_no_table(results: Results) -> None:
    assert read_tables(board(), results.folder) == []
