"""The page on designs, made of records that are worked out by hand, few or many."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from docs_pages import imported
from leaderboard.builder import Results, summary_of

from tokbench.leaderboard.studies import StudyResults
from tokbench.specs.study import find_study

CORPUS = "speech-librispeech-test"
HARD = np.linspace(-0.05, 0.05, 24)


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from imported(monkeypatch, "designs_page")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results", corpus=CORPUS, num_utterances=len(HARD))


def add(
    results: Results, name: str, num_codebooks: int, quality: float, *, saved: float | None = None, **facts: Any
) -> None:
    """Write the records of one model: all of its metrics are functions of ``quality``, from 0 to 1."""
    setting, rate_bps = f"{num_codebooks}x1024", 500.0 * num_codebooks
    facts = {"bitrate_bps": rate_bps, "num_parameters": 900_000, **facts}
    noise = 0.01 * np.random.default_rng(len(name) + num_codebooks).normal(size=len(HARD))
    noise -= noise.mean()

    def around(value: float, factor: float = 1.0) -> list[float]:
        return [float(v) for v in value + factor * (HARD + noise)]

    scores = {
        "stoi": around(quality),
        "pesq_wb": around(1 + 3 * quality, 3),
        "visqol": around(1 + 4 * quality, 4),
        "mel_distance_dac": around(2 - quality, -1),
        "si_sdr_db": around(20 * quality - 10, 20),
    }
    results.add(name, setting, scores, **facts)
    nominal = {"bitrate_nominal_bps": [rate_bps] * len(HARD)}
    whole = [summary_of("codebook_usage", [0.9]), summary_of("bitrate_entropy_bps", [0.8 * rate_bps])]
    results.add(name, setting, nominal, task="tokens.v1", summaries=whole, **facts)
    results.add_cost(name, setting, encode_rtf=0.0123, decode_rtf=0.02)
    if saved is not None:
        coded = {**nominal, "bitrate_coded_bps": [(1 - saved) * rate_bps] * len(HARD)}
        results.add(name, setting, coded, task="entropy-coding.v1", **facts)


def verdicts(docs: ModuleType, results: Results) -> dict[str, tuple[str, str]]:
    """Return verdict and evidence by the function that found them."""
    studies = [StudyResults(find_study(name), results.folder, CORPUS) for name in ("designs", "ablations")]
    found = {finding.__name__: finding(*studies) for finding in docs.FINDINGS}
    return {name: (item.verdict, item.evidence) for name, item in found.items()}


def test_without_records_the_page_says_so(docs: ModuleType, results: Results) -> None:
    page = docs.designs_page(results.folder)
    assert page.count("Not measured yet.") == 4
    assert docs.designs_pictures(results.folder) == {}
    assert {verdict for verdict, _ in verdicts(docs, results).values()} == {"not measured"}


def test_designs_stand_side_by_side_at_a_bitrate(docs: ModuleType, results: Results) -> None:
    add(results, "encodec-tiny", 8, 0.75)
    add(results, "dac-tiny", 8, 0.85)
    add(results, "soundstream-tiny", 8, 0.70, bitrate_bps=4320.0)
    add(results, "soundstream-tiny", 4, 0.60)
    page = docs.designs_page(results.folder)
    assert "About 4 kbit/s" in page
    assert "About 1 kbit/s" not in page
    lines = [line for line in page.splitlines() if line.startswith("| `dac-tiny")]
    assert lines[0].split(" | ")[2:6] == ["4000", "0.90", "0.0123", "0.0200"]
    assert "| **+0.100 (+0.0" in lines[1]
    (loser,) = [line for line in page.splitlines() if line.startswith("| `soundstream-tiny` |") and "(" in line]
    assert "| *\N{MINUS SIGN}0.050 (" in loser
    assert "soundstream-tiny:4x1024" not in page
    # The reference does not differ from itself.
    assert not [line for line in page.splitlines() if line.startswith("| `encodec-tiny` |") and "(" in line]


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([0.1, 0.11, 0.12], "holds"), ([-0.1, -0.1, -0.09], "does not hold"), ([0.1, -0.1, 0.0], "undecided")],
)
def test_what_cannot_be_told_apart_is_not_shown_to_cost_nothing(
    docs: ModuleType, results: Results, gains: list[float], verdict: str
) -> None:
    for number, gain in enumerate(gains, start=1):
        add(results, f"encodec-base-s{number}", 8, 0.6)
        add(results, f"encodec-sem-s{number}", 8, 0.6 + gain)
    assert verdicts(docs, results)["semantic_teacher"][0] == verdict


def test_settings_are_ladders_that_should_rise(docs: ModuleType, results: Results) -> None:
    for number, quality in ((1, 0.5), (2, 0.6), (4, 0.7)):
        add(results, "encodec-tiny", number, quality)
    assert verdicts(docs, results)["each_codebook"] == ("holds", "10 of 10 steps improve.")
    add(results, "encodec-tiny", 8, 0.65)
    verdict, evidence = verdicts(docs, results)["each_codebook"]
    assert verdict == "holds in part"
    assert evidence.startswith("10 of 15 steps improve; not STOI of `encodec-tiny` from 4 to 8, ")
    assert evidence.endswith("and 1 more.")


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [([0.1, 0.11, 0.12], "holds"), ([-0.1, -0.1, -0.09], "does not hold"), ([0.1, -0.1, 0.0], "undecided")],
)
def test_a_switch_is_judged_over_its_seeds(
    docs: ModuleType, results: Results, gains: list[float], verdict: str
) -> None:
    for number, gain in enumerate(gains, start=1):
        add(results, f"encodec-base-s{number}", 4, 0.6)
        add(results, f"encodec-mrg-s{number}", 4, 0.6 + gain)
    assert verdicts(docs, results)["grouped_codebooks"][0] == verdict
    assert verdicts(docs, results)["kmeans_initialisation"][0] == "not measured"


@pytest.mark.parametrize(
    ("taught", "verdict"),
    [((0.20, 0.21, 0.19), "holds"), ((0.40, 0.41, 0.39), "does not hold"), ((0.25, 0.35, 0.30), "undecided")],
)
def test_the_first_codebook_is_judged_by_its_own_phones(
    docs: ModuleType, results: Results, taught: tuple[float, ...], verdict: str
) -> None:
    """By those of the task's own corpus, and not by all codebooks together, which tell the opposite here."""
    results.corpus = "synth.v1"
    for number, (error, other) in enumerate(zip(taught, (0.30, 0.31, 0.29), strict=True), start=1):
        for name, first, whole in (("encodec-sem", error, 0.3), ("encodec-base", other, error)):
            summaries = [
                summary_of("abx_across", [value], group=group)
                for group, value in (("all", whole), ("codebook 1", first))
            ]
            results.add(f"{name}-s{number}", "8x1024", task="abx.v1", summaries=summaries)
    found, evidence = verdicts(docs, results)["phonetic_first_codebook"]
    assert found == verdict
    assert f"taught {np.mean(taught):.3f} and untaught 0.300" in evidence


