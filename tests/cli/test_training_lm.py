"""``tokbench train`` of a language model."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from rich.console import Console
from rich.live import Live
from tiny.voices import voice

from tokbench.cli.main import main
from tokbench.cli.training_display import _Screen, training_watcher
from tokbench.lm.language_model import LanguageModel
from tokbench.paths import cache_dir

MINI: dict[str, Any] = {
    "name": "mini",
    "kind": "language-model",
    "title": "Mini",
    "source": "a test",
    "codec": ["units"],
    "streams": {"units": {"kind": "codes", "tokenizers": ["mfcc-km100"]}},
    "network": {"num_layers": 1, "num_heads": 2, "dimension": 16, "feedforward_dimension": 16, "context": 200},
    "stages": {"lm": {"forms": {"sc": {"outputs": ["units"]}}}},
    "training": {"num_steps": 2, "batch_size": 2, "crop_s": 0.5, "optimizer": {"learning_rate": 1e-3}},
}

MINE = """
import torch
from tokbench.codecs.base import Codec, TokenizerInfo
from tokbench.codes import StreamInfo

class Loudness(Codec):
    def __init__(self):
        self.info = TokenizerInfo(sample_rate_hz=16000, streams=(StreamInfo(1, 16, 50.0),))

    def _encode(self, samples):
        frames = torch.nn.functional.pad(samples, (0, -samples.shape[1] % 320)).reshape(1, -1, 320)
        return [(frames.abs().mean(2) * 30).clamp(0, 15).long()]

    def _decode(self, streams):
        return (streams[0] / 30.0).repeat_interleave(320, 1)
"""


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for index in range(3):
        (tmp_path / "sounds").mkdir(exist_ok=True)
        voice(seed=index).write(tmp_path / "sounds" / f"{index}.wav")
    return tmp_path / "sounds"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tokbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_a_language_model_learns_the_codes_of_the_codec_that_is_named(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini.toml").write_text(tomli_w.dumps(MINI))
    asked = ["train", "mini.toml", "--scale=paper", f"--corpus=folder:{sounds}", "--codec=spectrogram-kmeans:2x256"]
    assert run(monkeypatch, *asked, "--steps=3") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "a language model in trained/mini-paper. Hear it with: tokbench generate trained/mini-paper --help" in told
    )
    model = LanguageModel(tmp_path / "trained" / "mini-paper")
    assert (model.card.num_steps, model.card.audio_s) == (3, pytest.approx(3.0, abs=0.1))
    assert model.spec.streams["units"].sizes == (256, 256)  # type: ignore[union-attr]


def test_a_folder_that_names_code_runs_it_only_for_who_trusts_it(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "mini.toml").write_text(tomli_w.dumps(MINI))
    asked = ["train", "mini.toml", "--scale=paper", f"--corpus=folder:{sounds}", "--codec=mine.py:Loudness"]
    assert run(monkeypatch, *asked) == 0
    hear = ["generate", "trained/mini-paper", "--seconds=0.1"]
    assert run(monkeypatch, *hear) == 2
    assert (
        "mine.py:Loudness:default is code that would be run. If you trust it, add --trust-code"
        in capsys.readouterr().err
    )
    assert run(monkeypatch, *hear, "--trust-code") == 0
    assert Path("generated.wav").is_file()


def test_what_cannot_be_heard_is_told_as_soon_as_it_is_trained(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini.toml").write_text(tomli_w.dumps(MINI))
    assert run(monkeypatch, "train", "mini.toml", "--scale=paper", f"--corpus=folder:{sounds}") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Hear it" not in told
    assert "It cannot be heard: mini does not offer decoding of what it generates of 'audio' (units)." in told
    assert "such as those of --codec unit-vocoder-tiny:100" in told


def test_a_beam_for_several_codebooks_is_told_before_training(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    stages = {"lm": {**MINI["stages"]["lm"], "sampling": {"beam": 3}}}
    (tmp_path / "mini.toml").write_text(tomli_w.dumps({**MINI, "stages": stages}))
    asked = ["train", "mini.toml", "--scale=paper", f"--corpus=folder:{sounds}", "--codec=spectrogram-kmeans:2x256"]
    assert run(monkeypatch, *asked) == 2
    problem = capsys.readouterr().err
    assert problem.count("\n") == 1
    assert "add --set stages.lm.sampling.beam=1, or take a tokenizer of one codebook, such as " in problem
    assert not (tmp_path / "trained").exists()
    assert run(monkeypatch, *asked, "--set=stages.lm.sampling.beam=1") == 0


def test_lines_of_a_model_that_another_one_begins_with_say_which_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"step": 5.0, "elapsed_s": 1.0, "lm.bits_per_code": 2.0}
    with training_watcher("twist-tiny") as watcher:
        watcher.of("text-lm").row(row, 5)
        watcher.row(row, 5)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "twist-tiny, first text-lm: step 5 of 5: lm.bits_per_code 2"
    assert second == "twist-tiny: step 5 of 5: lm.bits_per_code 2"


def test_bars_of_a_model_that_another_one_begins_with_stand_beside_its_own() -> None:
    screen = io.StringIO()
    with Live(console=Console(file=screen, force_terminal=True, width=100)) as live:
        watcher = _Screen("twist-tiny", live)
        watcher.of("text-lm").step(5, 5)
        watcher.step(2, 7)
    last = screen.getvalue().rpartition("twist-tiny, first text-lm")[2]
    assert "5/5" in last
    assert "2/7" in last


def test_a_codec_is_no_option_of_a_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "train", "encodec", "--codec=opus") == 2
    assert "--codec: encodec does not learn from the codes of a tokenizer" in capsys.readouterr().err
    assert run(monkeypatch, "train", "valle", "--codec=opuss") == 2
    assert "no codec named 'opuss'. Did you mean 'opus'?" in capsys.readouterr().err


def test_damaged_tokens_are_told_in_a_sentence(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini.toml").write_text(tomli_w.dumps(MINI))
    asked = ["train", "mini.toml", "--scale=paper", f"--corpus=folder:{sounds}", "--codec=spectrogram-kmeans:2x256"]
    assert run(monkeypatch, *asked, "--out=one") == 0
    (shard,) = (cache_dir() / "tokens").rglob("units-00000.bin")
    shard.write_bytes(b"")
    capsys.readouterr()
    assert run(monkeypatch, *asked, "--out=two") == 1
    problem = capsys.readouterr().err
    assert "units-00000.bin: expected " in problem
    assert problem.count("\n") == 1
    assert run(monkeypatch, *asked, "--out=one", "--steps=3") == 2
    assert "one holds a run with another spec. Choose another folder with --out" in capsys.readouterr().err
