"""The device is looked for once, before any work."""

from pathlib import Path

import pytest
from running import run_here

from tokbench.cli import device
from tokbench.cli.device import check_device
from tokbench.errors import UsageError

COMMANDS = [
    ("run", "--codec", "mulaw", "--task", "tokens"),
    ("train", "encodec"),
    ("study", "ablations"),
    ("generate", "nowhere"),
    ("encode", "a.wav", "--codec", "mulaw"),
    ("decode", "a.safetensors"),
]


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_num_cuda_devices", lambda: 0)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("arguments", COMMANDS, ids=[command for command, *_ in COMMANDS])
@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("cuda", "--device cuda: no CUDA device here; leave the option out to use the processor"),
        ("gpu", "--device: 'gpu' is no device: expected cpu, cuda or cuda:N"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    named: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here(monkeypatch, capsys, *arguments, "--device", named)
    assert (done.code, done.out, done.err) == (2, "", f"Error: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_number_beyond_the_last_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_num_cuda_devices", lambda: 2)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        check_device(name)
    with pytest.raises(UsageError, match="--device cuda:2: no such CUDA device here, only cuda:0, cuda:1"):
        check_device("cuda:2")


@pytest.mark.usefixtures("without_gpu")
def test_of_a_device_elsewhere_the_name_alone_is_looked_at() -> None:
    check_device("cuda:3", is_here=False)
    with pytest.raises(UsageError, match="'cuda:x' is no device"):
        check_device("cuda:x", is_here=False)
