from pathlib import Path

import pytest
from leaderboard.builder import board
from pydantic import ValidationError

from tokbench.errors import SpecError, UnknownNameError
from tokbench.leaderboard.spec import find_leaderboard, list_leaderboards
from tokbench.specs.study import find_study
from tokbench.specs.task import find_task, list_tasks

GOOD = """
name = "mine"
title = "Mine"
question = "Which?"
reading = "So."
sort_by = "pesq_wb"

[[groups]]
heading = "Quality"
task = "reconstruction.v1"
columns = [{ metric = "pesq_wb" }]
"""


def test_these_leaderboards_are_shipped() -> None:
    about_tokens = {"economy", "phonetics", "probes", "robustness", "slmtokbench", "speaker", "tokens", "tone"}
    others = {"ablations", "classical", "codec-lm", "designs", "intelligibility", "overview", "reconstruction"}
    assert set(list_leaderboards()) == about_tokens | others


@pytest.mark.parametrize("name", ["classical", "codec-lm", "overview", "reconstruction", "tokens"])
def test_a_shipped_leaderboard_shows_only_what_its_tasks_measure(name: str) -> None:
    shown = find_leaderboard(name)
    costs = {"encode_rtf", "decode_rtf", "peak_memory_bytes"}
    for key, column in shown.columns.items():
        task, _ = find_task(shown.task_of[key])
        assert column.metric in {*task.metrics, *costs}


def test_the_overview_joins_the_tasks() -> None:
    about_sound = {"reconstruction.v1", "quality.v1", "speaker.v1", "intelligibility.v1"}
    about_tokens = {"tokens.v1", "abx.v1", "probe-phones.v1", "tone.v1", "robustness.v1", "economy.v1"}
    assert set(find_leaderboard("overview").tasks) == about_sound | about_tokens


def test_the_reconstruction_leaderboard_shows_every_metric_of_its_task() -> None:
    task, _ = find_task("reconstruction.v1")
    assert set(task.metrics) <= set(find_leaderboard("reconstruction").columns)


