"""What ``list``, ``show`` and ``doctor`` say of judges, of codecs by any of their names, and of files."""

import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from running import USER_CODECS, Done, run_here

from tokbench.cli import listings

SHORT = """
base = "reconstruction.v1"
name = "short"
metrics = ["stoi", "pesq_wb"]
"""
CARD = """
name = "levels"
title = "Levels"
adapter = "tokbench.codecs.mulaw:MuLaw"
licence = "Apache-2.0"
source = "an example"
default_setting = "7bit"

[settings]
7bit = { num_bits = 7 }
8bit = { num_bits = 8 }
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the command is started."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> tuple[str, dict[str, str]]:
    done = run_here(monkeypatch, capsys, "show", name)
    assert done.code == 0, done.err
    title, _, *rows = done.out.splitlines()
    return title, {key: value for key, _, value in (row.partition("\t") for row in rows)}


@pytest.mark.parametrize("name", ["whisper:base", "wavlm-sv", "ecapa", "whisper:tiny"])
def test_a_judge_without_weights_is_missing_and_says_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tokbench_home: Path, name: str
) -> None:
    title, fields = shown(monkeypatch, capsys, name)
    assert (title, fields["state"]) == (f"judge {name}", "missing")
    assert fields["remark"].startswith(f"no weights for the judge {name}. Put ")
    assert str(tokbench_home / "weights") in fields["remark"]


def test_judges_are_listed_with_their_state_and_all_tasks_that_ask_for_them() -> None:
    rows = {row["name"]: row for row in listings.LISTINGS["judges"]()}
    assert {name: rows[name]["state"] for name in ("dnsmos", "ctc", "whisper:base")} == {
        "dnsmos": "ready",
        "ctc": "ready",
        "whisper:base": "missing",
    }
    assert rows["ctc"]["remark"].startswith("taught by the task that asks for it")
    assert "lm-vc.v1" in rows["resemblyzer"]["tasks"].split(", ")


def test_the_package_of_a_judge_that_belongs_to_metrics_is_missing_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "tokbench.cli.judge_states.missing_packages", lambda metric: ["speechmos"] * (metric.judge == "dnsmos")
    )
    _, fields = shown(monkeypatch, capsys, "dnsmos")
    assert fields["state"] == "missing"
    assert fields["remark"] == "the judge dnsmos needs speechmos. Install with: pip install speechmos"


def test_doctor_looks_at_judges(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split("\t") for line in run_here(monkeypatch, capsys, "doctor").out.splitlines()]
    judges = {name: (state, remark) for kind, name, state, remark in lines if kind == "judge"}
    assert list(judges) == [row["name"] for row in listings.LISTINGS["judges"]()]
    assert judges["whisper:base"][0] == "missing"
    assert "Put base.pt of OpenAI's Whisper" in judges["whisper:base"][1]


def test_one_setting_is_shown_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    title, fields = shown(monkeypatch, capsys, "opus:12kbps")
    assert title == "codec opus:12kbps"
    assert {key: fields[key] for key in ("setting", "state", "bit/s", "name")} == {
        "setting": "12kbps",
        "state": "ready",
        "bit/s": "12000.0",
        "name": "opus",
    }
    assert "settings" not in fields
    done = run_here(monkeypatch, capsys, "show", "opus:13kbps")
    assert (done.code, done.out) == (2, "")
    assert "no setting of opus named '13kbps'" in done.err


def test_a_folder_and_a_class_in_a_file_are_shown_as_codecs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "trained" / "levels").mkdir(parents=True)
    (here / "trained" / "levels" / "card.toml").write_text(CARD, encoding="utf-8")
    shutil.copy(USER_CODECS, here / "x.py")
    title, fields = shown(monkeypatch, capsys, "trained/levels")
    assert (title, fields["default_setting"]) == ("codec trained/levels", "7bit")
    _, fields = shown(monkeypatch, capsys, "trained/levels:8bit")
    assert (fields["setting"], fields["state"]) == ("8bit", "ready")
    _, fields = shown(monkeypatch, capsys, "./x.py:Good")
    assert fields["name"] == "good"
    assert "name the class as well" in run_here(monkeypatch, capsys, "show", "x.py").err
    (here / "begun" / "log").mkdir(parents=True)
    (here / "begun" / "log" / "run.json").write_text('{"is_finished": false}', encoding="utf-8")
    assert (
        "begun: what is trained in this folder is not finished"
        in run_here(monkeypatch, capsys, "show", "begun").err
    )


def test_a_plug_in_is_shown_as_a_codec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    point = EntryPoint("levels", "tokbench.codecs.mulaw:MuLaw", "tokbench.codecs")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] * (group == point.group))
    title, fields = shown(monkeypatch, capsys, "levels")
    assert (title, fields["name"], fields["adapter"]) == ("codec levels", "levels", "tokbench.codecs.mulaw:MuLaw")


def test_a_task_in_a_file_is_shown_as_a_task_and_a_spec_as_a_spec(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "short.v1.toml").write_text(SHORT, encoding="utf-8")
    (here / "mine.toml").write_text('base = "spectrogram-kmeans"\nname = "mine"\n', encoding="utf-8")
    title, fields = shown(monkeypatch, capsys, "short.v1.toml")
    assert (title, fields["metrics"]) == ("task short.v1", "stoi pesq_wb")
    assert shown(monkeypatch, capsys, "mine.toml")[0].startswith("spec mine")


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("short.toml", SHORT, "expected the file to be called short.v1.toml"),
        ("other.toml", 'name = "other"\nmetrics = ["stoi"]', "kind: missing"),
        ("gone.v1.toml", None, "gone.v1.toml: no such file"),
        ("broken.toml", "name = ", "broken.toml: not TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    here: Path,
    file: str,
    text: str | None,
    sentence: str,
) -> None:
    if text is not None:
        (here / file).write_text(text, encoding="utf-8")
    done: Done = run_here(monkeypatch, capsys, "show", file)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err


def test_a_study_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    name = listings.LISTINGS["studies"]()[0]["name"]
    assert shown(monkeypatch, capsys, name)[0] in {f"study {name}", f"leaderboard {name}"}
