"""``tokbench generate``: what a person hears of a language model, and what is said where that is nothing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import soundfile
from running import Done, run_here
from tiny.little_lm import train_little

from tokbench.cli.training import _how_to_ask

Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tokbench generate`` in this process, in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)

    return partial(run_here, monkeypatch, capsys, "generate", "--trust-code")  # the codec is a file of the tests


def trained(folder: Path, **changes: object) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKBENCH_HOME", str(folder / "home"))
        return train_little(folder, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once for all tests that only listen."""
    return trained(tmp_path_factory.mktemp("little"))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of phones, that takes a voice, too, and says in a description what it is like; hardly trained."""
    streams = {
        "letters": {"kind": "text", "unit": "phones"},
        "manner": {"kind": "text", "of": "description"},
        "voice": {"kind": "codes", "of": "prompt", "like": "codes"},
    }
    forms = {
        "tts": {"inputs": ["letters", "voice"], "outputs": ["codes"]},
        "itts": {"inputs": ["letters", "manner"], "outputs": ["codes"]},
        "se": {"inputs": ["codes"], "outputs": ["letters"]},
        "sc": {"outputs": ["codes"]},
        "free": {"outputs": ["endless"]},
    }
    stage = {"forms": forms, "parts": {"endless": {"stream": "codes", "ended": False}}}
    changes = {"streams": streams, "stages": {"all": stage}, "training": {"num_steps": 1}}
    return trained(tmp_path_factory.mktemp("speaker"), **changes)


def test_audio_of_the_codec_comes_out_and_the_same_again(little: Path, run: Run, tmp_path: Path) -> None:
    done = run(little, "--form=tts", "--text=up", "--samples=2", "--out=new/a.wav", "--seconds=0.4")
    assert (done.code, done.err) == (0, "")
    assert done.out == "audio\tseconds\tHz\tended\nnew/a-1.wav\t0.400\t8000\tyes\nnew/a-2.wav\t0.400\t8000\tyes\n"
    assert run(little, "--form=tts", "--text=up", "--out=b.flac", "--seconds=0.4").code == 0
    one, two, again = (soundfile.read(tmp_path / name)[0] for name in ("new/a-1.wav", "new/a-2.wav", "b.flac"))
    assert (one == again).all()
    assert (one != two).any()
    run(little, "--form=tts", "--text=up", "--out=c.wav", "--seconds=0.4", "--seed=1")
    assert (one != soundfile.read(tmp_path / "c.wav")[0]).any()


def test_it_says_what_it_has_learnt(little: Path, run: Run, tmp_path: Path) -> None:
    """A ramp that goes up, after its first half, which a person gives and may keep."""
    given = ["--form=sc", f"--prompt={little.parent / '12.wav'}", "--seconds=0.2", "--temperature=0"]
    assert run(little, *given, "--out=rest.wav").code == 0
    assert run(little, *given, "--out=all.wav", "--whole").code == 0
    rest, whole = (soundfile.read(tmp_path / name)[0] for name in ("rest.wav", "all.wav"))
    assert (len(rest), len(whole)) == (1600, 3200 + 1600)
    assert (whole[3200:] == rest).all()
    done = run(little, "--form=asr", f"--source={little.parent / '12.wav'}", "--temperature=0", "--out=none.wav")
    assert done.out == "text\tended\nup\tyes\n"
    assert not (tmp_path / "none.wav").exists()


def test_sampling_can_be_changed_for_all_stages_and_for_one(little: Path, run: Run, tmp_path: Path) -> None:
    asked = ["--form=tts", "--text=down", "--seconds=1"]
    changed = [["--top-k=1"], ["--top-p=0.01"], ["--temperature=0"], ["--set=all.temperature=[0.0]"]]
    for number, options in enumerate([*changed, []]):
        assert run(little, *asked, f"--out={number}.wav", *options).code == 0
    *alike, other = (soundfile.read(tmp_path / f"{number}.wav")[0].tolist() for number in range(5))
    assert all(each == alike[0] for each in alike)
    assert other != alike[0]


def test_what_is_no_table_of_sampling_is_told(little: Path, run: Run) -> None:
    done = run(little, "--form=tts", "--text=down", "--seconds=1", "--set=all=3")
    assert done.code == 2
    assert "sampling of all: expected a table, found 3" in " ".join(done.err.split())


def test_a_voice_goes_in_where_a_model_takes_one(speaker: Path, run: Run, tmp_path: Path) -> None:
    voice = f"--prompt={speaker.parent / '1.wav'}"
    done = run(speaker, "--form=tts", "--text=up", voice, "--seconds=0.1", "--out=said.wav")
    assert done.code == 0
    assert soundfile.info(tmp_path / "said.wav").frames == 800
    manner = "--with=description=slow"
    assert run(speaker, "--form=itts", "--text=up", manner, "--seconds=0.1", "--out=b.wav").code == 0
    done = run(speaker, "--form=tts", "--text=up", voice, "--set=max_s=0.1", "--out=c.wav", "--seed=3")
    assert done.out.splitlines()[1].endswith("\tno, at the longest length")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("", "little was asked for no form; it has asr, tts, sc"),
        ("--form=se", "little was asked for 'se'; it has asr, tts, sc"),
        ("--form=tts", "little needs a text (--text …) for tts"),
        ("--form=asr", "little needs a recording (--source FILE) for asr"),
        ("--form=tts --text=up --source=x.wav", "--source: the form 'tts' of little takes text"),
        ("--form=asr --prompt=x.wav", "--prompt: the form 'asr' of little takes audio"),
        ("--form=sc --with=mood=sad", "--with mood: the form 'sc' of little takes nothing"),
        ("--form=sc --with=mood", "--with mood: expected NAME=VALUE, such as language=en-us"),
        ("--form=tts --text=up --prompt-text=a", "--prompt-text: the form 'tts' of little takes no prompt that"),
        ("--form=sc --text=up", "--text: the form 'sc' of little takes nothing"),
        ("--form=sc --out=x.mp3", "--out x.mp3: expected a file whose name ends in .wav or .flac"),
        ("--form=sc --set=top_p=3", "sampling of all: top_p: input should be less than or equal to 1, found 3"),
        ("--form=sc --device=gpu", "--device: 'gpu' is no device: expected cpu, cuda or cuda:N"),
        ("--form=sc --set=ar.top_p=1", "sampling of all: ar: unknown key"),
        ("--form=sc --seconds=inf", "expected a length in seconds (--seconds) above 0, found inf"),
        ("--form=sc --set=beam=2 --guidance=3", "sampling of all: a beam goes without guidance, found beam 2 and"),
    ],
)
def test_a_request_that_makes_no_sense_is_told(little: Path, run: Run, options: str, problem: str) -> None:
    done = run(little, *options.split())
    assert done.code == 2
    assert problem in done.err
    assert done.err.count("\n") == 1


def test_what_cannot_be_done_is_told(little: Path, speaker: Path, run: Run, tmp_path: Path) -> None:
    done = run(little, "--form=sc", "--prompt=nowhere.wav")
    assert (done.code, done.err) == (1, "Error: nowhere.wav: not readable as audio (no such file)\n")
    done = run(little, "--form=tts", f"--text={'up' * 200}")
    assert done.code == 1
    assert "the request takes 403 steps of little, whose context is 256: shorten it" in done.err
    done = run(little, "--form=sc", "--seconds=10")
    assert "the request takes 503 steps of little, whose context is 256" in done.err
    for text, problem in (
        ("sea", "no symbol of the stream 'letters' is in the text 'sea'"),
        ("…", "nothing to say"),
        ("!!!", "there is no letter and no digit to pronounce in the text '!!!'"),
        ("日本", "letters that en-us is not written in cannot be pronounced: 日 本"),
    ):
        done = run(speaker, "--form=itts", f"--text={text}", "--with=description=x")
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert problem in done.err
    done = run(speaker, "--form=free")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "little cannot tell how long 'codes' is to be: ask for a duration (--seconds)" in done.err
    (tmp_path / "there.wav").touch()
    done = run(little, "--form=sc", "--out=there.wav")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "there.wav exists; choose another --out, or replace it with --force" in done.err
    assert run(little, "--form=sc", "--out=there.wav", "--seconds=0.1", "--force").code == 0


def test_a_folder_that_is_not_of_one_model_is_told(little: Path, speaker: Path, run: Run, tmp_path: Path) -> None:
    done = run(tmp_path, "--form=sc")
    assert (done.code, done.err) == (
        2,
        f"Error: {tmp_path}: holds no trained language model: there is no lm.toml\n",
    )
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for file in little.glob("*.*"):
        (mixed / file.name).write_bytes(file.read_bytes())
    (mixed / "weights.safetensors").write_bytes((speaker / "weights.safetensors").read_bytes())
    done = run(mixed, "--form=sc")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "mixed/weights.safetensors: expected SHA-256 " in done.err
    assert "The files of a language model are those of one run." in done.err


def test_a_codec_that_cannot_be_heard_is_told_before_work_starts(run: Run, tmp_path: Path) -> None:
    model = trained(tmp_path, codec="mfcc-km100", training={"num_steps": 1})
    done = run(model, "--form=sc", "--seconds=0.1")
    assert done.code == 1
    told = "little does not offer decoding of what it generates of 'audio' (codes). Train it on codes that are "
    assert done.err == f"Error: {told}decoded as they are, such as those of --codec unit-vocoder-tiny:100\n"


def test_what_writes_text_alone_is_read(tmp_path: Path) -> None:
    forms = {"forms": {"tts": False, "sc": False}}
    model = trained(tmp_path, stages={"all": forms}, training={"num_steps": 1})
    assert _how_to_ask(model) == f"Read what it writes with: tokbench generate {model} --help"