def test_the_table_of_switches_names_seeds_and_what_is_missing(docs: ModuleType, results: Results) -> None:
    for number in (1, 2, 3):
        add(results, f"encodec-base-s{number}", 8, 0.6 + 0.001 * number)
        add(results, f"encodec-snake-s{number}", 8, 0.7 + 0.001 * number)
    add(results, "encodec-no-km-s1", 8, 0.5)
    lines = docs.designs_page(results.folder).splitlines()
    (snake,) = [line for line in lines if "Snake in the place of ELU" in line]
    assert snake.startswith("| Networks | Snake in the place of ELU | 3 | **+0.100 (")
    (random,) = [line for line in lines if "codes begin at random |" in line]
    assert "| 1 | *\N{MINUS SIGN}0.102" in random
    (missing,) = [line for line in lines if "SEM:" in line]
    assert "| not measured | " in missing
    found = verdicts(docs, results)
    assert found["snake_activation"] == ("holds", "Better: STOI, PESQ, ViSQOL, mel distance, SI-SDR.")
    assert found["kmeans_initialisation"][0] == "holds"


@pytest.mark.parametrize(
    ("saved", "verdict"), [((0.1, 0.2), "holds"), ((0.01, 0.2), "holds in part"), ((0.0, 0.4), "does not hold")]
)
def test_savings_are_told(docs: ModuleType, results: Results, saved: tuple[float, float], verdict: str) -> None:
    add(results, "encodec-tiny", 4, 0.6, saved=saved[0])
    add(results, "encodec-tiny", 8, 0.6, saved=saved[1])
    found, evidence = verdicts(docs, results)["entropy_coding"]
    assert found == verdict
    assert f"`encodec-tiny:8x1024` {100 * saved[1]:.1f} %" in evidence


@pytest.mark.parametrize(("quality", "verdict"), [(0.82, "holds"), (0.79, "does not hold")])
def test_intelligibility_is_that_at_the_full_rate(
    docs: ModuleType, results: Results, quality: float, verdict: str
) -> None:
    add(results, "encodec-tiny", 8, quality - 0.1)
    add(results, "dac-tiny", 8, quality)
    add(results, "soundstream-tiny", 4, 0.95)
    found, evidence = verdicts(docs, results)["intelligible"]
    assert found == verdict
    assert evidence.endswith("of 2 do; the best is `dac-tiny` with 0.820." if quality > 0.8 else "with 0.790.")


def test_curves_are_drawn_as_far_as_there_are_any(docs: ModuleType, results: Results) -> None:
    folder = results.folder / "curves"
    folder.mkdir(parents=True)
    rows = "".join(f"{50 * n},{180 * n},{9.0 * n},{1 + 1 / n}\n" for n in range(1, 60))
    for name in ("encodec-base-s1", "encodec-base-s2", "encodec-snake-s1"):
        (folder / f"{name}.csv").write_text(f"step,audio_s,elapsed_s,mel\n{rows}", encoding="utf-8")
    (folder / "hubert-tiny.csv").write_text("step,audio_s,elapsed_s,ce\n50,1,60.0,2\n", encoding="utf-8")
    pictures = docs.designs_pictures(results.folder)
    assert list(pictures) == ["docs/ablations-curves.svg"]
    (picture,) = pictures.values()
    assert picture.startswith("<svg")
    assert picture.count(">encodec-") == picture.count('<use href="#reference"/>') == 2
    drawn = [line.split('d="M')[1].split('"')[0] for line in picture.splitlines() if 'fill="none"' in line]
    assert drawn == [drawn[0]] * 3  # the same rows: the reference, and both panels
    points = [tuple(map(float, point.split(","))) for point in drawn[0].split("L")]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[-1] == (180.0, 96.0)  # the end of the axis, and the smallest of all heights
    assert docs.designs_pictures(results.folder)["docs/ablations-curves.svg"] == picture
    page = docs.designs_page(results.folder)
    assert "| `encodec-base` | `encodec` |  | 2 | 2950 | 2.95 | 9 |" in page
    assert "](ablations-curves.svg)" in page
    assert "| `hubert-tiny` | `hubert` |  | 1 | 50 | 0.00 | 1 |" in page
