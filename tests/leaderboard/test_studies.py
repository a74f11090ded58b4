"""What a study found, beside what the comparison of two records finds."""

from typing import Any

import numpy as np
import pytest
from leaderboard.builder import Results, summary_of

from tokbench.leaderboard.cells import MixedRecordsError
from tokbench.leaderboard.compare import compare
from tokbench.leaderboard.studies import Point, StudyResults
from tokbench.specs.study import Study

STUDY = Study.model_validate(
    {
        "name": "mine",
        "title": "Mine",
        "question": "Which?",
        "corpora": ["synth"],
        "scored_on": "synth",
        "tasks": ["reconstruction", "tokens"],
        "spec": "encodec",
        "reference": "base",
        "runs": [{"name": "base", "title": "as it is"}, {"name": "wide", "title": "wider"}],
    }
)
SEEDED = STUDY.model_copy(update={"num_seeds": 2})
BASE, WIDE = STUDY.runs


def scores(mean: float, seed: int, **more: Any) -> dict[str, Any]:
    values = mean + 0.3 * np.random.default_rng(seed).normal(size=4)
    return {"pesq_wb": values.tolist(), "stoi": [0.5, 0.6, 0.7, 0.8], **more}


def point(results: Results, run: Any, number: int = 8, study: Study = STUDY) -> Point:
    found = StudyResults(study, results.folder, "synth").with_codebooks(run, number)
    assert found is not None
    return found


@pytest.mark.parametrize("metric", ["pesq_wb", "stoi", "f0_rmse_cents"])
def test_from_one_seed_it_is_the_comparison_of_two_records(results: Results, metric: str) -> None:
    results.add("base", "8x1024", scores(2.0, 1, f0_rmse_cents=[(2e4, 3.0)] * 4))
    pitch = [(1e4, 4.0), (4e4, 2.0), (0.0, 0.0), (9e4, 5.0)]
    results.add("wide", "8x1024", scores(2.5, 2, f0_rmse_cents=pitch))
    table = compare(results.folder, task="reconstruction", codecs=["base:8x1024", "wide:8x1024"]).differences
    expected = table.set_index("metric").loc[metric]
    found = point(results, WIDE).difference(point(results, BASE), metric)
    assert found is not None
    assert (found.value, found.low, found.high, found.p_value, found.num_units) == pytest.approx(
        tuple(expected[["difference", "low", "high", "p_value", "num_utterances"]])
    )


def test_a_number_that_is_missing_for_one_seed_is_missing(results: Results) -> None:
    results.add("base-s1", "8x1024", scores(2.0, 1))
    results.add("base-s2", "8x1024", scores(3.0, 2, stoi=[0.5, None, 0.7, 0.8]))
    results.add("wide-s1", "8x1024", scores(2.5, 3))
    base, wide = (point(results, run, study=SEEDED) for run in (BASE, WIDE))
    assert [len(base.trials), len(wide.trials)] == [2, 1]
    assert base.value("stoi") is None
    assert wide.difference(base, "stoi") is None
    assert wide.value("stoi") == pytest.approx(0.65)
    means = [item.value for item in base.summaries("pesq_wb") if item.value is not None]
    assert base.value("pesq_wb") == pytest.approx(np.mean(means))
    found = wide.difference(base, "pesq_wb")
    assert found is not None
    assert found.value == pytest.approx((wide.value("pesq_wb") or 0) - np.mean(means))
    assert base.value("no_such_metric") is None


def test_what_has_no_utterances_is_compared_over_seeds(results: Results) -> None:
    for name, usage in {"base-s1": 0.5, "base-s2": 0.6, "wide-s1": 0.9, "wide-s2": 0.9}.items():
        summaries = [summary_of("codebook_usage", [usage])]
        results.add(name, "8x1024", {}, task="tokens.v1", summaries=summaries)
    base, wide = (point(results, run, study=SEEDED) for run in (BASE, WIDE))
    found = wide.difference(base, "codebook_usage")
    assert found is not None
    assert found.value == pytest.approx(0.35)
    # Student's t of one degree of freedom is 12.7; the standard error is that of the two seeds of the base.
    assert found.high - found.value == pytest.approx(12.706 * 0.05, rel=1e-3)


def test_costs_are_read_and_not_compared(results: Results) -> None:
    for name in ("base", "wide"):
        results.add(name, "8x1024", {"bitrate_nominal_bps": [4000.0] * 4}, task="tokens.v1")
        results.add_cost(name, "8x1024", encode_rtf=0.02)
    base, wide = point(results, BASE), point(results, WIDE)
    assert base.value("encode_rtf") == pytest.approx(0.02)
    assert wide.difference(base, "encode_rtf") is None


def test_settings_are_found_by_codebooks_and_by_bitrate(results: Results) -> None:
    rates = {"1x1024": 500.0, "2x1024": 1000.0, "8x1024": 4000.0, "8x1024-denoised": 4000.0}
    for setting, rate_bps in rates.items():
        results.add("base", setting, scores(2.0, 1), bitrate_bps=rate_bps)
    results.add("wide", "8x1024", scores(2.0, 1), bitrate_bps=4350.0)
    results.add("stranger", "8x1024", scores(2.0, 1))
    found = StudyResults(STUDY, results.folder, "synth")
    assert [each.setting for each in found.points(BASE)] == list(rates)
    assert [[each.num_codebooks for each in ladder] for ladder in found.ladders()] == [[1, 2, 8]]
    assert found.with_codebooks(BASE, 4) is None
    assert (near := found.at_rate(WIDE, 4000)) is not None
    assert near.bitrate_bps == 4350.0
    assert found.at_rate(WIDE, 3900) is None
    assert StudyResults(STUDY, results.folder, "elsewhere").is_empty


def test_a_bitrate_that_varies_is_the_measured_one(results: Results) -> None:
    """That of a loudness sent once with each utterance is in no card, and the codec has its place nevertheless."""
    results.add("wide", "8x1024", scores(2.0, 1), bitrate_bps=None)
    found = StudyResults(STUDY, results.folder, "synth")
    assert found.at_rate(WIDE, 4000) is None
    measured = {"bitrate_nominal_bps": [4000.0 + index for index in range(len(results.names()))]}
    results.add("wide", "8x1024", measured, task="tokens.v1", bitrate_bps=None)
    found = StudyResults(STUDY, results.folder, "synth")
    assert (near := found.at_rate(WIDE, 4000)) is not None
    assert near.bitrate_bps == pytest.approx(4000.0 + (len(results.names()) - 1) / 2)


def test_records_of_other_utterances_are_not_compared(results: Results) -> None:
    results.add("base", "8x1024", scores(2.0, 1))
    results.overrides = {"provenance": {"limit": 4}}
    results.add("wide", "8x1024", scores(2.0, 1))
    with pytest.raises(MixedRecordsError, match="--limit is 4 in the one and 'everything' in the other"):
        point(results, WIDE).difference(point(results, BASE), "pesq_wb")


def test_other_recordings_of_the_same_names_are_not_compared(results: Results) -> None:
    for name, audio in {"base": ["v", "w", "x", "y"], "wide": ["v", "w", "x", "z"]}.items():
        results.audio = audio
        results.add(name, "8x1024", scores(2.0, 1))
    base, wide = point(results, BASE), point(results, WIDE)
    with pytest.raises(MixedRecordsError, match="the audio of utt 3 is 'z' in the one and 'y' in the other"):
        wide.difference(base, "stoi")
