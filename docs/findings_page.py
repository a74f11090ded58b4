"""``docs/findings.md``: claims of the literature beside what the records say; called by ``docs/generate.py``.

Every verdict is computed. A claim is looked at wherever there are records for it, and is said to be not measured
where there are none.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from codecs_page import anchor
from findings_lm import OF_LANGUAGE_MODELS
from findings_parts import (
    UNITS,
    Finding,
    Pair,
    by_size,
    num_clear,
    numbers,
    of_kinds,
    of_pairs,
    some_of,
    taught_and_not,
    verdict_of,
)
from findings_records import Gap, Records, counted, number, place, signed, table, told, told_gap

from tokbench.metrics.catalogue import METRICS
from tokbench.specs.task import list_tasks

if TYPE_CHECKING:
    from tokbench.leaderboard.cells import SourceRecord

__all__ = ["FINDINGS", "findings_page"]

INTRODUCTION = """\
# Findings

**Which claims of the literature do the records of this repository bear out?** A harness that does not reproduce
what is known is not to be believed on what is new. This page is made from the committed records by
`docs/generate.py`; only the claims, and what may stand in their way, are written by hand.

Intervals are 95 %. A difference is *clear* where its interval excludes 0: the interval of a paired comparison over
the same utterances or speakers, and over seeds where a task trains several models (of one, it says nothing of
others); otherwise one computed as if both values were independent. A claim is *reproduced* where more than half of
all comparisons clearly support it and none contradicts it; *in part* where at least as many clearly support as
contradict it; *not reproduced* where more contradict it; and *undecided* where no difference is clear. Comparisons
share codecs and are not independent, and nothing is corrected for their number. The codecs of the package are
`tiny`, trained briefly on a CPU: what is said here is said of them.
"""
ALIGNMENT = "text_alignment_nats"
"""The estimate of SpeechTokenizer's authors of how much of the text is in the tokens."""
WORDS = {
    "probe-asr.v1": "probe_per",
    "probe-asr-text.v1": "probe_wer",
    "probe-phones.v1": "phone_accuracy",
    "probe-digits.v1": "digit_accuracy",
    "probe-keywords.v1": "keyword_accuracy",
    "probe-intent.v1": "intent_accuracy",
}
"""Metric of each probe that is about what is said."""
VOICES = {"probe-speaker.v1": "probe_speaker_accuracy"}
"""And about who speaks."""
LATENTS = "_latents"
"""How the names of the metrics end that are of latents."""
HEARD = ("stoi", "pesq_wb", "visqol", "mel_distance_dac")
MOST_ROWS = 12
"""Rows of a table that is shown whole without being asked for."""
NUM_LINES_OF_HEAD = 2
_CODECS = ("neural codec", "classical codec")


def units_and_phones(records: Records) -> Finding:
    """Compare the ABX errors of semantic units with those of codecs."""
    claim = "Semantic units tell phones apart better than acoustic codes do."
    source = "AudioLM, Borsos et al. 2022, arXiv:2209.03143, table I"
    sources = [source for source in records.of("abx.v1", "abx_across") if records.kind(source)]
    pairs = [
        (units, codec, records.gap(units, codec, "abx_across"))
        for units, codec in of_kinds(sources, records, "semantic units", _CODECS)
    ]
    return of_pairs(
        claim,
        source,
        pairs,
        what="semantic units have the lower ABX error across speakers",
        shown=numbers(sources, records, {"abx_within": "within speakers", "abx_across": "across speakers"}),
        reason="units of a small model that has heard little speech know little more than the spectrum",
    )


def units_and_sound(records: Records) -> Finding:
    """Compare the reconstruction by semantic units with that by codecs."""
    claim = "Semantic units lose to acoustic codes in reconstruction."
    sources = [source for source in records.of("reconstruction.v1", "stoi") if records.kind(source)]
    pairs = [
        (codec, units, records.gap(codec, units, "stoi"))
        for units, codec in of_kinds(sources, records, "semantic units", ("neural codec",))
    ]
    shown = [source for source in sources if records.kind(source) in {"semantic units", "neural codec"}]
    return of_pairs(
        claim,
        "AudioLM, Borsos et al. 2022, arXiv:2209.03143, table I",
        pairs,
        what="codes have the higher STOI",
        shown=numbers(shown, records, {"stoi": "STOI", "visqol": "ViSQOL"}),
        reason="a codec that learnt little in a short training sounds no better than a vocoder of units",
    )


