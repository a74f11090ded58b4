import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from leaderboard.builder import Results, half_of_independent, summary_of

from tokbench import stats
from tokbench.errors import RecordError, UnknownNameError, UsageError
from tokbench.leaderboard.cells import MixedRecordsError
from tokbench.leaderboard.compare import RecordNotFoundError, compare
from tokbench.leaderboard.components import Components


@pytest.fixture
def measured(results: Results, rng: np.random.Generator) -> Results:
    results.num_utterances = 20
    hard = rng.normal(3.0, 0.5, size=20)
    near = 1.0 + 0.1 * np.abs(rng.normal(size=20))
    results.add("opus", "12kbps", {"pesq_wb": hard.tolist(), "mel_distance_dac": near.tolist()})
    results.add("opus", "6kbps", {"pesq_wb": (hard - 0.5).tolist(), "mel_distance_dac": (near + 0.5).tolist()})
    results.add("mulaw", "8bit", {"pesq_wb": (hard + rng.normal(0, 0.3, size=20)).tolist()})
    return results


def test_what_is_no_number_is_no_utterance_that_was_measured() -> None:
    table = pd.DataFrame({"stoi.total": [1.0, np.nan, np.inf, 0.0], "stoi.weight": [1.0, 1.0, 1.0, 0.0]})
    found = Components.of(table, "stoi")
    assert found.is_ok.tolist() == [True, False, False, True]
    assert found.total[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_difference_is_that_of_the_codec_and_the_first_one(measured: Results) -> None:
    found = compare(measured.folder, task="reconstruction", codecs=["opus:12kbps", "opus:6kbps"])
    assert (found.task, found.corpus) == ("reconstruction.v1", "synth")
    pesq, mel = found.differences.to_dict("records")
    assert (pesq["metric"], pesq["codec"], pesq["baseline"]) == ("pesq_wb", "opus:6kbps", "opus:12kbps")
    assert (pesq["difference"], pesq["low"], pesq["high"]) == pytest.approx((-0.5, -0.5, -0.5))
    assert pesq["codec_value"] - pesq["baseline_value"] == pytest.approx(-0.5)
    assert (pesq["verdict"], mel["verdict"]) == ("worse", "worse")
    assert pesq["p_value"] < 0.01
    assert (pesq["num_utterances"], pesq["num_missing"]) == (20, 0)


def test_the_verdict_turns_with_the_order(measured: Results) -> None:
    found = compare(measured.folder, task="reconstruction.v1", codecs=["opus:6kbps", "opus:12kbps"])
    assert found.differences["verdict"].tolist() == ["better", "better"]


def test_the_interval_agrees_with_scipy(measured: Results) -> None:
    found = compare(measured.folder, task="reconstruction", codecs=["opus:12kbps", "mulaw"])
    pesq = found.differences.iloc[0]
    listed = found.utterances.query("metric == 'pesq_wb'")["difference"].to_numpy()
    expected = scipy.stats.ttest_1samp(listed, 0.0).confidence_interval()
    width = expected.high - expected.low
    assert pesq["low"] == pytest.approx(expected.low, abs=0.07 * width)
    assert pesq["high"] == pytest.approx(expected.high, abs=0.07 * width)


def test_a_metric_that_one_of_them_lacks_has_no_difference(measured: Results) -> None:
    found = compare(measured.folder, task="reconstruction", codecs=["opus:12kbps", "mulaw"])
    mel = found.differences.set_index("metric").loc["mel_distance_dac"]
    assert np.isnan(mel["difference"])
    assert mel["verdict"] == ""
    assert set(found.utterances["metric"]) == {"pesq_wb"}


def test_utterances_are_listed_by_the_size_of_their_difference(results: Results) -> None:
    results.add("a", "1", {"pesq_wb": [3.0, 3.0, 3.0, 3.0]})
    results.add("b", "1", {"pesq_wb": [3.1, 1.0, 3.0, 4.0]})
    found = compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"]).utterances
    assert found["utterance"].tolist() == ["utt 1", "utt 3", "utt 0", "utt 2"]
    assert found["difference"].tolist() == pytest.approx([-2.0, 1.0, 0.1, 0.0])
    assert found["baseline_value"].tolist() == [3.0] * 4


def test_only_utterances_that_both_have_are_compared(results: Results) -> None:
    results.add("a", "1", {"pesq_wb": [3.0, None, 3.0, 3.0]})
    results.add("b", "1", {"pesq_wb": [3.5, 9.0, None, 3.5]})
    [line] = compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"]).differences.to_dict("records")
    assert line["difference"] == pytest.approx(0.5)
    assert (line["num_utterances"], line["num_missing"]) == (2, 2)
    assert line["codec_value"] is None


def test_an_utterance_to_which_a_metric_does_not_apply_is_no_failure(results: Results) -> None:
    results.add("a", "1", {"pesq_wb": [3.0, (0.0, 0.0), 3.0, 3.0]})
    results.add("b", "1", {"pesq_wb": [3.5, (0.0, 0.0), 3.5, 3.5]})
    found = compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"])
    assert found.differences["num_missing"].tolist() == [0]
    assert found.differences["difference"].tolist() == pytest.approx([0.5])
    assert len(found.utterances) == 3


def test_a_root_mean_square_is_compared_as_one(results: Results) -> None:
    results.add("a", "1", {"f0_rmse_cents": [(9.0, 1), (9.0, 1), (9.0, 1), (9.0, 1)]})
    results.add("b", "1", {"f0_rmse_cents": [(16.0, 1), (16.0, 1), (16.0, 1), (16.0, 1)]})
    found = compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"])
    assert found.differences["difference"].tolist() == pytest.approx([1.0])  # 4 - 3
    assert found.utterances["difference"].tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(("share", "verdict"), [(0.99, "tied"), (1.01, "worse")])
def test_values_of_the_whole_corpus_are_compared_as_if_their_errors_were_independent(
    results: Results, share: float, verdict: str
) -> None:
    half = half_of_independent(0.03, 0.04, results.num_utterances)
    value = 0.5 + share * half
    first = summary_of("mel_distance_dac", [0.5], low=0.47, high=0.53)
    second = summary_of("mel_distance_dac", [value], low=value - 0.04, high=value + 0.04)
    results.add("a", "1", task="tokens.v1", summaries=[first])
    results.add("b", "1", task="tokens.v1", summaries=[second])
    [line] = compare(results.folder, task="tokens", codecs=["a:1", "b:1"]).differences.to_dict("records")
    assert (line["difference"], line["low"], line["high"]) == pytest.approx(
        (value - 0.5, value - 0.5 - half, value - 0.5 + half)
    )
    assert line["verdict"] == verdict
    assert {"p_value", "num_utterances"}.isdisjoint(line)


def test_several_seeds_have_a_share_in_the_difference(results: Results, rng: np.random.Generator) -> None:
    results.num_utterances = 20
    hard = rng.normal(3.0, 0.5, size=20)
    trained = {
        codec: [hard + mean + offset + 0.1 * rng.normal(size=20) for offset in rng.normal(scale=0.1, size=3)]
        for codec, mean in {"a": 0.0, "b": 1.0}.items()
    }
    for codec, seeds in trained.items():
        results.add(codec, "1", {"pesq_wb": seeds[0].tolist()}, seeds={"pesq_wb": seeds})
    found = compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"])
    [line] = found.differences.to_dict("records")
    ones = np.ones(20)
    pairs = [[(seed, ones) for seed in trained[codec]] for codec in ("b", "a")]
    assert (line["difference"], line["low"], line["high"], line["p_value"]) == pytest.approx(
        dataclasses.astuple(stats.paired_over_seeds(*pairs))[:4]
    )
    assert line["verdict"] == "better"
    listed = found.utterances.set_index("utterance")["codec_value"]
    assert listed["utt 3"] == pytest.approx(np.mean([seed[3] for seed in trained["b"]]))


def test_an_utterance_that_one_seed_failed_on_is_missing(results: Results) -> None:
    seeds = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, np.nan, 3.0, 4.0])]
    for codec in ("a", "b"):
        results.add(codec, "1", {"pesq_wb": [1.0, 2.0, 3.0, 4.0]}, seeds={"pesq_wb": seeds})
    [line] = compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"]).differences.to_dict("records")
    assert (line["num_utterances"], line["num_missing"]) == (3, 1)


