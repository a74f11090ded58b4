"""A small corpus of files, a task that is quick to score, and the command line to score it with."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from running import Cli, command, environment

TASK = """
name = "quick"
version = 1
kind = "reconstruction"
question = "Does it run?"
metrics = ["si_sdr_db", "snr_db", "stoi"]
"""


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