def test_a_leaderboard_is_read_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert find_leaderboard(str(path)).columns["pesq_wb"].metric == "pesq_wb"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("[[groups]]", "[[groups"), r"mine\.toml: not TOML"),
        (('title = "Mine"', "titel = 1"), r"mine\.toml: title: missing; titel: unknown key"),
        (('sort_by = "pesq_wb"', 'sort_by = "pesq"'), r"sort_by 'pesq' is not among the columns \(pesq_wb\)"),
        (
            ('task = "reconstruction.v1"', 'task = "reconstruction"'),
            r"groups\.0\.task: string should match",
        ),
        (('[{ metric = "pesq_wb" }]', "[]"), r"groups\.0\.columns: .*at least 1 item"),
        (("{ metric", '{ metric = "pesq_wb" }, { metric'), "column 'pesq_wb' stands in the table twice"),
        (
            ("[[groups]]", "[plot]\ny = ['stoi']\n[[groups]]"),
            r"plot\.x 'bitrate_nominal_bps' is not among",
        ),
        (('name = "mine"', 'name = "yours"'), "name: expected 'mine', found 'yours'"),
        (("[[groups]]", "num_examples = -1\n[[groups]]"), "num_examples: .*greater than or equal to 0, found -1"),
    ],
)
def test_a_malformed_leaderboard_is_named_with_its_key(
    tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(SpecError, match=problem):
        find_leaderboard(str(path))


def test_an_unknown_leaderboard_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'reconstruction'"):
        find_leaderboard("reconstructoin")


def test_a_column_may_have_a_name_of_its_own() -> None:
    groups = [
        {"heading": "Phones", "task": "abx.v1", "columns": [{"metric": "abx_across"}]},
        {"heading": "Words", "task": "abx-words.v1", "columns": [{"metric": "abx_across", "name": "word_abx"}]},
    ]
    shown = board(groups=groups, sort_by="abx_across", plot=None)
    assert {key: shown.task_of[key] for key in shown.columns} == {
        "abx_across": "abx.v1",
        "word_abx": "abx-words.v1",
    }


def test_columns_of_a_group_may_have_a_prefix_and_all_groups_may_share_some() -> None:
    groups = [
        {"heading": name, "task": f"abx{end}.v1", "prefix": name, "columns": [{"metric": "abx_across"}]}
        for name, end in (("phones", ""), ("words", "-words"))
    ]
    shared = [{"metric": "abx_within"}]
    shown = board(groups=groups, sort_by="phones/abx_across", plot=None, shared=shared, table_per_group=True)
    expected = {
        "phones/abx_across": "abx.v1",
        "phones/abx_within": "abx.v1",
        "words/abx_across": "abx-words.v1",
        "words/abx_within": "abx-words.v1",
    }
    assert dict(shown.task_of) == expected
    assert [*shown.columns] == [*expected]
    assert [[*each.columns] for each in shown.tables] == [[*expected][:2], [*expected][2:]]
    with pytest.raises(ValidationError, match="column 'abx_across' stands in the table twice"):
        board(groups=[{**each, "prefix": ""} for each in groups], sort_by="abx_across", plot=None)


def test_a_group_is_part_of_the_name_of_its_column() -> None:
    columns = [{"metric": "codebook_usage"}, {"metric": "codebook_usage", "group": "codebook 1"}]
    groups = [{"heading": "Use", "task": "tokens.v1", "columns": columns}]
    shown = board(groups=groups, sort_by="codebook_usage", plot=None)
    assert list(shown.columns) == ["codebook_usage", "codebook_usage/codebook 1"]


def test_every_task_has_a_place_on_a_leaderboard() -> None:
    shown = {task for name in list_leaderboards() for task in find_leaderboard(name).tasks}
    assert set(list_tasks()) <= shown


def test_a_group_may_have_the_columns_of_one_above() -> None:
    columns = [{"metric": "abx_within", "heading": "within"}, {"metric": "abx_across"}]
    phones = {"heading": "Phones", "task": "abx.v1", "prefix": "phones", "columns": columns}
    words = {"heading": "Words", "task": "abx-words.v1", "prefix": "words", "like": "phones"}
    shown = board(groups=[phones, words], sort_by="words/abx_across", plot=None)
    assert list(shown.columns) == [
        "phones/abx_within",
        "phones/abx_across",
        "words/abx_within",
        "words/abx_across",
    ]
    assert shown.columns["words/abx_within"].heading == "within"
    with pytest.raises(ValidationError, match="'phones' is not the prefix of a group above"):
        board(groups=[words, phones], sort_by="words/abx_across", plot=None)
    with pytest.raises(ValidationError, match="one that is like 'phones' has no columns of its own"):
        board(groups=[phones, {**words, "columns": columns}], sort_by="words/abx_across", plot=None)


@pytest.mark.parametrize("name", ["designs", "ablations"])
def test_the_board_of_a_study_names_all_that_it_scores(name: str) -> None:
    scored = sorted(trial.name for trial in find_study(name).all_trials if trial.tasks)
    assert list(find_leaderboard(name).codecs) == scored


def test_every_task_of_language_models_has_a_table_of_its_own() -> None:
    shown = find_leaderboard("codec-lm")
    tasks = [name for name in list_tasks() if name.startswith("lm-")]
    assert sorted(shown.tasks) == sorted(tasks)
    assert [each.tasks for each in shown.tables] == [(task,) for task in shown.tasks]
    assert all(each.columns[each.sort_by].group == "all" for each in shown.tables)


def test_a_table_of_its_own_is_ordered_by_its_own_column() -> None:
    quality, cost = board(plot=None, table_per_group=True, sort_by="mel_distance_dac").tables
    assert (quality.sort_by, [*quality.columns]) == ("mel_distance_dac", ["pesq_wb", "mel_distance_dac"])
    assert (cost.sort_by, [*cost.columns]) == ("bitrate_nominal_bps", ["bitrate_nominal_bps"])
    assert cost.tables == (cost,)
    with pytest.raises(ValueError, match="table_per_group: there is neither a plot nor a ranking over several"):
        board(table_per_group=True)
