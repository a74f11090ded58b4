from collections.abc import Callable
from typing import Any

import pytest
from leaderboard.builder import Results, bitrate, board, summary_of
from pydantic import ValidationError

from tokbench.errors import RecordError
from tokbench.leaderboard.cells import MixedRecordsError, Section, read_sections
from tokbench.records import CorpusSummary, TaskSummary

QUALITY = {"pesq_wb": [3.0, 3.0, 3.0, 3.0], "mel_distance_dac": [1.0, 1.0, 1.0, 1.0]}


def section(results: Results, **fields: Any) -> Section:
    [found] = read_sections(board(**fields), results.folder)
    return found


def test_rows_stand_in_the_order_of_the_sorting_column(results: Results) -> None:
    for codec, value in {"worst": 1.0, "best": 4.0, "middle": 2.0}.items():
        results.add(codec, "1", {"pesq_wb": [value] * 4, "mel_distance_dac": [value] * 4})
    assert [row.codec.name for row in section(results).rows] == ["best", "middle", "worst"]
    by_distance = section(results, sort_by="mel_distance_dac")
    assert [row.codec.name for row in by_distance.rows] == ["worst", "middle", "best"]


def test_equal_values_are_ordered_by_name(results: Results) -> None:
    for codec in ("b", "c", "a"):
        results.add(codec, "1", QUALITY)
    assert [row.codec.name for row in section(results).rows] == ["a", "b", "c"]


def test_a_row_with_a_failed_utterance_stays_at_the_end_with_its_reason(results: Results) -> None:
    results.add("fragile", "1", {**QUALITY, "pesq_wb": [4.0, None, 4.0, 4.0]})
    results.add("solid", "1", QUALITY)
    rows = section(results).rows
    assert [row.codec.name for row in rows] == ["solid", "fragile"]
    assert rows[1].cells["pesq_wb"].value is None
    assert rows[1].cells["pesq_wb"].missing == "1 of 4 failed: the codec crashed (1)"
    assert rows[1].cells["mel_distance_dac"].value == 1.0


