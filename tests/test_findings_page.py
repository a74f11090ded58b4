"""The page on findings, made of records that are worked out by hand, and of those that are committed."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from docs_pages import imported
from leaderboard.builder import Results, half_of_independent, summary_of

from tokbench.metrics.catalogue import METRICS

ROOT = Path(__file__).parent.parent
NUM = 24
HARD = np.random.default_rng(0).normal(0, 0.05, NUM)


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from imported(monkeypatch, "findings_page")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results", corpus="synth.v1", num_utterances=NUM)


def statistic(results: Results, codec: str, task: str, **values: tuple[float, float]) -> None:
    """Write a record of values of the whole corpus, each with half of its interval; ``__`` is a group's space."""
    setting = codec.partition(":")[2] or "1"
    summaries = []
    for name, (value, half) in values.items():
        metric, _, group = name.partition("__")
        fields: dict[str, Any] = {"better": METRICS[metric].better, "low": value - half, "high": value + half}
        summaries.append(summary_of(metric, [value] * 3, group=group.replace("_", " ") or "all", **fields))
    results.add(codec.partition(":")[0], setting, task=task, summaries=summaries, bitrate_bps=1000.0)


def heard(results: Results, codec: str, quality: float, rate_bps: float = 1000.0, *, seed: int = 1) -> None:
    """Write a record of reconstruction whose metrics follow from ``quality``, utterance by utterance."""
    name, _, setting = codec.partition(":")
    noise = np.random.default_rng(seed).normal(0, 0.002, NUM)

    def around(value: float, factor: float) -> list[float]:
        return [float(item) for item in value + factor * (HARD + noise - noise.mean())]

    scores = {
        "stoi": around(quality, 1),
        "pesq_wb": around(1 + 3 * quality, 3),
        "visqol": around(1 + 4 * quality, 4),
        "mel_distance_dac": around(2 - quality, -1),
    }
    results.add(name, setting or "1", scores, bitrate_bps=rate_bps)


def found(docs: ModuleType, results: Results, name: str) -> Any:
    records = importlib.import_module("findings_records").Records(results.folder)
    return next(finding for finding in docs.FINDINGS if finding.__name__ == name)(records)


def test_nothing_is_said_of_what_was_not_measured(docs: ModuleType, results: Results) -> None:
    page = docs.findings_page(results.folder)
    assert page.count("**not measured**") == len(docs.FINDINGS)
    assert "reproduced**" not in page
    assert "What may stand in its way" not in page


@pytest.mark.parametrize(
    ("units", "codec", "verdict"),
    [
        ((0.05, 0.02), (0.30, 0.02), "reproduced"),
        ((0.30, 0.02), (0.05, 0.02), "not reproduced"),
        ((0.20, 0.10), (0.25, 0.10), "undecided"),
    ],
)
def test_units_are_compared_with_codecs_by_abx(
    docs: ModuleType, results: Results, units: tuple[float, float], codec: tuple[float, float], verdict: str
) -> None:
    statistic(results, "hubert-tiny-km100", "abx.v1", abx_across=units, abx_within=units)
    statistic(results, "mimi", "abx.v1", abx_across=codec, abx_within=codec)
    statistic(results, "mfcc-km100", "abx.v1", abx_across=(0.0, 0.0), abx_within=(0.0, 0.0))  # no semantic units
    finding = found(docs, results, "units_and_phones")
    assert finding.verdict == verdict
    assert "of 1 pair (synth.v1)" in finding.evidence
    assert f"| `mimi:1` | neural codec | 1.00 | {codec[0]:.3g}"[:30] in "\n".join(finding.table)


def test_units_tell_what_is_said_and_codes_who_speaks(docs: ModuleType, results: Results) -> None:
    for codec, wer, words, voices in (("hubert-tiny-km100", 0.2, 0.9, 0.5), ("mimi", 0.6, 0.4, 0.8)):
        statistic(results, codec, "probe-asr-text.v1", probe_wer=(wer, 0.02))
        statistic(results, codec, "probe-digits.v1", digit_accuracy=(words, 0.02))
        statistic(results, codec, "probe-speaker.v1", probe_speaker_accuracy=(voices, 0.02))
    words = found(docs, results, "units_and_words")
    assert (words.verdict, "In 2 of 2 pairs" in words.evidence) == ("reproduced", True)
    assert "| synth.v1 | `hubert-tiny-km100:1` | Digit accuracy | 0.900 (0.880 to 0.920) |" in words.table
    assert found(docs, results, "codes_and_voices").verdict == "reproduced"
    statistic(results, "mimi", "probe-speaker.v1", probe_speaker_accuracy=(0.3, 0.02))
    assert found(docs, results, "codes_and_voices").verdict == "not reproduced"


