"""What every test may use: seeded signals, a home of its own, the command line, and recorded speech if present."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from running import Cli, command, environment

# Workers get one thread by the environment, which tests share: numba, once begun, refuses another number.
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

SPEECH = Path(__file__).parent.parent.parent / "shared" / "speech"

TASK = """
name = "quick"
version = 1
kind = "reconstruction"
question = "Does it run?"
metrics = ["si_sdr_db", "snr_db", "stoi"]
"""


@pytest.fixture(autouse=True)
def tokbench_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own caches, and no way to a hub."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TOKBENCH_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Let the tests of one process use one thread: several of them run side by side."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_redirections() -> None:
    """Forget SpeechBrain's names for modules that moved: asked for anything, they import what is not installed.

    Hypothesis asks every module for its file.
    """
    redirections = [
        name for name, module in list(sys.modules.items()) if type(module).__name__ == "DeprecatedModuleRedirect"
    ]
    for name in redirections:
        del sys.modules[name]


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let torch use two threads, as an original does by default: with one, some convolutions round otherwise."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def speech_dir() -> Path:
    """Return the folder of recorded speech with its manifest.csv, or skip."""
    if not (SPEECH / "manifest.csv").is_file():
        pytest.skip("the recorded speech is not here")
    return SPEECH


@pytest.fixture
def voice_16khz() -> np.ndarray:
    """Two seconds of a voice-like signal [T] at 16 kHz: harmonics of a gliding F0, with pauses and some noise."""
    rate_hz, generator = 16000, np.random.default_rng(1)
    time_s = np.arange(2 * rate_hz) / rate_hz
    f0_hz = 120 + 40 * np.sin(2 * np.pi * 0.7 * time_s)
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate_hz
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * time_s), 0.0, 1.0)
    return (0.1 * envelope * voice + 0.001 * generator.standard_normal(len(time_s))).astype(np.float32)


@pytest.fixture
def cli(tmp_path: Path, tokbench_home: Path) -> Cli:
    """Run ``tokbench`` in a process of its own, in ``tmp_path``."""

    def run(*arguments: object, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment(tokbench_home, extra),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twelve voice-like files of about a second, the fifth with the length that broken codecs break on."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(12):
        num_samples = 16001 if index == 4 else 16000 + 160 * index
        time_s = np.arange(num_samples) / 16000
        voice = sum(np.sin(2 * np.pi * k * (110 + 10 * index) * time_s) / k for k in range(1, 9))
        samples = 0.1 * voice * np.sin(2 * np.pi * 2 * time_s) ** 2 + 0.001 * generator.standard_normal(num_samples)
        soundfile.write(folder / f"utterance {index:02d}.wav", samples, 16000)
    return folder


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "quick.v1.toml"
    path.write_text(TASK)
    return path