def units_and_words(records: Records) -> Finding:
    """Compare what probes make of units with what they make of codes, where it is asked what is said."""
    pairs = _probed_kinds(records, WORDS, "semantic units", "neural codec")
    return of_pairs(
        "A classifier learns more about what is said from semantic units than from acoustic codes.",
        "DASB, Mousavi et al. 2024, arXiv:2406.14294, tables of its repository",
        pairs,
        what="a probe does better on semantic units",
        shown=_probed_table(pairs),
        reason="a codec with several codebooks tells a probe more than one unit does, where items are few",
    )


def codes_and_voices(records: Records) -> Finding:
    """Compare what probes make of codes with what they make of units, where it is asked who speaks."""
    pairs = _probed_kinds(records, VOICES, "neural codec", "semantic units")
    return of_pairs(
        "A classifier learns more about who speaks from acoustic codes than from semantic units.",
        "DASB, Mousavi et al. 2024, arXiv:2406.14294, tables of its repository",
        pairs,
        what="a probe does better on acoustic codes",
        shown=_probed_table(pairs),
        reason="units of a small model that has heard few speakers differ by speaker, and the speakers are few",
    )


def _probed_kinds(records: Records, asked: Mapping[str, str], first: str, second: str) -> list[Pair]:
    """Return the pairs of one kind with another, of the metrics ``asked`` by task."""
    found = []
    for task, metric in asked.items():
        for one, other in of_kinds(records.of(task, metric), records, first, (second,)):
            found.append((one, other, records.gap(one, other, metric)))
    return found