def test_a_metric_of_the_whole_corpus_without_an_interval_has_a_difference_without_one(results: Results) -> None:
    for codec, value in {"a": 0.5, "b": 0.75}.items():
        summary = summary_of("codebook_usage", [value], low=None, high=None)
        results.add(codec, "1", task="tokens.v1", summaries=[summary])
    [line] = compare(results.folder, task="tokens", codecs=["a:1", "b:1"]).differences.to_dict("records")
    assert (line["difference"], line["verdict"]) == (0.25, "")
    assert "low" not in line


def test_several_codecs_are_each_compared_with_the_first(measured: Results) -> None:
    codecs = ["opus:12kbps", "opus:6kbps", "mulaw:8bit"]
    found = compare(measured.folder, task="reconstruction", codecs=codecs).differences
    assert found.query("metric == 'pesq_wb'")["codec"].tolist() == codecs[1:]
    assert set(found["baseline"]) == {"opus:12kbps"}


def test_a_codec_without_a_record_is_answered_with_the_command_that_makes_it(measured: Results) -> None:
    measured.overrides = {"provenance": {"limit": 20}}
    for codec, setting in (("opus", "12kbps"), ("mulaw", "8bit")):
        measured.add(codec, setting, {"pesq_wb": [3.0] * 20})
    with pytest.raises(RecordNotFoundError) as raised:
        compare(measured.folder, task="reconstruction", codecs=["opus:12kbps", "mp3:64kbps"])
    command = "tokbench run --codec mp3:64kbps --task reconstruction.v1 --corpus synth"
    assert str(raised.value).endswith(f": {command} --limit 20 --results {measured.folder}")


