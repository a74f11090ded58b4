"""``tokbench train``, and what ``list`` and ``show`` tell of specs."""

import csv
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Cli, Done, command, environment, run_here

from tokbench.cli.listings import SIZES
from tokbench.cli.spec_view import view
from tokbench.cli.training import _what_next
from tokbench.specs.changes import parse_changes
from tokbench.specs.codec import find_spec, list_specs, read_spec

MINI = """
base = "soundstream"
name = "mini"
sample_rate_hz = 16000
dimension = 8
settings = []
discriminators = []
encoder = { num_filters = 2 }
decoder = { num_filters = 2 }
quantizer = { num_codebooks = 2, codebook_size = 8 }
losses = { reconstruction = [{ kind = "wave", weight = 1.0 }] }

[training]
num_steps = 3
batch_size = 1
crop_s = 0.1
num_held_out = 1
validation_s = 0.2
log_every_steps = 1
"""


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tokbench`` in this process, in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)

    def done(*arguments: object) -> Done:
        code, *texts = run_here(monkeypatch, capsys, *arguments)
        return Done(code, *map(" ".join, map(str.split, texts)))

    return done


@pytest.fixture
def mini(tmp_path: Path, corpus: Path) -> list[object]:
    """Return the arguments that train the smallest of codecs."""
    (tmp_path / "mini.toml").write_text(MINI)
    return ["train", "mini.toml", "--scale=paper", f"--corpus=folder:{corpus}", "--workers=0"]


def steps(folder: Path) -> list[int]:
    with (folder / "curves.csv").open(encoding="utf-8", newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_steps_and_changes_are_those_of_the_command(mini: list[object], run: Run, tmp_path: Path) -> None:
    done = run(*mini, "--steps=2", "--set", "quantizer.codebook_size=4", "--set=encoder.norm=none")
    assert done.code == 0, done.err
    assert "tokbench run --codec trained/mini-paper" in done.out
    written = read_spec(tmp_path / "trained" / "mini-paper" / "spec.toml").model_dump()
    assert written["quantizer"]["codebook_size"] == 4
    assert written["encoder"]["norm"] == "none"
    assert written["training"]["num_steps"] == 2
    assert steps(tmp_path / "trained" / "mini-paper") == [1, 2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set=encoder.filters=3"], "mini.toml: encoder.seanet.filters: unknown key"),
        (["--set=training.batch_size=many"], "training.batch_size: input should be a valid integer"),
        (["--set=training.crop_s=1e-3"], "training.crop_s: expected 320 samples or more"),
        (["--set=training"], "--set training: expected key=value"),
        (["--scale=huge"], "no scale of mini named 'huge'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_done(
    options: list[str], problem: str, mini: list[object], run: Run, tmp_path: Path
) -> None:
    done = run(*mini, *options)
    assert done.code == 2
    assert problem in done.err
    assert not (tmp_path / "trained").exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ["mfcc-km100", "--set=num_units=4", "--set=scales.tiny.batch_frames=64", "--out=mfcc-km100"],
            "tokbench run --codec ./mfcc-km100 --task tokens,abx",
        ),
        (
            ["hubert", "--steps=1", "--set=training.batch_size=1", "--out=my hubert", "--workers=0"],
            "tokbench run --codec 'my hubert' --task abx",
        ),
    ],
)
def test_what_is_trained_is_scored_on_what_it_can_do(
    arguments: list[str], hint: str, run: Run, corpus: Path
) -> None:
    done = run("train", *arguments, f"--corpus=folder:{corpus}")
    assert done.code == 0, done.err
    assert done.out.endswith(f"Trained. Score it with: {hint}")


def test_an_encoder_of_text_is_not_scored(tmp_path: Path) -> None:
    assert _what_next(tmp_path).startswith("Other specs learn from the encoder in ")


def test_what_does_not_learn_by_steps_has_none(run: Run, corpus: Path) -> None:
    done = run("train", "mfcc-km100", "--steps=3", f"--corpus=folder:{corpus}")
    assert done.code == 2
    assert "--steps: mfcc-km100 is clustered" in done.err


def test_what_is_finished_is_left_alone_until_it_is_begun_again(
    mini: list[object], run: Run, tmp_path: Path
) -> None:
    weights = tmp_path / "trained" / "mini-paper" / "weights.safetensors"
    assert run(*mini).code == 0
    before = weights.stat().st_mtime_ns
    done = run(*mini)
    assert done.code == 0
    assert "mini-paper: finished already" in done.err
    assert weights.stat().st_mtime_ns == before
    refused = run(*mini, "--seed=1")
    assert refused.code == 2
    assert "holds a run with another seed" in refused.err
    content = weights.read_bytes()
    assert run(*mini, "--seed=1", "--restart").code == 0
    assert weights.read_bytes() != content