def test_one_pair_of_many_that_says_otherwise_is_named(docs: ModuleType, results: Results) -> None:
    statistic(results, "hubert-tiny-km100", "abx.v1", abx_across=(0.2, 0.01))
    for codec, value in (("mimi", 0.3), ("encodec", 0.4), ("dac-16khz", 0.1)):
        statistic(results, codec, "abx.v1", abx_across=(value, 0.01))
    finding = found(docs, results, "units_and_phones")
    assert finding.verdict == "reproduced in part"
    assert "In 2 of 3 pairs" in finding.evidence
    assert "in 1 the opposite is clear: `hubert-tiny-km100:1` against `dac-16khz:1`" in finding.evidence


def test_the_median_of_an_even_number_lies_between_two(docs: ModuleType, results: Results) -> None:
    statistic(results, "hubert-tiny-km100", "abx.v1", abx_across=(0.2, 0.01))
    for codec, value in (("mimi", 0.3), ("encodec", 0.5)):
        statistic(results, codec, "abx.v1", abx_across=(value, 0.01))
    assert "The median difference is 0.200 in favour" in found(docs, results, "units_and_phones").evidence


def test_units_are_compared_with_codecs_on_the_same_utterances(docs: ModuleType, results: Results) -> None:
    heard(results, "hubert-base-units-resynth", 0.80)
    heard(results, "mimi", 0.81, seed=2)  # of which the intervals overlap by far, and the difference is clear
    finding = found(docs, results, "units_and_sound")
    assert finding.verdict == "reproduced"
    assert "The median difference is 0.0100 in favour of the claim." in finding.evidence


def test_the_taught_codebook_is_compared_alone(docs: ModuleType, results: Results) -> None:
    both = {"abx_across": (0.3, 0.01)}
    statistic(results, "speechtokenizer-tiny", "abx.v1", abx_across__codebook_1=(0.1, 0.01), **both)
    statistic(results, "encodec-tiny", "abx.v1", abx_across__codebook_1=(0.2, 0.01), **both)
    assert found(docs, results, "taught_codebook").verdict == "reproduced"


def test_what_teaching_costs_is_told(docs: ModuleType, results: Results) -> None:
    heard(results, "encodec-tiny:8x1024", 0.8)
    heard(results, "speechtokenizer-tiny:8x1024", 0.8, seed=2)
    assert found(docs, results, "taught_at_no_cost").verdict == "undecided"
    heard(results, "speechtokenizer-tiny:8x1024", 0.9, seed=2)
    assert found(docs, results, "taught_at_no_cost").verdict == "reproduced"
    heard(results, "speechtokenizer-tiny:8x1024", 0.7, seed=2)
    finding = found(docs, results, "taught_at_no_cost")
    assert finding.verdict == "not reproduced"
    assert "Of 4 numbers, 0 are clearly better, and 4 clearly worse" in finding.evidence
    assert "STOI of `speechtokenizer-tiny:8x1024` on synth.v1 by 0.100 (" in finding.evidence


@pytest.mark.parametrize(
    ("of_tones", "of_vowels"), [("tone.v1", "tone-vowels.v1"), ("tone-syllables.v1", "tone-vowels-syllables.v1")]
)
@pytest.mark.parametrize(
    ("tones", "vowels", "verdict"),
    [
        ((0.40, 0.05), (0.02, 0.03), "reproduced"),
        ((0.02, 0.03), (0.40, 0.05), "not reproduced"),
        ((0.10, 0.10), (0.05, 0.10), "undecided"),
    ],
)
def test_tones_are_lost_where_vowels_are_kept(
    docs: ModuleType,
    results: Results,
    of_tones: str,
    of_vowels: str,
    tones: tuple[float, float],
    vowels: tuple[float, float],
    verdict: str,
) -> None:
    statistic(results, "hubert-tiny-km100", of_tones, tone_accuracy_drop=tones)
    statistic(results, "hubert-tiny-km100", of_vowels, vowel_accuracy_drop=vowels)
    statistic(results, "mimi", of_tones, tone_accuracy_drop=(0.0, 0.0))  # no units
    statistic(results, "mimi", of_vowels, vowel_accuracy_drop=(0.5, 0.0))
    finding = found(docs, results, "tones_and_vowels")
    assert finding.verdict == verdict
    assert len(finding.table) == 3


def test_tokens_are_compared_with_what_was_quantized(docs: ModuleType, results: Results) -> None:
    for codec, tokens in (("hubert-tiny-km100", 0.4), ("mimi", 0.5)):
        both = {"phone_accuracy": (tokens, 0.02), "phone_accuracy_latents": (0.6, 0.02)}
        statistic(results, codec, "probe-phones.v1", **both)
    finding = found(docs, results, "continuous_and_discrete")
    assert finding.verdict == "reproduced"
    assert "Of 2 probes, 2 are clearly worse" in finding.evidence
    half = half_of_independent(0.02, 0.02, NUM)
    assert f"0.200 ({0.2 - half:.3f} to {0.2 + half:.3f})" in finding.table[2]