@pytest.mark.parametrize(
    ("codec", "sentence"),
    [
        ("mulw:8bit", "no codec named 'mulw'. Did you mean 'mulaw'"),
        ("mien:a", "no codec named 'mien'. Did you mean 'mine'"),
        ("opus:13kbps", "no setting of opus named '13kbps'. Did you mean '"),
    ],
)
def test_a_name_that_nobody_knows_is_answered_with_the_nearest_one(
    measured: Results, codec: str, sentence: str
) -> None:
    measured.add("mine", "a", {"pesq_wb": [3.0] * 20})
    with pytest.raises(UnknownNameError, match=re.escape(sentence)):
        compare(measured.folder, task="reconstruction", codecs=["opus:12kbps", codec])


def test_a_task_that_nobody_knows_is_answered_with_the_nearest_one(measured: Results) -> None:
    measured.add("opus", "12kbps", {"pesq_wb": [3.0] * 20}, task="my-own.v3")
    for asked, meant in {"reconstuction": "reconstruction.v1", "my-owm": "my-own.v3"}.items():
        with pytest.raises(UnknownNameError, match=f"no task named '{asked}'. Did you mean '{meant}'"):
            compare(measured.folder, task=asked, codecs=["opus:12kbps", "opus:6kbps"])


@pytest.mark.parametrize("asked", [["a:1", "b:1"], ["b:1", "a:1"]])
def test_other_recordings_of_the_same_names_are_never_compared(results: Results, asked: list[str]) -> None:
    for codec, sounds in {"a": "wxyz", "b": ["w", "x", None, "ž"], "c": ["w", None, "y", "z"]}.items():
        results.audio = list(sounds)
        results.add(codec, "1", {"pesq_wb": [3.0, 3.5, 4.0, 4.5]})
    assert len(compare(results.folder, task="reconstruction", codecs=["a:1", "c:1"]).differences) == 1
    with pytest.raises(MixedRecordsError, match=r"[ab]/1\.json and .*[ab]/1\.json .* the audio of utt 3 is "):
        compare(results.folder, task="reconstruction", codecs=asked)


