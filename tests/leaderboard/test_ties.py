import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from leaderboard.builder import Results, bitrate, board, half_of_independent, summary_of

from tokbench import stats
from tokbench.leaderboard.cells import MixedRecordsError, read_sections
from tokbench.leaderboard.components import MissingUtterancesError
from tokbench.leaderboard.ties import Standing, standings


def standing(results: Results, key: str = "pesq_wb") -> Standing:
    shown = board()
    [section] = read_sections(shown, results.folder)
    return standings(shown, section)[key]


def slow_interval(
    first: Sequence[float], second: Sequence[float], num_resamples: int = 3000
) -> tuple[float, float]:
    """Return the 95 % interval of the mean difference, one drawn utterance at a time."""
    generator, num_resamples = random.Random(5), 3000
    means = []
    for _ in range(num_resamples):
        total = 0.0
        for _ in first:
            index = generator.randrange(len(first))
            total += first[index] - second[index]
        means.append(total / len(first))
    means.sort()
    return means[int(0.025 * num_resamples)], means[int(0.975 * num_resamples)]


def add_all(results: Results, scores: Mapping[str, Sequence[float]], metric: str = "pesq_wb") -> None:
    results.num_utterances = len(next(iter(scores.values())))
    for codec, values in scores.items():
        results.add(codec, "1", {metric: list(values)})


def test_ties_are_those_of_a_slow_bootstrap(results: Results, rng: np.random.Generator) -> None:
    hard = rng.normal(3.0, 0.8, size=30)
    scores = {f"codec {k}": hard - 0.02 * k + rng.normal(0, 0.1, size=30) for k in range(8)}
    add_all(results, scores)
    best = max(scores, key=lambda codec: scores[codec].mean())
    expected, certain = set(), set()
    for codec, values in scores.items():
        low, high = slow_interval(values.tolist(), scores[best].tolist())
        margin = 0.1 * (high - low)  # two bootstraps may disagree on an interval that ends at 0
        if abs(high) > margin or codec == best:
            certain.add(f"{codec}:1")
        if low <= 0 <= high:
            expected.add(f"{codec}:1")
    found = standing(results)
    assert found.best == f"{best}:1"
    assert found.tied & certain == expected & certain
    assert len(certain) >= 6
    assert 1 < len(found.tied) < 8


def test_ties_are_those_of_a_paired_comparison(results: Results, rng: np.random.Generator) -> None:
    hard = rng.normal(3.0, 0.8, size=25)
    scores = {f"codec {k}": hard - 0.03 * k + rng.normal(0, 0.1, size=25) for k in range(6)}
    add_all(results, scores)
    found, ones = standing(results), np.ones(25)
    best = found.best.removesuffix(":1")
    for codec, values in scores.items():
        pair = stats.paired((values, ones), (scores[best], ones))
        assert pair is not None
        assert pair.is_tied == (f"{codec}:1" in found.tied)


def test_ties_of_several_seeds_are_those_of_a_paired_comparison(results: Results, rng: np.random.Generator) -> None:
    results.num_utterances = 25
    hard, ones = rng.normal(3.0, 0.8, size=25), np.ones(25)
    trained = {
        f"codec {k}": [hard - 0.1 * k + offset + rng.normal(0, 0.1, size=25) for offset in rng.normal(0, 0.1, 3)]
        for k in range(6)
    }
    for codec, seeds in trained.items():
        value = np.mean(seeds)
        summary = summary_of("pesq_wb", [float(value)], low=0.0, high=9.0)
        results.add(codec, "1", {}, summaries=[summary], seeds={"pesq_wb": seeds})
    found = standing(results)
    best = [(seed, ones) for seed in trained[found.best.removesuffix(":1")]]
    for codec, seeds in trained.items():
        pair = stats.paired_over_seeds([(seed, ones) for seed in seeds], best)
        assert pair is not None
        assert (pair.is_tied or pair.value == 0) == (f"{codec}:1" in found.tied)
    assert 1 < len(found.tied) < 6


def test_a_constant_advantage_is_no_tie_however_wide_the_intervals(results: Results) -> None:
    hard = [1.0, 4.0, 2.0, 3.5, 1.5, 4.2]
    add_all(results, {"first": [value + 0.01 for value in hard], "second": hard})
    assert standing(results) == Standing("first:1", frozenset({"first:1"}))


def test_an_advantage_on_half_of_the_utterances_is_a_tie(results: Results) -> None:
    add_all(results, {"first": [3.0, 2.0, 3.0, 2.0, 3.1], "second": [2.0, 3.0, 2.0, 3.0, 3.0]})
    assert standing(results).tied == {"first:1", "second:1"}


def test_the_smallest_distance_is_the_best(results: Results) -> None:
    add_all(results, {"near": [0.5, 0.6, 0.5, 0.6], "far": [1.5, 1.6, 1.5, 1.6]}, metric="mel_distance_dac")
    assert standing(results, "mel_distance_dac") == Standing("near:1", frozenset({"near:1"}))


