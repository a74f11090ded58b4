"""Small files to make corpora of, and the corpus synth, made once for all tests."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora.writers import WriteManifest, WriteWav

from tokbench.corpora.synth import NAME, build_synth


@pytest.fixture
def write_wav() -> WriteWav:
    """Return a function that writes ``num_samples`` of a tone at 16 kHz."""

    def write(path: Path, num_samples: int = 1600) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.sin(np.arange(num_samples) / 10), 16000)
        return path

    return write


@pytest.fixture
def write_manifest(tmp_path: Path, write_wav: WriteWav) -> WriteManifest:
    """Return a function that writes a manifest, and the recordings ``a.wav``, ``b.wav`` and ``c.wav`` beside it."""

    def write(text: str, *, name: str = "manifest.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / "my data" / name
        for letter in "abc":
            write_wav(path.parent / f"{letter}.wav")
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.fixture(scope="session")
def synth_corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tokbench home in which synth is made."""
    home = tmp_path_factory.mktemp("synth home")
    build_synth(home / "corpora" / NAME)
    return home


@pytest.fixture
def synth_home(synth_corpora: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make that home the one that ``synth`` is opened in."""
    monkeypatch.setenv("TOKBENCH_HOME", str(synth_corpora))
    return synth_corpora
