import json
from pathlib import Path

import pytest
from leaderboard.builder import Results, summary_of

from tokbench.errors import RecordError
from tokbench.records import (
    CodecSummary,
    RecordFiles,
    file_safe,
    read_cost,
    read_record,
    read_records,
    read_rows,
    write_json,
)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


def test_a_record_comes_back_as_it_was_written(results: Results) -> None:
    record = results.add("opus", "12kbps", {"pesq_wb": [3.0, 5.0, 5.0, 3.0]}, trained_on=("vctk",))
    assert read_record(results.files("opus", "12kbps").record) == record


def test_equal_records_are_equal_bytes_with_sorted_keys(results: Results) -> None:
    path = results.files("opus", "12kbps").record
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    first = path.read_bytes()
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    assert path.read_bytes() == first
    keys = list(json.loads(first))
    assert keys == sorted(keys)
    assert first.endswith(b"}\n")


def test_a_look_at_the_whole_utterance_survives_json(tmp_path: Path) -> None:
    codec = CodecSummary(
        name="x", title="X", setting="", licence="MIT", source="", trained_on=(), latency_s=float("inf")
    )
    write_json(tmp_path / "codec.json", codec)
    text = (tmp_path / "codec.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["latency_s"] == "Infinity"
    assert CodecSummary.model_validate_json(text) == codec


def test_numbers_are_written_with_nine_digits(tmp_path: Path) -> None:
    path = tmp_path / "number.json"
    write_json(path, summary_of("pesq_wb", [1 / 3]))
    assert json.loads(path.read_text())["value"] == 0.333333333


def test_names_in_any_script_are_kept(results: Results) -> None:
    results.add('<b>"音"</b>', "a/b", {"pesq_wb": [3.0] * 4})
    [(path, record)] = read_records(results.folder)
    assert record.codec.name == '<b>"音"</b>'
    assert path.parent.name == "_b__音___b_"
    assert path.name == "a_b.json"


def test_records_of_one_task_are_read_without_the_others(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    results.add("opus", "12kbps", task="tokens.v1")
    results.add_cost("opus", "12kbps", encode_rtf=0.1)
    assert [record.task.id for _, record in read_records(results.folder)] == ["reconstruction.v1", "tokens.v1"]
    assert [record.task.id for _, record in read_records(results.folder, task="tokens.v1")] == ["tokens.v1"]
    assert list(read_records(results.folder, task="abx.v1")) == []


def test_a_metric_is_found_by_name_and_group(results: Results) -> None:
    parts = [summary_of("usage", [0.5]), summary_of("usage", [0.25], group="codebook 2")]
    record = results.add("opus", "12kbps", summaries=parts)
    whole, part = record.metric("usage"), record.metric("usage", "codebook 2")
    assert whole is not None
    assert part is not None
    assert (whole.value, part.value) == (0.5, 0.25)
    assert record.metric("usage", "codebook 3") is None


def test_a_cost_that_was_not_kept_is_none(results: Results) -> None:
    assert read_cost(results.files("opus", "12kbps").cost) is None
    results.add_cost("opus", "12kbps", task="reconstruction.v1", encode_rtf=0.25)
    cost = read_cost(results.files("opus", "12kbps").cost)
    assert cost is not None
    assert cost.metrics[0].value == 0.25


def test_files_of_a_record_lie_where_it_was_asked_for(results: Results) -> None:
    record = results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    files = RecordFiles.of(results.folder, record)
    assert files.record == results.folder / "reconstruction.v1" / "synth" / "opus" / "12kbps.json"
    assert files.originals == results.folder / "reconstruction.v1" / "synth" / "originals.examples"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "invalid json"),
        ("{", "invalid json"),
        ("[]", "object"),
        ('{"schema_version": 1}', "task: field required"),
    ],
)
def test_a_damaged_record_is_named_with_what_is_wrong(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "12kbps.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=rf"12kbps\.json: not a tokbench record .*{problem}"):
        read_record(path)


def test_a_record_of_a_newer_tokbench_says_so(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    path = results.files("opus", "12kbps").record
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema_version": 2, "new": 1}))
    with pytest.raises(RecordError, match=r"12kbps\.json: written by a newer tokbench: schema 2, this one reads 1"):
        read_record(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 8])
def test_damaged_rows_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "12kbps.parquet"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"12kbps\.parquet: not a table of utterances .* tokbench run --force"):
        read_rows(path)


def test_rows_without_a_column_are_named(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    path = results.files("opus", "12kbps").utterances
    assert read_rows(path, ("utterance",)).num_columns == 1
    with pytest.raises(RecordError, match=r"12kbps\.parquet: no column audio_sha256"):
        read_rows(path, ("utterance", "audio_sha256"))


def test_an_unknown_key_in_a_record_is_refused(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    path = results.files("opus", "12kbps").record
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "__class__": "os.system"}))
    with pytest.raises(RecordError, match="__class__: extra inputs are not permitted"):
        read_record(path)


def test_a_folder_that_cannot_be_written_to_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(RecordError, match="choose another --results DIR"):
        write_json(tmp_path / "results" / "x.json", summary_of("pesq_wb", [1.0]))


@pytest.mark.parametrize(
    ("name", "safe"),
    [("opus", "opus"), ("../../etc", "_.._.._etc"), (".hidden", "_.hidden"), ("", "_"), ("a\x00b\n", "a_b_")],
)
def test_no_name_leaves_its_folder(name: str, safe: str) -> None:
    assert file_safe(name) == safe


def test_a_long_name_becomes_one_that_a_file_may_have() -> None:
    one, other = (file_safe(f"{'語' * 150}/{end}.wav") for end in "ab")
    assert one != other
    assert len(f".{one}.flac.12345678.tmp".encode()) <= 255
    assert file_safe("x" * 200) == "x" * 200