def test_anchors_are_neither_best_nor_tied(results: Results) -> None:
    add_all(results, {"identity": [4.6] * 4, "opus": [3.0, 3.1, 3.0, 3.1], "noise": [1.0] * 4})
    assert standing(results) == Standing("opus:1", frozenset({"opus:1"}))


def test_a_codec_with_a_failure_is_neither_best_nor_tied(results: Results) -> None:
    results.add("fragile", "1", {"pesq_wb": [4.5, None, 4.5, 4.5]})
    results.add("solid", "1", {"pesq_wb": [3.0, 3.1, 3.0, 3.1]})
    assert standing(results) == Standing("solid:1", frozenset({"solid:1"}))


def test_an_error_rate_weighs_utterances_by_their_length(results: Results) -> None:
    # By the mean of the four rates the second is better; by all frames together the first is.
    results.add("first", "1", {"mel_distance_dac": [(1, 1), (1, 1), (1, 1), (0, 997)]})
    results.add("second", "1", {"mel_distance_dac": [(0, 1), (0, 1), (0, 1), (100, 997)]})
    assert standing(results, "mel_distance_dac").best == "first:1"


def test_speakers_are_resampled_where_the_record_says_so(results: Results) -> None:
    # Ten utterances of one speaker favour the first codec, two of two others the second.
    results.num_utterances = 12
    results.speakers = ["anna"] * 10 + ["ben", "carla"]
    values = {"first": [3.2] * 10 + [2.9, 2.9], "second": [3.0] * 12}
    add_all(results, values)
    assert standing(results).tied == {"first:1"}
    results.interval_by = "speaker"
    add_all(results, values)
    assert standing(results).tied == {"first:1", "second:1"}


def test_a_single_utterance_decides_nothing(results: Results) -> None:
    add_all(results, {"first": [3.0], "second": [2.0]})
    assert standing(results) == Standing("first:1", frozenset({"first:1", "second:1"}))


def test_a_metric_of_the_whole_corpus_without_intervals_has_ties_of_equal_values_only(results: Results) -> None:
    for codec, value in {"a": 0.5, "b": 0.5, "c": 0.5001}.items():
        results.add(codec, "1", summaries=[summary_of("mel_distance_dac", [value], low=None, high=None)])
    assert standing(results, "mel_distance_dac").tied == {"a:1", "b:1"}


@pytest.mark.parametrize(("share", "is_tied"), [(0.99, True), (1.01, False)])
def test_values_of_the_whole_corpus_are_tied_within_their_independent_errors(
    results: Results, share: float, *, is_tied: bool
) -> None:
    value = 0.5 + share * half_of_independent(0.03, 0.04, results.num_utterances)
    best = summary_of("mel_distance_dac", [0.5], low=0.47, high=0.53)
    other = summary_of("mel_distance_dac", [value], low=value - 0.04, high=value + 0.04)
    results.add("a", "1", summaries=[best])
    results.add("b", "1", summaries=[other])
    assert ("b:1" in standing(results, "mel_distance_dac").tied) == is_tied


def test_a_column_without_a_direction_has_no_best(results: Results) -> None:
    results.add("a", "1", task="tokens.v1", summaries=[bitrate(1000)])
    shown = board()
    [section] = read_sections(shown, results.folder)
    assert standings(shown, section) == {}


def test_costs_have_no_best(results: Results) -> None:
    groups = [{"heading": "Cost", "task": "tokens.v1", "columns": [{"metric": "encode_rtf"}]}]
    shown = board(groups=groups, sort_by="encode_rtf", plot=None)
    results.add("a", "1", task="tokens.v1")
    results.add_cost("a", "1", encode_rtf=0.1)
    [section] = read_sections(shown, results.folder)
    assert standings(shown, section) == {}


def test_a_record_without_its_utterances_is_named_with_the_command_that_makes_them(results: Results) -> None:
    results.add("opus", "12kbps", {"pesq_wb": [3.0] * 4})
    results.files("opus", "12kbps").utterances.unlink()
    with pytest.raises(
        MissingUtterancesError,
        match=r"opus/12kbps\.json has no 12kbps\.parquet .* "
        r"tokbench run --codec opus:12kbps --task reconstruction\.v1 --corpus synth",
    ):
        standing(results)


def test_other_recordings_of_the_same_names_are_never_paired(results: Results) -> None:
    for codec, last in {"a": "y", "b": "y", "c": "z"}.items():
        results.audio = ["v", "w", "x", last]
        results.add(codec, "1", {"pesq_wb": [3.0, 3.5, 4.0, 4.5]})
    with pytest.raises(MixedRecordsError, match=r"a/1\.json and .*c/1\.json .* the audio of utt 3 is 'y' .* 'z'"):
        standing(results)