def test_a_probe_without_its_ceiling_says_nothing(docs: ModuleType, results: Results) -> None:
    statistic(results, "mimi", "probe-phones.v1", phone_accuracy=(0.5, 0.02))
    assert found(docs, results, "continuous_and_discrete").verdict == "not measured"


def ladder(results: Results, errors: Sequence[float]) -> None:
    for size, error in zip((100, 200, 400), errors, strict=False):
        statistic(results, f"hubert-tiny-km{size}", "abx.v1", abx_across=(error, 0.001))


@pytest.mark.parametrize(
    ("errors", "verdict", "told"),
    [
        ((0.3, 0.2, 0.15), "reproduced", "Returns diminish in 1 of 1 ladders"),
        ((0.3, 0.28, 0.15), "reproduced in part", "Returns diminish in 0 of 1 ladders"),
        ((0.3, 0.2), "reproduced in part", "without which nothing is known of returns"),
        ((0.15, 0.2, 0.3), "not reproduced", "and 2 clearly raise it"),
    ],
)
def test_returns_of_more_units_diminish(
    docs: ModuleType, results: Results, errors: Sequence[float], verdict: str, told: str
) -> None:
    ladder(results, errors)
    finding = found(docs, results, "larger_codebooks")
    assert finding.verdict == verdict
    assert told in finding.evidence


def test_a_gain_is_that_of_a_doubling(docs: ModuleType, results: Results) -> None:
    for size, error in ((100, 0.3), (400, 0.2)):
        statistic(results, f"hubert-tiny-km{size}", "abx.v1", abx_across=(error, 0.001))
    assert found(docs, results, "larger_codebooks").table[2].endswith("| 0.0500 |")


def test_mass_is_asked_of_codes_that_were_learnt(docs: ModuleType, results: Results) -> None:
    for codec, share in (("mimi", 0.7), ("encodec", 0.3), ("opus", 0.9)):
        statistic(results, codec, "tokens.v1", mass_commonest_20pct=(share, 0.05), mass_rarest_20pct=(0.05, 0.01))
    finding = found(docs, results, "few_tokens")
    assert finding.verdict == "reproduced in part"
    assert "Of 2 codes that were learnt, 1 have clearly more" in finding.evidence


def test_a_fall_of_quality_with_bitrate_is_told(docs: ModuleType, results: Results) -> None:
    for setting, rate_bps, quality in (("a", 6000, 0.5), ("b", 8000, 0.6), ("c", 12000, 0.7), ("d", 16000, 0.8)):
        heard(results, f"opus:{setting}", quality, rate_bps, seed=rate_bps)
    assert found(docs, results, "quality_and_bitrate").verdict == "reproduced"
    heard(results, "opus:c", 0.55, 12000)
    finding = found(docs, results, "quality_and_bitrate")
    assert finding.verdict == "reproduced in part"
    assert "Of 12 steps" in finding.evidence
    assert "4 clearly get worse" in finding.evidence
    assert "| STOI | `opus` | b to c | synth.v1 | 0.0500 (" in "\n".join(finding.table)


def test_what_may_keep_a_claim_from_being_reproduced_is_told_only_then(docs: ModuleType, results: Results) -> None:
    statistic(results, "hubert-tiny-km100", "abx.v1", abx_across=(0.3, 0.01))
    statistic(results, "mimi", "abx.v1", abx_across=(0.1, 0.01))
    assert "What may stand in its way: units of a small model" in docs.findings_page(results.folder)


def test_the_committed_records_bear_out_that_more_bits_are_no_worse(docs: ModuleType) -> None:
    records = importlib.import_module("findings_records").Records(ROOT / "results")
    finding = docs.quality_and_bitrate(records)
    assert finding.verdict in {"reproduced", "reproduced in part"}
    assert int(finding.evidence.split()[1]) > 100


def test_the_committed_records_show_how_few_codes_hold_most_of_the_mass(docs: ModuleType) -> None:
    records = importlib.import_module("findings_records").Records(ROOT / "results")
    finding = docs.few_tokens(records)
    assert finding.verdict in {"reproduced", "reproduced in part"}
    assert any("spectrogram-kmeans" in line for line in finding.table)