def test_a_task_that_was_not_run_is_missing_with_the_command_that_runs_it(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    results.add("mulaw", "8bit", QUALITY)
    results.add("mulaw", "8bit", task="tokens.v1", summaries=[bitrate(64000)])
    missing = {row.codec.name: row.cells["bitrate_nominal_bps"].missing for row in section(results).rows}
    assert missing == {
        "mulaw": "",
        "opus": "not run: tokbench run --codec opus:12kbps --task tokens.v1 --corpus synth",
    }


def test_the_command_can_be_typed_in_a_shell(results: Results) -> None:
    results.corpus = "synth-words?kind=digit&split=test.v1"
    results.add("opus", "12kbps", QUALITY)
    missing = section(results).rows[0].cells["bitrate_nominal_bps"].missing
    assert missing.endswith("--corpus 'synth-words?kind=digit&split=test'")
    results.overrides = {"provenance": {"limit": 4}}
    results.add("opus", "12kbps", QUALITY)
    assert section(results).rows[0].cells["bitrate_nominal_bps"].missing == f"{missing} --limit 4"


def test_what_stands_beside_the_rest_makes_no_row(results: Results) -> None:
    results.add("opus", "12kbps", QUALITY)
    for codec in ("opus", "mulaw"):
        results.add(codec, "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    results.corpus = "other.v1"
    results.add("mulaw", "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    assert len(read_sections(board(), results.folder)) == 2
    quality, cost = board().groups
    beside = cost.model_copy(update={"beside": True})
    only = section(results, groups=[quality, beside])
    assert [row.codec.name for row in only.rows] == ["opus"]
    assert only.rows[0].cells["bitrate_nominal_bps"].value == 12000
    with pytest.raises(ValidationError, match="expected one that does not stand beside others"):
        board(groups=[beside], sort_by="bitrate_nominal_bps", plot=None)


def test_rows_are_sorted_by_what_was_measured_on_their_corpus(results: Results) -> None:
    for codec, value in {"worst": 3.0, "best": 1.0}.items():
        results.add(codec, "1", {"mel_distance_dac": [value] * 4})
    results.corpus = "other.v1"
    results.add("opus", "1", QUALITY)
    other, first = read_sections(board(corpora=["other.v1", "synth"]), results.folder)
    assert (other.board.sort_by, first.board.sort_by) == ("pesq_wb", "mel_distance_dac")
    assert [row.codec.name for row in first.rows] == ["best", "worst"]


def test_a_record_that_was_skipped_says_why(results: Results) -> None:
    results.overrides = {"status": "skipped", "reason": "no weights for encodec"}
    results.add("encodec", "6kbps")
    assert section(results).rows[0].cells["pesq_wb"].missing == "no weights for encodec"


def test_a_metric_that_applies_to_no_utterance_says_so(results: Results) -> None:
    nothing = summary_of("pesq_wb", [1.0], value=None, low=None, high=None, num_ok=0, num_total=0)
    results.add("opus", "12kbps", summaries=[nothing])
    missing = section(results).rows[0].cells["pesq_wb"].missing
    assert missing == "not applicable to any utterance: no reason was recorded"


def test_who_only_encodes_has_no_resynthesis(results: Results) -> None:
    columns = [{"metric": "wer"}, {"metric": "wer", "group": "ceiling", "heading": "resynthesis"}]
    groups = [{"heading": "Text", "task": "lm-asr.v1", "columns": columns}]
    for codec, facts in {"codec": {"num_separable_codebooks": 8}, "units": {}}.items():
        results.add(codec, "1", {"wer": [0.5] * 4}, task="lm-asr.v1", **facts)
    rows = section(results, groups=groups, sort_by="wer", plot=None).rows
    missing = {row.codec.name: [cell.missing for cell in row.cells.values()] for row in rows}
    assert missing["units"] == ["", "units only encodes: there is no resynthesis of it"]
    assert missing["codec"] == ["", "not in the record of lm-asr.v1"]


def test_each_corpus_has_its_own_table_in_the_order_that_is_asked_for(results: Results) -> None:
    for corpus in ("b", "a", "c"):
        results.corpus = corpus
        results.add("opus", "12kbps", QUALITY)
    assert [found.corpus.name for found in read_sections(board(), results.folder)] == ["a", "b", "c"]
    chosen = read_sections(board(corpora=["c", "b", "elsewhere"]), results.folder)
    assert [found.corpus.name for found in chosen] == ["c", "b"]


def test_the_corpus_with_most_columns_filled_comes_first(results: Results) -> None:
    for corpus, scores in {"a": ["pesq_wb"], "b": ["pesq_wb"], "c": [*QUALITY]}.items():
        results.corpus = corpus
        results.add("opus", "12kbps", {name: QUALITY[name] for name in scores})
    assert [found.corpus.name for found in read_sections(board(), results.folder)] == ["c", "a", "b"]
    chosen = read_sections(board(corpora=["a", "c"]), results.folder)
    assert [found.corpus.name for found in chosen] == ["a", "c"]


def test_seeds_of_a_study_stand_on_the_boards_that_name_them_alone(results: Results) -> None:
    for codec in ("encodec-snake-s2", "encodec-tiny"):
        results.add(codec, "8x1024", QUALITY)
    assert [row.codec.name for row in section(results).rows] == ["encodec-tiny"]
    named = section(results, codecs=["encodec-snake-s2"])
    assert [row.codec.name for row in named.rows] == ["encodec-snake-s2"]


def test_a_leaderboard_may_be_about_some_codecs_and_the_anchors_alone(results: Results) -> None:
    for codec in ("opus", "mulaw", "identity", "encodec"):
        results.add(codec, "1", QUALITY)
    chosen = section(results, codecs=["opus", "mulaw", "elsewhere"])
    assert [row.codec.name for row in chosen.rows] == ["identity", "mulaw", "opus"]


def test_costs_are_told_from_measurements(results: Results) -> None:
    columns = [{"metric": "encode_rtf"}, {"metric": "bitrate_nominal_bps"}]
    groups = [{"heading": "Cost", "task": "tokens.v1", "columns": columns}]
    results.add("opus", "12kbps", task="tokens.v1", summaries=[bitrate(12000)])
    results.add_cost("opus", "12kbps", encode_rtf=0.25)
    cells = section(results, groups=groups, sort_by="encode_rtf", plot=None).rows[0].cells
    assert (cells["encode_rtf"].value, cells["encode_rtf"].is_cost) == (0.25, True)
    assert not cells["bitrate_nominal_bps"].is_cost


@pytest.mark.parametrize(
    ("trained_on", "seen"),
    [
        (("librispeech",), ("librispeech",)),
        (("LibriSpeech", "vctk"), ("LibriSpeech",)),
        (("librispeech-test",), ("librispeech-test",)),
        (("libri", "vctk"), ()),
        (("librispeech-train", "librispeech-dev+test"), ("librispeech-dev+test",)),
        ((), ()),
    ],
)
def test_a_codec_that_saw_the_corpus_in_training_is_known(
    results: Results, trained_on: tuple[str, ...], seen: tuple[str, ...]
) -> None:
    results.corpus = "librispeech-test"
    results.add("neural", "1", QUALITY, trained_on=trained_on)
    assert section(results).rows[0].trained_on("librispeech-test") == seen


def test_a_column_never_mixes_two_judges(results: Results) -> None:
    results.add("a", "1", summaries=[summary_of("pesq_wb", [3.0], judge="wer by whisper-tiny")])
    results.add("b", "1", summaries=[summary_of("pesq_wb", [3.0], judge="wer by whisper-large")])
    with pytest.raises(
        MixedRecordsError,
        match=r"v1/synth/a/1\.json and reconstruction\.v1/synth/b/1\.json cannot stand in one table: "
        "the judge of pesq_wb is 'wer by whisper-tiny' in the one and 'wer by whisper-large' in the other",
    ):
        read_sections(board(), results.folder)


def test_a_cell_skipped_for_want_of_its_judge_stands_beside_others(results: Results) -> None:
    results.add("a", "1", summaries=[summary_of("pesq_wb", [None])])
    results.add("b", "1", summaries=[summary_of("pesq_wb", [3.0], judge="wer by whisper-large")])
    assert len(read_sections(board(), results.folder)[0].rows) == 2
    results.add("c", "1", summaries=[summary_of("pesq_wb", [3.0], judge="wer by whisper-tiny")])
    with pytest.raises(MixedRecordsError, match="the judge of pesq_wb is 'wer by whisper-large' in the one"):
        read_sections(board(), results.folder)


@pytest.mark.parametrize(("field", "value"), [("unit", "dB"), ("source", "another paper"), ("better", "lower")])
def test_a_column_never_mixes_two_definitions(results: Results, field: str, value: str) -> None:
    results.add("a", "1", summaries=[summary_of("pesq_wb", [3.0])])
    results.add("b", "1", summaries=[summary_of("pesq_wb", [3.0], **{field: value})])
    with pytest.raises(MixedRecordsError, match=f"the {field} of pesq_wb"):
        read_sections(board(), results.folder)


def other_task(results: Results) -> None:
    results.overrides = {"task": TaskSummary(id="reconstruction.v1", kind="x", question="x", sha256="0" * 64)}


def other_corpus(results: Results) -> None:
    corpus = CorpusSummary(name="synth", reference="synth", num_utterances=4, duration_s=1.0, sha256="0" * 64)
    results.overrides = {"corpus": corpus}


def other_limit(results: Results) -> None:
    results.overrides = {"provenance": {"limit": 10}}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (other_task, "the hash of the task"),
        (other_corpus, "the hash of the corpus"),
        (other_limit, "--limit is 'everything' in the one and 10 in the other"),
    ],
)
def test_a_table_never_mixes_what_was_asked(results: Results, change: Callable[[Results], None], what: str) -> None:
    results.add("a", "1", QUALITY)
    change(results)
    results.add("b", "1", QUALITY)
    with pytest.raises(MixedRecordsError, match=what):
        read_sections(board(), results.folder)


def test_a_row_never_mixes_two_codecs_of_one_name(results: Results) -> None:
    results.add("a", "1", QUALITY)
    results.add("a", "1", task="tokens.v1", summaries=[bitrate(1000)])
    path = results.files("a", "1", "tokens.v1").record
    path.write_text(path.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    with pytest.raises(MixedRecordsError, match=r"tokens\.v1/synth/a/1\.json .* codec fingerprint"):
        read_sections(board(), results.folder)


def test_a_copy_of_a_record_under_another_name_is_found(results: Results) -> None:
    results.add("a", "1", QUALITY)
    path = results.files("a", "1").record
    path.with_name("copy.json").write_bytes(path.read_bytes())
    with pytest.raises(MixedRecordsError, match=r"a/1\.json and .*a/copy\.json"):
        read_sections(board(), results.folder)


def test_a_record_in_the_folder_of_another_task_is_found(results: Results) -> None:
    results.add("a", "1", QUALITY)
    wrong = results.folder / "tokens.v1" / "synth" / "a"
    wrong.mkdir(parents=True)
    results.files("a", "1").record.rename(wrong / "1.json")
    with pytest.raises(MixedRecordsError, match=r"task is 'reconstruction\.v1' in the one and 'tokens\.v1'"):
        read_sections(board(), results.folder)


def test_a_damaged_record_is_named(results: Results) -> None:
    results.add("a", "1", QUALITY)
    results.files("a", "1").record.write_text("{}")
    with pytest.raises(RecordError, match=r"a/1\.json: not a tokbench record"):
        read_sections(board(), results.folder)


def test_a_damaged_record_of_another_task_disturbs_nobody(results: Results) -> None:
    results.add("a", "1", QUALITY)
    results.add("a", "1", task="abx.v1")
    results.files("a", "1", "abx.v1").record.write_text("{}")
    assert len(section(results).rows) == 1


def test_a_board_that_names_its_codecs_has_no_table_of_anchors_alone(results: Results) -> None:
    results.add("identity", "1", QUALITY)
    assert read_sections(board(codecs=("opus",)), results.folder) == []
    assert len(read_sections(board(codecs="*"), results.folder)) == 1
    results.add("opus", "1", QUALITY)
    assert {row.codec.name for row in section(results, codecs=("opus",)).rows} == {"identity", "opus"}
