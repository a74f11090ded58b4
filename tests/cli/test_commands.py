"""The commands as a user meets them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from running import Cli, codec, run_here

from tokbench.codecs.registry import list_cards
from tokbench.codes import Codes, CodeStream
from tokbench.store import CodesFile

NOUNS = ("codecs", "tasks", "corpora", "judges", "metrics", "leaderboards", "specs")


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for name in ("run", "train", "list", "show", "check", "compare", "leaderboard", "encode", "decode", "doctor"):
        assert f" {name} " in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], *(["list", noun] for noun in NOUNS)])
def test_help_and_lists_come_without_torch(arguments: list[str]) -> None:
    script = f"""
import sys
from typer.testing import CliRunner
from tokbench.cli.main import app
result = CliRunner().invoke(app, {arguments!r})
assert result.exit_code == 0, result.output
heavy = {{"torch", "transformers", "scipy", "sklearn", "pandas"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("noun", NOUNS)
def test_lists_are_json_for_programs_and_tabs_for_pipes(cli: Cli, noun: str) -> None:
    rows = json.loads(cli("list", noun, "--json").stdout)
    assert rows
    lines = cli("list", noun).stdout.splitlines()
    assert len(lines) == len(rows) + 1
    assert all("\t" in line for line in lines)


def test_a_list_of_something_unknown_names_the_choices(cli: Cli) -> None:
    done = cli("list", "things")
    assert done.returncode == 2
    assert "codecs" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("codecs", "mimmi"), "no codec named 'mimmi'. Did you mean 'mimi'?"),
        (("tasks", "tokns"), "no task named 'tokns'. Did you mean 'tokens.v1'?"),
        (("codec",), "there is no list of 'codec'. Did you mean 'codecs'? Expected one of codecs, tasks"),
    ],
)
def test_a_list_of_nothing_suggests_a_name(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    done = cli("list", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {sentence}")


@pytest.mark.parametrize("name", ["opus", "reconstruction", "stoi", "synth", "overview", "dnsmos"])
def test_anything_listed_can_be_shown(cli: Cli, name: str) -> None:
    done = cli("show", name)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


def test_showing_something_unknown_suggests_a_name(cli: Cli) -> None:
    done = cli("show", "opsu")
    assert done.returncode == 2
    assert "Did you mean 'opus'?" in done.stderr


def test_codes_on_disk_decode_to_the_same_audio_as_in_memory(cli: Cli, tmp_path: Path) -> None:
    samples = 0.3 * np.sin(np.arange(24000) / 20)
    soundfile.write(tmp_path / "ton é.wav", np.stack([samples, samples], axis=1), 48000)
    encoded = cli("encode", "ton é.wav", "--codec", "opus:24kbps")
    assert encoded.returncode == 0, encoded.stderr
    assert "24000" in encoded.stdout
    decoded = cli("decode", "ton é.safetensors")
    assert decoded.returncode == 0, decoded.stderr
    audio, rate_hz = soundfile.read(tmp_path / "ton é.decoded.wav")
    assert rate_hz == 16000
    assert len(audio) == 8000


def test_several_files_are_coded_side_by_side_and_in_order(cli: Cli, tmp_path: Path) -> None:
    names = [f"{letter}.wav" for letter in "cab"]
    for index, name in enumerate(names, start=1):
        soundfile.write(tmp_path / name, np.sin(np.arange(8000 * index) / 20), 16000)
    alone = {}
    for name in names:
        assert cli("encode", name, "--codec", "mulaw", "--out", "alone").returncode == 0
        alone[name] = (tmp_path / "alone" / f"{name[0]}.safetensors").read_bytes()
    done = cli("encode", *names, "--codec", "mulaw", "--jobs", 2, "--out", "codes")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [
        (f"codes/{name[0]}.safetensors", f"{index / 2:.3f}") for index, name in enumerate(names, start=1)
    ]
    assert {name: (tmp_path / "codes" / f"{name[0]}.safetensors").read_bytes() for name in names} == alone
    done = cli("decode", *(row[0] for row in rows), "--jobs", 2)
    assert [line.split("\t")[1] for line in done.stdout.splitlines()[1:]] == ["0.500", "1.000", "1.500"]


def test_a_bad_file_costs_only_itself(cli: Cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", np.zeros(16000), 16000)
    (tmp_path / "bad.wav").write_text("no audio")
    done = cli("encode", "bad.wav", "good.wav", "missing.wav", "--codec", "mulaw")
    assert done.returncode == 1
    assert (tmp_path / "good.safetensors").is_file()
    assert "bad.wav: not readable as audio" in one_line(done.stderr)
    assert "missing.wav: not readable as audio (no such file)" in one_line(done.stderr)


def test_files_that_would_replace_each_other_are_refused_before_work_starts(cli: Cli, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", np.zeros(16000), 16000)
    done = cli("encode", "a/x.wav", "b/x.wav", "--codec", "mulaw", "--out", "out")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: a/x.wav and b/x.wav would both be written to out/x.safetensors; give one")
    assert not (tmp_path / "out").exists()
    assert cli("encode", "a/x.wav", "b/x.wav", "--codec", "mulaw").returncode == 0
    done = cli("decode", "a/x.safetensors", "b/x.safetensors", "--out", "out")
    assert "would both be written to out/x.decoded.wav" in done.stderr
    assert cli("encode", "a/x.wav", "a/x.wav", "--codec", "mulaw").stderr == "Error: a/x.wav is named twice\n"


def test_a_file_of_codes_starts_no_code_of_its_own(cli: Cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    cli("encode", "a.wav", "--codec", codec("Good"))
    done = cli("decode", "a.safetensors")
    assert done.returncode == 2
    assert "name it with --codec" in one_line(done.stderr)
    assert cli("decode", "a.safetensors", "--codec", codec("Good")).returncode == 0


def test_decoding_something_else_is_one_sentence(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("no codes")
    done = cli("decode", "a.safetensors")
    assert done.returncode == 1
    assert "not a file of codes" in one_line(done.stderr)
    assert "Traceback" not in done.stderr


def test_encoding_with_a_codec_that_only_encodes_works_and_decoding_is_refused(cli: Cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    assert cli("encode", "a.wav", "--codec", codec("OnlyEncodes")).returncode == 0
    done = cli("decode", "a.safetensors", "--codec", codec("OnlyEncodes"))
    assert done.returncode == 1
    assert "does not offer decoding" in one_line(done.stderr)


def test_check_passes_a_good_codec_and_names_what_a_bad_one_must_mend(cli: Cli) -> None:
    good = cli("check", codec("Good"))
    assert good.returncode == 0, good.stdout
    bad = cli("check", codec("Random"))
    assert bad.returncode == 1
    assert "FAILED" in bad.stdout


def test_a_codec_that_ends_the_process_takes_the_report_of_its_checks_not_along(cli: Cli) -> None:
    done = cli("check", codec("Dies"))
    assert done.returncode == 1
    *passed, last = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    assert {row[2] for row in passed} == {"ok"}
    assert last[:3] == ["good:default", "decoded_length", "FAILED"]
    assert "ended the process in this check (exit code 7)" in last[3]
    assert done.stderr == ""


def test_doctor_says_what_is_missing_and_how_to_get_it(cli: Cli, tokbench_home: Path) -> None:
    done = cli("doctor")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("codec\tencodec:1.5kbps … 24kbps\t"))
    assert "missing" in line
    assert "facebook/encodec_24khz" in line
    assert str(tokbench_home / "weights") in line
    assert "opus:6kbps … 32kbps\tready" in done.stdout


def test_every_setting_is_listed_with_its_state(cli: Cli) -> None:
    lines = [line.split("\t") for line in cli("list", "codecs").stdout.splitlines()]
    header, rows = lines[0], {row[0]: row for row in lines[1:]}
    assert header == ["name", "default", "state", "bit/s", "title", "causal"]
    assert rows["encodec:6kbps"] == ["encodec:6kbps", "*", "missing", "6000", "EnCodec, 24 kHz", "yes"]
    assert rows["opus:32kbps"][2:4] == ["ready", "32000"]
    assert set(rows) == {f"{name}:{setting}" for name, card in list_cards().items() for setting in card.settings}
    assert {row.split("\t")[0].split(":")[0] for row in cli("list", "codecs", "opus:").stdout.splitlines()[1:]} == {
        "opus"
    }


def test_training_makes_a_codec_that_runs(cli: Cli, corpus: Path, task: Path) -> None:
    trained = cli("train", "spectrogram-kmeans", "--corpus", f"folder:{corpus}", "--out", "mine")
    assert trained.returncode == 0, trained.stderr
    assert "tokbench run --codec mine" in trained.stdout
    done = cli("run", "--codec", "mine", "--task", task, "--corpus", f"folder:{corpus}", "--limit", 2)
    assert done.returncode == 0, done.stderr


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("tokbench 0.")


def test_no_command_shows_the_help(cli: Cli) -> None:
    assert "Usage" in cli().stdout


def test_a_bitstream_decodes_to_the_same_audio_as_codes(cli: Cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(np.arange(16000) / 20), 16000)
    encoded = cli("encode", "tone.wav", "--codec", "mulaw", "--entropy")
    assert encoded.returncode == 0, encoded.stderr
    assert [line.split("\t") for line in encoded.stdout.splitlines()] == [
        ["codes", "seconds", "codebooks x frames", "tokens", "bit/s", "coded bit/s", "coder"],
        ["tone.tokb", "1.000", "1 x 16000", "16000", "128000", "128000", "fixed-width"],
    ]
    assert 16000 < (tmp_path / "tone.tokb").stat().st_size < 16300
    assert cli("encode", "tone.wav", "--codec", "mulaw", "--out", "plain").returncode == 0
    for codes in ("tone.tokb", "plain/tone.safetensors"):
        decoded = cli("decode", codes)
        assert decoded.returncode == 0, decoded.stderr
    assert (tmp_path / "tone.decoded.wav").read_bytes() == (tmp_path / "plain/tone.decoded.wav").read_bytes()
    (tmp_path / "tone.tokb").write_bytes((tmp_path / "tone.tokb").read_bytes()[:-9])
    cut = cli("decode", "tone.tokb")
    assert cut.returncode == 1
    assert "tone.tokb: 15991 bytes of codes, where more were written" in cut.stderr


@pytest.mark.parametrize("named", ["identity:evil.py:E", "evil.py:E", "nobody:1x8"])
def test_a_file_of_codes_does_not_choose_code_to_run(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("identity:evil.py", "evil.py"):
        Path(file).write_text("from pathlib import Path\nPath('it ran').touch()\n")
    codes = Codes((CodeStream(torch.zeros(1, 4, dtype=torch.int64), 8, 4.0),), 4, 4)
    CodesFile(named, codes).write(tmp_path / "a.safetensors")
    done = run_here(monkeypatch, capsys, "decode", "a.safetensors")
    assert done.code == 2
    assert "which is not a registered codec; name it with --codec" in " ".join(done.err.split())
    assert not Path("it ran").exists()