def test_a_language_model_is_compared_with_the_one_of_which_a_switch_was_turned(
    docs: ModuleType, results: Results
) -> None:
    for codec, flat, delayed, parallel in (("mimi", 500.0, 550.0, 600.0), ("encodec", 300.0, 340.0, 330.0)):
        tasks = {"": delayed, "-flatten": flat, "-parallel": parallel}
        for switch, bits in tasks.items():
            statistic(results, codec, f"lm-perplexity{switch}.v1", lm_bits_per_second=(bits, 5.0))
    # Only one of the two has been asked for words.
    statistic(results, "mimi", "lm-asr.v1", wer=(0.3, 0.1))
    finding = found(docs, results, "patterns")
    assert finding.verdict == "reproduced in part"
    # Delayed codes against flattened ones say nothing of all at once.
    assert "In 3 of 4 comparisons the first is clearly better, and in 1 clearly worse" in finding.evidence
    assert sum("`lm-perplexity.v1`, `encodec:1` | `lm-perplexity-parallel.v1`" in row for row in finding.table) == 1
    assert found(docs, results, "phones_for_later_codebooks").verdict == "not measured"


def test_hybrid_codes_and_more_units_are_compared_in_every_task_about_what_is_said(
    docs: ModuleType, results: Results
) -> None:
    for codec, error, accuracy in (("speechtokenizer-tiny", 0.1, 0.9), ("encodec-tiny", 0.4, 0.6)):
        statistic(results, codec, "lm-asr.v1", wer=(error, 0.05))
        statistic(results, codec, "lm-kws.v1", answer_accuracy=(accuracy, 0.05))
    hybrid = found(docs, results, "hybrid_tokens")
    assert (hybrid.verdict, len(hybrid.table)) == ("reproduced", 4)
    for size, accuracy in ((100, 0.9), (500, 0.6), (1000, 0.95)):
        statistic(results, f"hubert-tiny-km{size}", "lm-kws.v1", answer_accuracy=(accuracy, 0.02))
    # Units of which none follows itself are other units, and no ladder's.
    statistic(results, "hubert-tiny-km500:l3-km500-dedup", "lm-kws.v1", answer_accuracy=(0.1, 0.02))
    more = found(docs, results, "more_units")
    assert "In 2 of 3 comparisons" in more.evidence
    assert more.verdict == "reproduced in part"


def test_models_that_are_no_better_than_their_floors_say_nothing(docs: ModuleType, results: Results) -> None:
    def measured(codec: str, value: float, *, guess: float = 0.1) -> None:
        groups = {"all": value, "untrained": 0.0, "guess": guess}
        summaries = [
            summary_of("answer_accuracy", [each], group=group, better="higher", low=each - 0.05, high=each + 0.05)
            for group, each in groups.items()
        ]
        results.add(codec, "1", task="lm-kws.v1", summaries=summaries)

    measured("speechtokenizer-tiny", 0.12)
    measured("encodec-tiny", 0.02)
    idle = found(docs, results, "hybrid_tokens")
    assert (idle.verdict, idle.table) == ("undecided", ())
    assert idle.evidence == "In 1 comparison neither is better than its floors."
    measured("speechtokenizer-tiny", 0.9)
    assert found(docs, results, "hybrid_tokens").verdict == "reproduced"
    measured("encodec-tiny", 0.5)
    measured("speechtokenizer-tiny", 0.9, guess=0.9)
    hollow = found(docs, results, "hybrid_tokens")
    assert (hollow.verdict, len(hollow.table)) == ("undecided", 3)
    assert hollow.evidence.endswith("In 1 the better one is no better than its floors, and counts for nothing.")
    measured("speechtokenizer-tiny", 0.3)
    assert found(docs, results, "hybrid_tokens").verdict == "not reproduced"


def test_idle_comparisons_are_comparisons(docs: ModuleType, results: Results) -> None:
    """One of two tasks bears a claim out, and the other tells nothing: that is not more than half."""
    statistic(results, "hubert-tiny-km100", "lm-sblimp.v1", pair_accuracy=(0.7, 0.02))
    statistic(results, "encodec-tiny", "lm-sblimp.v1", pair_accuracy=(0.5, 0.02))
    for codec in ("hubert-tiny-km100", "encodec-tiny"):
        summaries = [
            summary_of("pair_accuracy", [0.5], group=group, better="higher", low=0.45, high=0.55)
            for group in ("all", "untrained")
        ]
        results.add(codec, "1", task="lm-swuggy.v1", summaries=summaries)
    finding = found(docs, results, "units_of_language")
    assert finding.verdict == "reproduced in part"
    assert "In 1 of 2 comparisons the first is clearly better" in finding.evidence


def test_units_and_codes_are_compared_by_what_a_model_finds_likely(docs: ModuleType, results: Results) -> None:
    statistic(results, "hubert-tiny-km100", "lm-swuggy.v1", pair_accuracy=(0.7, 0.02))
    statistic(results, "encodec-tiny", "lm-swuggy.v1", pair_accuracy=(0.5, 0.02))
    statistic(results, "opus", "lm-swuggy.v1", pair_accuracy=(0.5, 0.02))
    finding = found(docs, results, "units_of_language")
    assert (finding.verdict, len(finding.table)) == ("reproduced", 3)
    assert found(docs, results, "semantic_units_first").verdict == "not measured"
