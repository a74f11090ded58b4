"""The command that trains a study: what it would run, and that it survives what fails."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from running import Cli
from typer.testing import CliRunner

from tokbench.cli import queue
from tokbench.cli.main import app
from tokbench.cli.queue import Job

PAGE = Path(__file__).parent.parent.parent / "docs" / "training.md"
STUDY = """
name = "mine"
title = "Mine"
question = "Which?"
corpora = ["folder:corpus"]
scored_on = "folder:corpus"
tasks = ["tokens", "reconstruction"]
reference = "teacher"
changes = ["training.batch_size=2"]
runs = [
  {{ name = "teacher", spec = "hubert", title = "taught first", tasks = [] }},
  {{ name = "pupil", spec = "encodec", title = "next", needs = ["teacher"], changes = ["encoder.norm=weight"] }},
  {{ name = "other", spec = "{other}", title = "on its own", tasks = ["tokens"], extra_tasks = ["own.v1.toml"] }},
]
"""


TASK = """
name = "own"
version = 1
kind = "tokens"
question = "Does it run?"
corpus = "folder:corpus"
metrics = ["bitrate_nominal_bps"]
"""


@pytest.fixture
def folder(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.toml").write_text(STUDY.format(other="dac"), encoding="utf-8")
    (tmp_path / "own.v1.toml").write_text(TASK, encoding="utf-8")
    (tmp_path / "more").symlink_to(corpus)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Queue:
    """Takes down what is to be run; what is called by a name in ``failing`` fails, and all else is trained."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.jobs = failing, list[list[Job]]()

    def __call__(self, jobs: Sequence[Job], num_jobs: int) -> list[int]:
        self.jobs.append(list(jobs))
        for job in jobs:
            folder = Path("trained", job.name)
            if job.arguments[0] == "train" and job.name not in self.failing:
                (folder / "log").mkdir(parents=True, exist_ok=True)
                (folder / "card.toml").write_text(job.name, encoding="utf-8")
                (folder / "curves.csv").write_text("step,mel\n50,1.5\n", encoding="utf-8")
        return [int(job.name in self.failing) for job in jobs] if num_jobs else []

    @property
    def names(self) -> list[list[str]]:
        return [[job.name for job in jobs] for jobs in self.jobs]


def study(monkeypatch: pytest.MonkeyPatch, jobs: Queue, *options: str) -> int:
    monkeypatch.setattr(queue, "work_through", jobs)
    return CliRunner().invoke(app, ["study", "mine.toml", *options]).exit_code


@pytest.mark.usefixtures("folder")
def test_teachers_come_first_and_then_everything_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Queue()
    assert study(monkeypatch, jobs, "--ship", "shipped", "--jobs", "2") == 0
    assert jobs.names == [["teacher", "other"], ["pupil"], ["scoring"] * 3]
    assert jobs.jobs[1][0].arguments == [
        "train", "encodec", "--scale=tiny", "--corpus=folder:corpus", "--seed=0", "--out=trained/pupil",
        "--device=cpu", "--set=training.batch_size=2", "--set=encoder.norm=weight",
    ]  # fmt: skip
    told = ("--codec", "--task", "--corpus")
    codecs = [[text for text in job.arguments if text.startswith(told)] for job in jobs.jobs[2]]
    assert codecs == [
        ["--codec=trained/other:all", "--task=tokens", "--corpus=folder:corpus"],
        ["--codec=trained/pupil:all", "--task=tokens,reconstruction", "--corpus=folder:corpus"],
        ["--codec=trained/other:all", "--task=own.v1.toml"],
    ]
    assert sorted(path.name for path in Path("results/curves").iterdir()) == [
        "other.csv",
        "pupil.csv",
        "teacher.csv",
    ]
    assert [path.name for path in Path("shipped/pupil").iterdir()] == ["card.toml"]


@pytest.mark.usefixtures("folder")
def test_a_pupil_of_what_failed_is_not_begun_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Queue("teacher")
    assert study(monkeypatch, jobs) == 1
    assert jobs.names == [["teacher", "other"], [], ["scoring"] * 2]


