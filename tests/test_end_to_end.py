"""The page docs/one-run.md as code: from a folder of audio to a page, by the commands that a user types."""

import csv
import json
from pathlib import Path

from running import Cli, codec


def test_from_a_corpus_to_a_page(cli: Cli, corpus: Path) -> None:
    run = cli(
        "run", "--codec", f"identity,noise,{codec('Good')}", "--task", "reconstruction,tokens",
        "--corpus", f"folder:{corpus}", "--limit", 3,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stderr  # F0 metrics may be missing for noise
    records = sorted(path for path in (corpus.parent / "results").rglob("*.json") if "cost" not in path.name)
    assert len(records) == 6
    build = cli("leaderboard", "build")
    assert build.returncode == 0, build.stderr
    page = (corpus.parent / "leaderboards" / "overview.html").read_text(encoding="utf-8")
    assert "identity" in page
    with (corpus.parent / "leaderboards" / "reconstruction.csv").open(encoding="utf-8") as file:
        rows = {row["codec"]: row for row in csv.DictReader(file)}
    assert (
        float(rows["identity"]["si_sdr_db"]) > float(rows["good"]["si_sdr_db"]) > float(rows["noise"]["si_sdr_db"])
    )
    check = cli("leaderboard", "build", "--check")
    assert check.returncode == 0, check.stdout
    record = json.loads((corpus.parent / "results/tokens.v1/corpus.first-3/good/default.json").read_text())
    nominal = next(item for item in record["metrics"] if item["name"] == "bitrate_nominal_bps")
    assert nominal["value"] == 128000
    compared = cli("compare", "identity:16khz", "good", "--task", "reconstruction", "--metric", "snr_db")
    assert compared.returncode == 0, compared.stderr
    assert "worse" in compared.stdout