def test_interrupted_it_saves_its_work_and_goes_on(
    mini: list[object], run: Run, tmp_path: Path, tokbench_home: Path
) -> None:
    long = [*mini, "--steps=60"]
    process = subprocess.Popen(
        command(*long), cwd=tmp_path, env=environment(tokbench_home), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "mini-paper: step 1 of 60: wave" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "the same command goes on from there" in rest
    folder = tmp_path / "trained" / "mini-paper"
    assert (folder / "checkpoint.safetensors").is_file()
    assert not (folder / "card.toml").exists()
    reached = steps(folder)[-1]
    assert reached < 60
    done = run(*long)
    assert done.code == 0, done.err
    assert f"going on after step {reached} of 60" in done.err
    assert steps(folder) == list(range(1, 61))
    assert not (folder / "checkpoint.safetensors").exists()


def test_a_folder_in_which_training_was_interrupted_is_told_apart(run: Run, tmp_path: Path) -> None:
    (tmp_path / "trained" / "ss" / "log").mkdir(parents=True)
    (tmp_path / "trained" / "ss" / "log" / "run.json").write_text('{"is_finished": false}')
    done = run("run", "--codec=trained/ss", "--task=tokens")
    assert done.code == 2
    assert "trained/ss: what is trained in this folder is not finished" in done.err


def test_of_several_specs_one_that_fails_does_not_keep_the_others(
    cli: Cli, mini: list[object], tmp_path: Path
) -> None:
    diverging = MINI.replace('"mini"', '"wild"') + "optimizer = { learning_rate = 1e30 }\n"
    (tmp_path / "wild.toml").write_text(diverging)
    done = cli(*mini[:2], "wild.toml", *mini[2:], "--jobs=2", "--out=out", "--set=quantizer.codebook_size=4")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == ["folder\toutcome", "out/mini-paper\tok", "out/wild-paper\tfailed"]
    lines = done.stderr.splitlines()
    assert all(line.startswith(("mini-paper: ", "wild-paper: ")) for line in lines)
    assert any("training diverged" in line for line in lines)
    written = read_spec(tmp_path / "out" / "mini-paper" / "spec.toml").model_dump()
    assert written["quantizer"]["codebook_size"] == 4
    assert not (tmp_path / "out" / "wild-paper" / "card.toml").exists()


def test_two_specs_of_one_name_cannot_share_a_folder(mini: list[object], run: Run, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "mini.toml").write_text(MINI)
    done = run(*mini, "more/mini.toml")
    assert done.code == 2
    assert "two of these specs have the same name" in done.err


def test_specs_are_listed_with_what_they_are(run: Run) -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "specs", "--json").out)}
    assert set(rows) == set(list_specs())
    encodec = rows["encodec"]
    assert encodec["kind"] == "neural-codec"
    assert encodec["what"].startswith("EnCodec: a SEANet with an LSTM")
    # The sum over encodec.EncodecModel.encodec_model_24khz(pretrained=False).parameters(); codebooks are buffers.
    assert encodec["num_parameters"]["paper"] == 14_851_810
    assert encodec["paper M"] == "14.9"
    assert rows["spin"]["num_parameters"] == {"tiny": None, "small": None, "paper": None}
    assert all(row["what"] for row in rows.values())


def test_every_network_is_small_at_small() -> None:
    sizes = {name: row for name, row in json.loads(SIZES.read_text(encoding="utf-8")).items() if row["small"]}
    del sizes["spectrogram-kmeans"]
    assert len(sizes) > 10
    assert {name: row for name, row in sizes.items() if not 5e6 <= row["small"] <= 15e6} == {}
    assert {name: row for name, row in sizes.items() if not row["tiny"] < 1.5e6} == {}


def test_a_spec_is_shown_with_what_its_scale_changes(run: Run) -> None:
    tiny = run("show", "encodec", "--scale=tiny")
    assert tiny.code == 0, tiny.err
    assert tiny.out.startswith("spec encodec, 0.")
    assert "encoder.num_filters 8 32 " in tiny.out
    assert 'encoder.activation "elu" encoder' in tiny.out  # the same at both scales
    paper = run("show", "encodec", "--scale=paper").out
    assert "14.85 M parameters key paper name" in paper
    assert "encoder.num_filters 32 encoder" in paper
    assert "codec encodec" in run("show", "encodec").out
    assert run("show", "hubert").out.startswith("spec hubert, 94.37 M parameters")
    assert "scales.tiny.max_frames 20000" in run("show", "wavlm-base-plus-l9-km500").out


@pytest.mark.parametrize("name", ["encodec", "audiodec", "hubert", "mfcc-km100"])
def test_what_is_shown_can_be_set(name: str) -> None:
    spec, _, rows = view(name, "tiny")
    changes = parse_changes(f"{row[0]}={row[1]}" for row in rows if row[1])
    assert find_spec(name, "tiny", changes=changes)[0] == spec


def test_a_spec_that_stands_at_a_scale_is_shown_at_that(run: Run, tmp_path: Path) -> None:
    small = tmp_path / "small.toml"
    small.write_text(MINI.replace('name = "mini"', 'name = "mini"\nscale = "small"'))
    assert "key small name" in run("show", "small.toml", "--scale=small").out
    refused = run("show", "small.toml", "--scale=tiny")
    assert refused.code == 2
    assert "stands at 'small' already" in refused.err


def test_showing_an_unknown_spec_suggests_a_name(run: Run) -> None:
    done = run("show", "encodek", "--scale=tiny")
    assert done.code == 2
    assert "no spec named 'encodek'. Did you mean 'encodec'?" in done.err