def _probed_table(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return a line for each task and tokenizer of ``pairs``."""
    sources = {source.path: source for pair in pairs for source in pair[:2]}
    rows = [
        [*place(source), METRICS[metric].title, told(number(source, metric))]
        for source in sorted(sources.values(), key=lambda each: each.path)
        if (metric := {**WORDS, **VOICES}.get(source.record.task.id))
    ]
    return table(("corpus", "tokenizer", "probe", "value"), rows) if rows else ()


def taught_codebook(records: Records) -> Finding:
    """Compare the first codebook of a codec that was taught what is said with that of one that was not."""
    claim = "A first codebook that is taught what is said tells phones apart better than one that is not."
    sources = records.of("abx.v1", "abx_across", "codebook 1")
    pairs = [
        (taught, other, records.gap(taught, other, "abx_across", "codebook 1"))
        for taught, other in taught_and_not(sources)
    ]
    shown = [source for pair in pairs for source in pair[:2]]
    return of_pairs(
        claim,
        "SpeechTokenizer, Zhang et al. 2023, arXiv:2308.16692",
        pairs,
        what="the taught codebook has the lower ABX error across speakers",
        shown=numbers(shown, records, {"abx_across": "codebook 1, across speakers"}, group="codebook 1"),
        reason="the teacher is a small model itself, and may say little of phones",
    )


def taught_alignment(records: Records) -> Finding:
    """Compare how well the first codebooks of both are aligned with the text."""
    claim = "A first codebook that is taught what is said is better aligned with the text."
    pairs = [
        (taught, other, records.gap(taught, other, ALIGNMENT, "codebook 1"))
        for taught, other in taught_and_not(records.of("text-alignment.v1", ALIGNMENT, "codebook 1"))
    ]
    shown = [source for pair in pairs for source in pair[:2]]
    return of_pairs(
        claim,
        "SpeechTokenizer, Zhang et al. 2023, arXiv:2308.16692",
        pairs,
        what="the taught codebook tells more of the text",
        shown=numbers(shown, records, {ALIGNMENT: "codebook 1, nats"}, group="codebook 1"),
        reason="the estimate needs a recognizer, and a small one on little speech hears little in any tokens",
    )


def taught_at_no_cost(records: Records) -> Finding:
    """Compare the reconstruction of both at the same number of codebooks."""
    claim = "Teaching the first codebook costs nothing in reconstruction."
    by_metric = {
        metric: list(taught_and_not(records.of("reconstruction.v1", metric), same_setting=True)) for metric in HEARD
    }
    gaps = [
        (
            f"{METRICS[metric].title} of `{taught.label}` on {taught.record.corpus.name}",
            records.gap(taught, other, metric),
        )
        for metric, pairs in by_metric.items()
        for taught, other in pairs
    ]
    source = "SpeechTokenizer, Zhang et al. 2023, arXiv:2308.16692"
    if not gaps:
        return Finding(claim, source, "not measured", "There are no records of both at one number of codebooks.")
    lost = [(name, gap) for name, gap in gaps if gap.high < 0]
    listed = some_of([f"{name} by {told_gap(gap, turned=True)}" for name, gap in lost], "; ")
    gained = sum(gap.low > 0 for _, gap in gaps)
    evidence = f"Of {len(gaps)} numbers, {gained} are clearly better, and {len(lost)} clearly worse{listed}."
    return Finding(
        claim,
        source,
        verdict_of(gained, len(lost), len(gaps)),
        evidence,
        reason="in so short a training what is spent on the teacher's features is not spent on the sound",
    )


def tones_and_vowels(records: Records) -> Finding:
    """Compare what quantization costs tones with what it costs vowels, of units."""
    claim = "K-means units keep vowels and lose lexical tones."
    source = "Osakuade and King 2024, arXiv:2410.19935"
    rows, verdicts = [], []
    for item, other in _tones_with_vowels(records):
        if UNITS.match(item.record.codec.name) is None:
            continue
        tone, vowel = number(item, "tone_accuracy_drop"), number(other, "vowel_accuracy_drop")
        gap = records.independent((tone, item), (vowel, other))
        verdicts.append(gap)
        rows.append([*place(item), told(tone), told(vowel), told_gap(gap)])
    if not rows:
        return Finding(claim, source, "not measured", "No units were asked for both tones and vowels.")
    more = sum(gap.low > 0 for gap in verdicts)
    less = sum(gap.high < 0 for gap in verdicts)
    evidence = (
        f"In {len(rows)} comparisons of units, {more} clearly lose more accuracy on tones than on vowels, and "
        f"{less} clearly lose less."
    )
    heads = ("corpus", "units", "lost of tones", "lost of vowels", "difference")
    return Finding(
        claim,
        source,
        verdict_of(more, less, len(rows)),
        evidence,
        table=table(heads, rows),
        reason="tones of espeak-ng are schematic and its speakers few, and features that hold no tone lose none; "
        "syllables that are said alone differ in length by tone, which units keep, and there are more finals to be "
        "told apart than tones",
    )


def _tones_with_vowels(records: Records) -> "Iterator[tuple[SourceRecord, SourceRecord]]":
    """Yield what is known of tones with what is known of vowels, of one tokenizer on one corpus."""
    for tones, vowels in (("tone.v1", "tone-vowels.v1"), ("tone-syllables.v1", "tone-vowels-syllables.v1")):
        others = {tuple(place(item)): item for item in records.of(vowels, "vowel_accuracy_drop")}
        for item in records.of(tones, "tone_accuracy_drop"):
            if (other := others.get(tuple(place(item)))) is not None:
                yield item, other


def continuous_and_discrete(records: Records) -> Finding:
    """Compare what a probe reads from tokens with what it reads from the latents."""
    claim = "A classifier learns more from continuous features than from the tokens made of them."
    source = "Wang et al. 2024, arXiv:2411.08742; DASB, Mousavi et al. 2024"
    rows, gaps = [], []
    for task, name in _probed():
        for item in records.of(task, f"{name}{LATENTS}"):
            tokens = number(item, name)
            if tokens is None or records.kind(item) == "continuous tokenizer":
                continue
            latents = number(item, f"{name}{LATENTS}")
            gaps.append(records.gap_within(item, f"{name}{LATENTS}", name))
            rows.append([*place(item), METRICS[name].title, told(latents), told(tokens), told_gap(gaps[-1])])
    if not rows:
        return Finding(claim, source, "not measured", "No tokenizer was probed before and after quantization.")
    more, less = num_clear(gaps)
    evidence = (
        f"Of {len(rows)} probes, {more} are clearly worse on the tokens than on the latents, and {less} "
        "clearly better."
    )
    heads = ("corpus", "tokenizer", "probe", "before quantization", "tokens", "lost")
    return Finding(
        claim,
        source,
        verdict_of(more, less, len(rows)),
        evidence,
        table=table(heads, rows),
        reason="with few items a probe learns more easily from few codes than from many features",
    )


def _probed() -> Iterator[tuple[str, str]]:
    """Yield each task of probes with each metric that there is of tokens and of latents."""
    for task in list_tasks():
        if task.startswith("probe-"):
            yield from ((task, name) for name in METRICS if f"{name}{LATENTS}" in METRICS)


def larger_codebooks(records: Records) -> Finding:
    """Look at units of the same features with more and more centroids."""
    claim = "Larger codebooks help, with diminishing returns."
    source = "Wang et al. 2024, arXiv:2411.08742"
    steps: list[tuple[str, float, Gap]] = []
    returns: list[list[float]] = []
    for (corpus, features), ladder in by_size(records.of("abx.v1", "abx_across")):
        gains = []
        for (size, first), (larger, second) in pairwise(ladder):
            gap = records.gap(second, first, "abx_across")
            name = f"`{features}`, {size} to {larger} units, on {corpus}"
            gains.append(gap.value / math.log2(larger / size))
            steps.append((name, gains[-1], gap))
        returns.append(gains)
    if not steps:
        return Finding(claim, source, "not measured", "There are no units of the same features of two sizes.")
    more, less = num_clear(gap for _, _, gap in steps)
    rows = [[name, told_gap(gap), signed(gain)] for name, gain, gap in steps]
    long = [gains for gains in returns if len(gains) > 1]
    shrink = sum(gains == sorted(gains, reverse=True) for gains in long)
    returned = (
        f"Returns diminish in {shrink} of {len(long)} ladders of three sizes or more."
        if long
        else "Of no features are there three sizes, without which nothing is known of returns."
    )
    verdict = verdict_of(more, less, len(steps))
    if verdict == "reproduced" and (not long or shrink < len(long)):
        verdict = "reproduced in part"
    return Finding(
        claim,
        source,
        verdict,
        f"Of {counted(len(steps), 'step')} to more units, {more} clearly lower the ABX error across speakers, and "
        f"{less} clearly raise it. {returned}",
        table=table(("step", "ABX error lower by", "for each doubling"), rows),
        reason="centroids were fitted to little speech: of many, some stand for single speakers",
    )


def few_tokens(records: Records) -> Finding:
    """Look at how much of the mass lies on the commonest fifth of the codes, and on the rarest."""
    claim = "Most of a code's mass sits on few tokens."
    source = "Wang et al. 2024, arXiv:2411.08742: the rarest fifth of the units makes up 5 % of what occurs"
    sources = [
        item
        for item in records.of("tokens.v1", "mass_commonest_20pct")
        if records.kind(item) not in {"", "anchor", "classical codec"}
        or item.record.codec.name == "spectrogram-kmeans"
    ]
    if not sources:
        return Finding(claim, source, "not measured", "There are no records of codes that were learnt.")
    more, less = 0, 0
    for item in sources:
        summary = number(item, "mass_commonest_20pct")
        assert summary is not None
        more += summary.low is not None and summary.low > _HALF
        less += summary.high is not None and summary.high < _HALF
    evidence = (
        f"Of {len(sources)} codes that were learnt, {more} have clearly more than half of their tokens on the "
        f"commonest fifth of the codebook, and {less} clearly less."
    )
    shown = {"mass_commonest_20pct": "on the commonest fifth", "mass_rarest_20pct": "on the rarest fifth"}
    return Finding(
        claim,
        source,
        verdict_of(more, less, len(sources)),
        evidence,
        table=numbers(sources, records, shown),
        reason="k-means and codebooks that are kept alive spread their codes evenly, where the data let them",
    )


_HALF = 0.5


def quality_and_bitrate(records: Records) -> Finding:
    """Look whether quality falls anywhere from one setting of a codec to the next higher bitrate."""
    claim = "Quality does not fall as bitrate rises within a family."
    source = "Codec-SUPERB, Wu et al. 2024; the papers of the codecs"
    fallen, num_steps, num_risen, families, corpora = [], 0, 0, set(), set()
    for metric in HEARD:
        ladders: dict[tuple[str, str], list[tuple[float, SourceRecord]]] = defaultdict(list)
        for item in records.of("reconstruction.v1", metric):
            rate_bps = records.nominal_bps(item)
            if records.kind(item) not in {"", "anchor"} and rate_bps:
                ladders[item.record.corpus.name, item.record.codec.name].append((rate_bps, item))
        for (corpus, name), ladder in sorted(ladders.items()):
            rising = sorted(ladder, key=lambda step: (step[0], step[1].label))
            for (first_bps, first), (second_bps, second) in pairwise(rising):
                if first_bps == second_bps:
                    continue
                num_steps += 1
                families.add(name)
                corpora.add(corpus)
                gap = records.gap(second, first, metric)
                num_risen += gap.low > 0
                if gap.high < 0:
                    settings = f"{first.record.codec.setting} to {second.record.codec.setting}"
                    fallen.append(
                        [METRICS[metric].title, f"`{name}`", settings, corpus, told_gap(gap, turned=True)]
                    )
    if not num_steps:
        return Finding(claim, source, "not measured", "No codec was scored at two bitrates.")
    evidence = (
        f"Of {num_steps} steps to the next higher bitrate ({', '.join(METRICS[metric].title for metric in HEARD)}; "
        f"{len(families)} codecs; {', '.join(sorted(corpora))}), {num_risen} clearly improve, and {len(fallen)} "
        "clearly get worse."
    )
    return Finding(
        claim,
        source,
        verdict_of(num_risen, len(fallen), num_steps),
        evidence,
        table=table(("metric", "codec", "from and to", "corpus", "worse by"), fallen) if fallen else (),
        reason="settings of one codec may differ in more than the bitrate: another bandwidth, another mode",
    )


FINDINGS: tuple[Callable[[Records], Finding], ...] = (
    units_and_phones,
    units_and_sound,
    units_and_words,
    codes_and_voices,
    taught_codebook,
    taught_alignment,
    taught_at_no_cost,
    tones_and_vowels,
    continuous_and_discrete,
    larger_codebooks,
    few_tokens,
    quality_and_bitrate,
    *OF_LANGUAGE_MODELS,
)
"""In the order of the page."""


def findings_page(results: Path) -> str:
    """Return the page that follows from the records below ``results``."""
    records = Records(results)
    findings = [finding(records) for finding in FINDINGS]
    lines = [INTRODUCTION.rstrip(), "", "| claim | |", "|---|---|"]
    lines += [f"| [{finding.claim}](#{anchor(finding.claim)}) | **{finding.verdict}** |" for finding in findings]
    for finding in findings:
        lines += ["", f"## {finding.claim}", "", f"({finding.source})", ""]
        lines.append(f"**{finding.verdict.capitalize()}.** {finding.evidence}")
        lines += ["", finding.caveat] if finding.caveat else []
        if finding.reason and finding.verdict in {"reproduced in part", "not reproduced"}:
            lines += ["", f"What may stand in its way: {finding.reason}."]
        lines += ["", *_folded(finding.table)] if finding.table else []
    return "\n".join(lines).rstrip() + "\n"


def _folded(table: Sequence[str]) -> list[str]:
    """Return the lines of a table, behind a line to click on where it is long."""
    num_rows = len(table) - NUM_LINES_OF_HEAD
    if num_rows <= MOST_ROWS:
        return [*table]
    return ["<details>", f"<summary>All {num_rows} rows</summary>", "", *table, "", "</details>"]
