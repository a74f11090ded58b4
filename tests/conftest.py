"""What every test may use: seeded signals, a home of its own, and the recorded speech where it is present."""

from pathlib import Path

import numpy as np
import pytest

SPEECH = Path(__file__).parent.parent.parent / "shared" / "speech"


@pytest.fixture(autouse=True)
def tokbench_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own caches, and no way to a hub."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TOKBENCH_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


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
