"""One corpus with everything that users have lying about: each file is scored, or has its sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from running import Cli

VOICE = 'voice "à la carte" <b>音声<i> & co.wav'
READABLE = {
    "one sample.wav": (np.array([0.5]), 16000),
    "silence.wav": (np.zeros(16000), 16000),
    "loud.wav": (np.clip(3 * np.sin(np.arange(16000) / 9), -1, 1), 16000),
    "8000 Hz.wav": (0.3 * np.sin(np.arange(8000) / 4), 8000),
    "192 kHz.flac": (0.3 * np.sin(np.arange(192000) / 100), 192000),
    "stereo.flac": (0.3 * np.sin(np.arange(32000) / 9).reshape(-1, 2), 16000),
    "six channels.wav": (0.3 * np.sin(np.arange(96000) / 9).reshape(-1, 6), 16000),
}
UNREADABLE = {
    "empty file.wav": "the file is empty",
    "no samples.wav": "has 0 samples",
    "not a number.wav": "has 3 NaN or infinite values in 16000 samples",
    "truncated.flac": "not readable as audio",
    "text.wav": "not readable as audio",
}


@pytest.fixture
def odd_corpus(tmp_path: Path, voice_16khz: np.ndarray) -> Path:
    folder = tmp_path / "odd corpus"
    folder.mkdir()
    soundfile.write(folder / VOICE, voice_16khz, 16000)
    for name, (samples, rate_hz) in READABLE.items():
        soundfile.write(folder / name, samples, rate_hz)
    (folder / "empty file.wav").touch()
    soundfile.write(folder / "no samples.wav", np.zeros(0), 16000)
    bad = np.zeros(16000)
    bad[:3] = np.nan, np.inf, -np.inf
    soundfile.write(folder / "not a number.wav", bad, 16000, subtype="FLOAT")
    soundfile.write(folder / "truncated.flac", voice_16khz, 16000)
    data = (folder / "truncated.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(data[: len(data) // 3])
    (folder / "text.wav").write_text("Call me Ishmael.")
    return folder


def run(cli: Cli, folder: Path, codec: str) -> tuple[dict[str, Any], pd.DataFrame]:
    done = cli("run", "--codec", codec, "--task", "reconstruction,tokens", "--corpus", f"folder:{folder}")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (folder.parent / "results" / "reconstruction.v1").rglob("*.parquet")
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return record, pd.read_parquet(path).set_index("utterance")


@pytest.mark.parametrize("codec", ["identity", "opus:6kbps"])
def test_what_can_be_read_is_scored_and_the_rest_has_its_sentence(cli: Cli, odd_corpus: Path, codec: str) -> None:
    record, rows = run(cli, odd_corpus, codec)
    assert set(rows.index) == {VOICE, *READABLE, *UNREADABLE}
    for name, sentence in UNREADABLE.items():
        assert sentence in rows.loc[name, "error"]
        assert name in rows.loc[name, "error"]
    assert rows.loc[[VOICE, *READABLE], "error"].isna().all()
    assert rows.loc[VOICE, "pesq_wb.total"] > 1
    pesq = next(item for item in record["metrics"] if item["name"] == "pesq_wb")
    assert pesq["value"] is None  # five files could not be read: no mean over the others
    assert pesq["num_not_applicable"] >= 2  # one sample, and silence
    assert pesq["num_total"] - pesq["num_ok"] >= len(UNREADABLE)


def test_odd_names_reach_the_page_escaped(cli: Cli, odd_corpus: Path) -> None:
    for name in UNREADABLE:
        (odd_corpus / name).unlink()
    done = cli(
        "run", "--codec", "mulaw", "--task", "reconstruction", "--corpus", f"folder:{odd_corpus}", "--limit", 9
    )
    assert done.returncode in (0, 1), done.stderr
    built = cli("leaderboard", "build", "reconstruction")
    assert built.returncode == 0, built.stderr
    page = (odd_corpus.parent / "leaderboards" / "reconstruction.html").read_text(encoding="utf-8")
    assert "<b>音声<i>" not in page