@pytest.mark.usefixtures("folder")
def test_some_runs_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Queue()
    assert study(monkeypatch, jobs, "--only", "pupil", "--steps", "7", "--no-score", "--corpus", "folder:more") == 0
    assert jobs.names == [["pupil"]]
    assert {"--steps=7", "--corpus=folder:more"} <= set(jobs.jobs[0][0].arguments)
    assert study(monkeypatch, Queue(), "--only", "nobody") != 0


@pytest.mark.parametrize("place", ["trained", "shipped"])
@pytest.mark.usefixtures("folder")
def test_a_codec_that_came_without_a_log_is_not_trained_again(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    Path(place, "other").mkdir(parents=True)
    Path(place, "other", "card.toml").write_text("as it came", encoding="utf-8")
    jobs = Queue()
    assert study(monkeypatch, jobs, "--ship", "shipped") == 0
    assert jobs.names == [["teacher"], ["pupil"], ["scoring"] * 3]
    assert f"--codec={place}/other:all" in jobs.jobs[2][0].arguments
    assert Path("shipped/other/card.toml").read_text(encoding="utf-8") == "as it came"


def test_the_plan_is_commands_and_a_wrong_spec_is_told_before_any_work(folder: Path) -> None:
    planned = CliRunner().invoke(app, ["study", "mine.toml", "--plan"])
    assert planned.exit_code == 0
    commands = planned.stdout.splitlines()
    assert [line.split()[1] for line in commands] == ["train", "train", "train", "run", "run", "run"]
    assert not Path("trained").exists()
    (folder / "mine.toml").write_text(STUDY.format(other="nothing"), encoding="utf-8")
    told = CliRunner().invoke(app, ["study", "mine.toml", "--plan"])
    assert "no spec named 'nothing'" in str(told.exception)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('tasks = ["tokens", "rec', 'tasks = ["tokenz", "rec', "no task named 'tokenz'. Did you mean 'tokens"),
        ('["own.v1.toml"]', '["none.v1.toml"]', "none.v1.toml: no such file"),
        ('corpora = ["folder:corpus"]', 'corpora = ["folder:a"]', "folder:a: .*no such folder.* with --corpus"),
        ('scored_on = "folder:corpus"', 'scored_on = "sinth"', "sinth: no corpus named 'sinth'.* with --scored-on"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--plan"]])
def test_what_is_wrong_with_tasks_and_corpora_is_told_before_any_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, problem: str, options: list[str]
) -> None:
    jobs = Queue()
    monkeypatch.setattr(queue, "work_through", jobs)
    text = STUDY.format(other="dac")
    assert old in text
    (folder / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    told = CliRunner().invoke(app, ["study", "mine.toml", *options])
    assert re.search(problem, str(told.exception)), told.exception
    assert not jobs.jobs
    assert not Path("trained").exists()


def test_a_shipped_study_says_which_corpora_it_needs(folder: Path) -> None:
    assert folder.is_dir()
    told = CliRunner().invoke(app, ["study", "designs", "--plan"])
    assert re.search(r"manifest\.csv: no such file.* Name a corpus of yours with --corpus", str(told.exception))
    options = ["--corpus=folder:corpus", "--scored-on=folder:corpus", "--plan", "--only=mfcc-km100", "--out=."]
    planned = CliRunner().invoke(app, ["study", "designs", *options])
    assert planned.exit_code == 0, planned.exception
    assert "--codec=./mfcc-km100:all" in planned.stdout


def test_the_study_on_the_page_about_training_can_be_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    Path("mine.toml").write_text(text, encoding="utf-8")
    planned = CliRunner().invoke(app, ["study", "mine.toml", "--plan"])
    assert planned.exit_code == 0, planned.exception
    assert [line.split()[1] for line in planned.stdout.splitlines()] == ["train"] * 6 + ["run"]


def test_a_study_really_runs(cli: Cli, corpus: Path) -> None:
    text = """
name = "real"
title = "Real"
question = "Does it run?"
corpora = ["folder:corpus"]
scored_on = "folder:corpus"
tasks = ["tokens"]
reference = "units"
[[runs]]
name = "units"
spec = "mfcc-km100"
title = "units"
changes = ["num_units=4", "scales.tiny.batch_frames=64"]
"""
    (corpus.parent / "real.toml").write_text(text, encoding="utf-8")
    done = cli("study", "real.toml")
    assert done.returncode == 0, done.stderr
    assert list(corpus.parent.glob("results/tokens.v1/corpus/units/*.json"))
