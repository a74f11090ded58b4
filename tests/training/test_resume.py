"""A run that is killed, stopped or begun anew: what it leaves, and that it ends as if nothing had been."""

import csv
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny.toy_run import ToyRun, ToyRunProcess

from tokbench.audio import Audio
from tokbench.training.folder import FolderInUseError, RunExistsError, RunFolder


def started(corpus: Path, out: Path, *, halts_after: int | None = None, **changes: object) -> ToyRunProcess:
    return ToyRun(corpus, out, changes, halts_after=halts_after).start()


def finished(corpus: Path, out: Path) -> list[int]:
    """Train to the end, and return the steps that this took."""
    end = started(corpus, out).end()
    assert end.code == 0, end.error
    return end.steps


def curve(out: Path) -> list[dict[str, str]]:
    with (out / "curves.csv").open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name != "elapsed_s"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of five voices."""
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for index in range(5):
        envelope = np.abs(np.sin(np.arange(16000) / (1000 + 100 * index)))
        Audio.from_numpy(0.1 * envelope * generator.standard_normal(16000), 16000).write(folder / f"{index}.wav")
    return folder


@pytest.fixture(scope="module")
def straight(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight") / "out"
    finished(audio, out)
    return out


def test_killed_in_the_middle_it_ends_as_if_it_had_not_been(audio: Path, straight: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    process = started(audio, out, halts_after=11)
    process.wait_for(11)
    process.send(signal.SIGKILL)
    assert process.end().code == -signal.SIGKILL
    assert not (out / "card.toml").exists()
    assert [row["step"] for row in curve(out)] == ["5", "6", "10"]
    assert finished(audio, out) == [9, 10, 11, 12]  # from the checkpoint of step 8
    assert curve(out) == curve(straight)
    assert (out / "weights.safetensors").read_bytes() == (straight / "weights.safetensors").read_bytes()
    assert_same_checkpoints(out, straight)


def assert_same_checkpoints(first: Path, second: Path) -> None:
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (first, second))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_saves_the_step_and_goes_on_from_there(
    audio: Path, straight: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "stopped"
    process = started(audio, out, halts_after=2)
    process.wait_for(2)
    process.send(number)
    end = process.end()
    assert (end.code, end.steps) == (1, [])
    assert end.error.startswith("KeyboardInterrupt")
    assert finished(audio, out) == list(range(3, 13))
    assert curve(out) == curve(straight)
    assert_same_checkpoints(out, straight)


def test_a_run_leaves_curves_events_and_audio(straight: Path) -> None:
    rows = curve(straight)
    assert [row["step"] for row in rows] == ["5", "6", "10", "12"]
    assert [bool(row["validation.wave"]) for row in rows] == [False, True, False, True]
    assert float(rows[-1]["audio_s"]) == pytest.approx(12 * 2 * 0.2)
    assert {"learning_rate.filter", "gradient_norm.critic", "health.dead_codes"} <= set(rows[0])
    names = sorted(path.name for path in (straight / "log" / "audio").iterdir())
    assert len(names) == 2
    decoded, original = (Audio.read(straight / "log" / "audio" / name) for name in names)
    assert decoded.num_samples == original.num_samples == 4000
    events = EventAccumulator(str(straight / "log" / "tensorboard" / "1"))
    events.Reload()
    told = {event.step: event.value for event in events.Scalars("wave")}
    assert told == {int(row["step"]): pytest.approx(float(row["wave"])) for row in rows}
    assert len(events.Tags()["audio"]) == 1


def test_divergence_ends_it_and_keeps_the_last_good_checkpoint(audio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    changes = {"optimizer": {"learning_rate": 1e18}, "log_every_steps": 2, "checkpoint_every_steps": 1}
    end = started(audio, out, **changes).end()
    assert end.code == 1
    assert end.error.startswith("DivergenceError: training diverged: ")
    assert "--set training.optimizer.learning_rate" in end.error
    kept = load_file(out / "checkpoint.safetensors")
    assert all(bool(tensor.isfinite().all()) for name, tensor in kept.items() if name.startswith("window"))
    assert not (out / "card.toml").exists()


def identity(**changes: str) -> dict[str, Any]:
    return {"spec": "a", "corpus": "b", "seed": "0", **changes}


def test_a_folder_of_another_run_is_refused_or_begun_again(tmp_path: Path) -> None:
    with RunFolder(tmp_path, identity()).claimed(restart=False):
        pass
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    (tmp_path / "card.toml").write_bytes(b"")
    other = RunFolder(tmp_path, identity(seed="1", corpus="c"))
    with (
        pytest.raises(RunExistsError, match=r"another corpus and another seed\. .*--out.*--restart"),
        other.claimed(restart=False),
    ):
        pass
    assert (tmp_path / "checkpoint.safetensors").exists()
    with other.claimed(restart=True):
        assert not (tmp_path / "checkpoint.safetensors").exists()
        assert not (tmp_path / "card.toml").exists()


def test_a_run_that_left_nothing_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    with RunFolder(tmp_path, identity()).claimed(restart=False):
        pass
    other = RunFolder(tmp_path, identity(seed="1"))
    with other.claimed(restart=False):
        other.finish()
    assert RunFolder(tmp_path, identity(seed="1")).is_finished
    assert not RunFolder(tmp_path, identity()).is_finished


def test_what_is_finished_is_known_by_the_run_that_made_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, identity())
    with folder.claimed(restart=False):
        folder.finish_one({"num_steps": 3})
        folder.finish()
    assert RunFolder(tmp_path, identity()).is_finished
    assert RunFolder(tmp_path, identity()).num_finished == 1
    assert not RunFolder(tmp_path, identity(seed="1")).is_finished


def test_a_codec_of_another_kind_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_bytes(b"")
    with (
        pytest.raises(RunExistsError, match="another spec"),
        RunFolder(tmp_path, identity()).claimed(restart=False),
    ):
        pass


def test_what_has_no_card_is_not_written_over_either(tmp_path: Path) -> None:
    """An encoder of text is no tokenizer."""
    folder = RunFolder(tmp_path, identity())
    with folder.claimed(restart=False):
        folder.finish_one({"num_steps": 3})
        folder.finish()
    other = RunFolder(tmp_path, identity(seed="1"))
    with pytest.raises(RunExistsError, match="another seed"), other.claimed(restart=False):
        pass
    with other.claimed(restart=True):
        assert other.num_finished == 0


def test_two_processes_do_not_train_in_one_folder(audio: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = started(audio, out, halts_after=1)
    process.wait_for(1)
    with (
        pytest.raises(FolderInUseError, match="another process trains in"),
        RunFolder(out, {"seed": "1"}).claimed(restart=False),
    ):
        pass
    process.send(signal.SIGKILL)
    assert process.end().code == -signal.SIGKILL


FINISHING = """
import sys
from pathlib import Path
from tokbench.training.folder import RunFolder

folder = RunFolder(Path(sys.argv[1]), {"spec": "a", "seed": "0"})
with folder.claimed(restart=False):
    print("begun", flush=True)
    sys.stdin.readline()
    folder.finish()
"""


def test_who_waits_finds_what_the_other_process_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FINISHING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        folder = RunFolder(tmp_path, {"spec": "a", "seed": "0"})
        assert not folder.is_finished
        threading.Timer(0.1, other.stdin.close).start()  # the end of the input lets it go on
        with folder.claimed(restart=False, waits=True):
            assert folder.is_finished
    assert other.returncode == 0