def test_a_name_with_several_settings_is_answered_with_them(measured: Results) -> None:
    with pytest.raises(RecordNotFoundError, match="several settings; name one: opus:12kbps, opus:6kbps"):
        compare(measured.folder, task="reconstruction", codecs=["opus", "mulaw"])


def test_a_task_without_records_is_answered_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(RecordNotFoundError, match=r"no records of abx .* tokbench run --codec NAME --task abx"):
        compare(tmp_path, task="abx", codecs=["a:1", "b:1"])


def test_a_corpus_must_be_named_where_there_are_several(measured: Results) -> None:
    measured.corpus = "fsdd"
    measured.add("opus", "12kbps", {"pesq_wb": [3.0] * 20})
    codecs = ["opus:12kbps", "opus:6kbps"]
    with pytest.raises(RecordNotFoundError, match="choose one of them with --corpus: fsdd, synth"):
        compare(measured.folder, task="reconstruction", codecs=codecs)
    with pytest.raises(RecordNotFoundError, match="on 'libri', only on: fsdd, synth"):
        compare(measured.folder, task="reconstruction", codecs=codecs, corpus="libri")
    assert compare(measured.folder, task="reconstruction", codecs=codecs, corpus="synth").corpus == "synth"


def test_what_was_run_can_be_compared_as_it_was_asked_for(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from tokbench.codecs.waveform import G722\n\n\nclass Mine(G722):\n    settings = {'a': {}, 'b': {}}\n"
    )
    results.corpus = "synth.v1"
    for name, setting in (("mine", "a"), ("mine", "b"), ("opus", "6kbps")):
        results.add(name, setting, {"pesq_wb": [1.0, 2.0, 3.0, 4.0]})
    for corpus in ("synth", "synth.v1", None):
        codecs = ["opus", f"{file}:Mine:b"]
        found = compare(results.folder, task="reconstruction", codecs=codecs, corpus=corpus)
        assert found.differences["codec"].tolist() == ["mine:b"]
    with pytest.raises(RecordNotFoundError, match="several settings; name one: mine:a, mine:b"):
        compare(results.folder, task="reconstruction", codecs=["opus", f"{file}:Mine"])


def test_the_newest_version_of_a_task_is_taken(results: Results) -> None:
    for version in (2, 10, 9):
        for codec in ("a", "b"):
            results.add(codec, "1", {"pesq_wb": [float(version)] * 4}, task=f"reconstruction.v{version}")
    assert compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"]).task == "reconstruction.v10"


def test_two_judges_are_never_compared(results: Results) -> None:
    results.add("a", "1", summaries=[summary_of("wer", [0.1], judge="small")])
    results.add("b", "1", summaries=[summary_of("wer", [0.1], judge="large")])
    with pytest.raises(MixedRecordsError, match="the judge of wer is 'small' in the one and 'large' in the other"):
        compare(results.folder, task="reconstruction", codecs=["a:1", "b:1"])


def test_rows_that_cannot_be_read_are_named(measured: Results) -> None:
    measured.files("opus", "6kbps").utterances.write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"opus/6kbps\.parquet: not a table of utterances"):
        compare(measured.folder, task="reconstruction", codecs=["opus:12kbps", "opus:6kbps"])


def test_one_codec_is_no_comparison(measured: Results) -> None:
    with pytest.raises(UsageError, match="two codecs or more"):
        compare(measured.folder, task="reconstruction", codecs=["mulaw:8bit"])
