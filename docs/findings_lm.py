"""Claims about language models of codes, beside what the records say; called by ``findings_page.py``.

Two records are compared on the same utterances, and over the seeds that their models were trained from.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations

from findings_parts import Finding, Verdict, by_size, num_clear, of_kinds, taught_and_not, verdict_of
from findings_records import Records, counted, number, table, told, told_gap

from tokbench.leaderboard.cells import SourceRecord
from tokbench.metrics.catalogue import METRICS
from tokbench.specs.codec import find_spec
from tokbench.specs.lm import LmSpec

__all__ = ["OF_LANGUAGE_MODELS"]

WORDS = {
    "lm-tts.v1": "class_accuracy",
    "lm-asr.v1": "wer",
    "lm-phones.v1": "per",
    "lm-kws.v1": "answer_accuracy",
    "lm-slu.v1": "slot_f1",
    "lm-swuggy.v1": "pair_accuracy",
    "lm-sblimp.v1": "pair_accuracy",
    "lm-storycloze.v1": "pair_accuracy",
}
"""Metric of each task that is about what is said."""
UNDERSTOOD = {
    "lm-asr.v1": "wer",
    "lm-phones.v1": "per",
    "lm-kws.v1": "answer_accuracy",
    "lm-slu.v1": "slot_f1",
    "lm-ser.v1": "answer_accuracy",
}
"""Metric of each task in which speech is understood."""
SAID = {
    "lm-tts.v1": "class_accuracy",
    "lm-s2st.v1": "asr_bleu",
    "lm-s2st-units.v1": "asr_bleu",
    "lm-s2st-unity.v1": "asr_bleu",
    "lm-vc.v1": "cer",
    "lm-sped.v1": "wer",
}
"""Metric of each task in which something is to be said."""
LIKELIHOODS = ("lm-swuggy.v1", "lm-sblimp.v1", "lm-storycloze.v1")
Compared = tuple[str, SourceRecord, SourceRecord]
"""A metric, and two records, of which the first is expected to be better."""


def hybrid_tokens(records: Records) -> Finding:
    """Compare language models of a codec whose first codebook has a teacher with those of one without."""
    compared = [
        (metric, taught, other)
        for task, metric in WORDS.items()
        for taught, other in taught_and_not(records.of(task, metric), same_setting=True)
    ]
    return _finding(
        records,
        "A first codebook that is taught what is said makes the better language model of speech.",
        "SpeechTokenizer, Zhang et al. 2023, arXiv:2308.16692: USLM against VALL-E",
        compared,
        reason="the teacher is a small model itself, and few codes of the first codebook are those of phones",
    )


def semantic_units_first(records: Records) -> Finding:
    """Compare AudioLM with and without its first stage."""
    return _finding(
        records,
        "Writing semantic units first makes the continuation better.",
        "AudioLM, Borsos et al. 2022, arXiv:2209.03143",
        _switched(records, "lm-sc.v1", "lm-sc-acoustic.v1", ("frechet_log_mel", "speaker_similarity")),
        reason="what is judged is the sound of the continuation, and not what it says",
    )


def music_in_stages(records: Records) -> Finding:
    """Compare music of MusicLM, semantic units first, with that of MusicGen's single stage."""
    return _finding(
        records,
        "Music follows its caption better when it is written in stages, semantic units first, than in one.",
        "MusicLM, Agostinelli et al. 2023, arXiv:2301.11325, against MusicGen, Copet et al. 2023, arXiv:2306.05284",
        _switched(records, "lm-mg-musiclm.v1", "lm-mg.v1", ("class_accuracy",)),
        reason=(
            "units that are semantic themselves need no stage before them, and each stage learns for fewer steps "
            "than MusicGen"
        ),
    )


def units_of_language(records: Records) -> Finding:
    """Compare how well models of units and of codes tell what could have been said from what could not."""
    return _finding(
        records,
        "A language model of semantic units knows words and sentences better than one of acoustic codes.",
        "AudioLM, Borsos et al. 2022, arXiv:2209.03143, table IV; GSLM, Lakhotia et al. 2021, arXiv:2102.01192",
        _units_and_codecs(records, dict.fromkeys(LIKELIHOODS, "pair_accuracy")),
        reason="models that have heard little speech know few words, whatever it is made of",
    )


def units_understood(records: Records) -> Finding:
    """Compare what models of units and of codes understand of speech."""
    return _finding(
        records,
        "A language model understands speech better from semantic units than from acoustic codes.",
        "DASB, Mousavi et al. 2024, arXiv:2406.14294, which finds it of probes",
        _units_and_codecs(records, UNDERSTOOD),
        reason="where there are few words, those of a codec's codes are soon known, too",
        caveat=_codebooks_read("lauragpt-discrete"),
    )


def units_said(records: Records) -> Finding:
    """Compare how well is understood what models of units and of codes say."""
    return _finding(
        records,
        "A language model of semantic units says more clearly what it is to say than one of acoustic codes.",
        "SPEAR-TTS, Kharitonov et al. 2023, arXiv:2302.03540: units first, and their sound by another model",
        _units_and_codecs(records, SAID),
        reason="a vocoder that speaks in one voice from a hundred units is harder to understand than a codec",
    )


def patterns(records: Records) -> Finding:
    """Compare what codes cost where those of a frame are known to each other and where they are not."""
    bits, parallel = ("lm_bits_per_second",), "lm-perplexity-parallel.v1"
    return _finding(
        records,
        "Predicting the codes of a frame one after another, or delayed, costs fewer bits than all at once.",
        "MusicGen, Copet et al. 2023, arXiv:2306.05284, table 4",
        [
            *_switched(records, "lm-perplexity-flatten.v1", parallel, bits),
            *_switched(records, "lm-perplexity.v1", parallel, bits),
        ],
        reason="a longer sequence is harder to learn in as many steps",
    )


def continuous_input(records: Records) -> Finding:
    """Compare what a model understands of features with what it understands of the codes that are made of them."""
    return _finding(
        records,
        "A language model understands continuous input better than the codes made of it.",
        "LauraGPT, Du et al. 2023, arXiv:2310.04673; Wang et al. 2024, arXiv:2411.08742",
        _switched(records, "lm-kws-continuous.v1", "lm-kws.v1", ("answer_accuracy",)),
        reason="what is continuous is read by an encoder more, which has to be learnt from few recordings",
        caveat=(
            "What is continuous goes through an encoder that codes do not have. "
            f"{_codebooks_read('lauragpt-discrete')}"
        ),
    )


def more_units(records: Records) -> Finding:
    """Compare language models of more units with those of fewer, of the same features."""
    return _finding(
        records,
        "A language model understands speech better with more units.",
        "Wang et al. 2024, arXiv:2411.08742",
        [
            (metric, more, fewer)
            for task, metric in WORDS.items()
            for _, ladder in by_size(records.of(task, metric))
            for (_, fewer), (_, more) in combinations(ladder, 2)
        ],
        reason="with few recordings, each of many units is seldom heard",
    )


def phones_for_later_codebooks(records: Records) -> Finding:
    """Compare VALL-E with one whose second stage sees no phones."""
    return _finding(
        records,
        "Phones help to predict the later codebooks.",
        "VALL-E, Wang et al. 2023, arXiv:2301.02111, table 5",
        _switched(records, "lm-tts.v1", "lm-tts-no-phones.v1", ("class_accuracy",)),
        reason="single words are told by the first codebook alone",
    )


def one_step(records: Records) -> Finding:
    """Compare the one-step vocoder with one pass for each later codebook."""
    return _finding(
        records,
        "One step that predicts the sum of all codebooks sounds better than one pass for each.",
        "LauraGPT, Du et al. 2023, arXiv:2310.04673, section 3.3",
        _switched(records, "lm-tts-one-step.v1", "lm-tts.v1", ("class_accuracy",)),
        reason="the mean of what could be heard is blurred, and the decoder was taught on sums of codes",
    )


def filled_in(records: Records) -> Finding:
    """Compare SoundStorm with the second and third stages of AudioLM."""
    return _finding(
        records,
        "Filling in all codebooks at once keeps the voice better than writing code after code.",
        "SoundStorm, Borsos et al. 2023, arXiv:2305.09636",
        _switched(records, "lm-sc-soundstorm.v1", "lm-sc.v1", ("speaker_similarity",)),
        reason="continuations of a few seconds are short, and what is filled in is learnt from other pieces",
    )


def text_before(records: Records) -> Finding:
    """Compare a language model of units that has learnt text before with one that has not."""
    return _finding(
        records,
        "A language model of units knows words better if it has learnt text before.",
        "TWIST, Hassid et al. 2023, arXiv:2305.13009",
        _switched(records, "lm-swuggy-twist.v1", "lm-swuggy.v1", ("pair_accuracy",)),
        reason="the text is that of the same small world, and letters are no units",
    )


def text_between(records: Records) -> Finding:
    """Compare translation into units by way of text with direct translation."""
    return _finding(
        records,
        "Speech is translated better into units by way of text.",
        "UnitY, Inaguma et al. 2022, arXiv:2212.08055",
        _switched(records, "lm-s2st-unity.v1", "lm-s2st-units.v1", ("asr_bleu",)),
        reason="few sentences teach the second pass, too",
    )


OF_LANGUAGE_MODELS: tuple[Callable[[Records], Finding], ...] = (
    hybrid_tokens,
    units_of_language,
    units_understood,
    units_said,
    semantic_units_first,
    music_in_stages,
    filled_in,
    patterns,
    continuous_input,
    more_units,
    phones_for_later_codebooks,
    one_step,
    text_before,
    text_between,
)
"""In the order of the page."""


def _codebooks_read(name: str) -> str:
    """Return a sentence about the codebooks that a shipped model reads of what it hears."""
    spec, _ = find_spec(name, "tiny")
    assert isinstance(spec, LmSpec)
    part = spec.stages["lm"].part("heard")
    return f"Of the codebooks of a codec, `{name}` reads the first {part.end}, code after code."


def _units_and_codecs(records: Records, metric_of: Mapping[str, str]) -> Iterator[Compared]:
    """Yield the records of units beside those of codecs, in the metric of each task."""
    for task, metric in metric_of.items():
        for units, codec in of_kinds(records.of(task, metric), records, "semantic units", ("neural codec",)):
            yield metric, units, codec


def _switched(records: Records, better: str, other: str, metrics: Iterable[str]) -> Iterator[Compared]:
    """Yield the records of two tasks with the same tokenizer and corpus."""
    for metric in metrics:
        others = {_where(source): source for source in records.of(other, metric)}
        for source in records.of(better, metric):
            if _where(source) in others:
                yield metric, source, others[_where(source)]


def _where(source: SourceRecord) -> tuple[str, str, str]:
    return source.record.corpus.name, source.record.corpus.sha256, source.label


def _finding(
    records: Records,
    claim: str,
    source: str,
    compared: Iterable[Compared],
    *,
    reason: str,
    caveat: str = "",
) -> Finding:
    """Return what follows from comparisons in which the first is expected to be better.

    Where the better one is no better than what it takes no model for, nothing follows.
    """
    rows, gaps, num_idle, num_hollow = [], [], 0, 0
    for metric, first, second in compared:
        are_above = [records.is_above_floors(each, metric) for each in (first, second)]
        if not any(are_above):
            num_idle += 1
            continue
        gap = records.gap(first, second, metric, same_task=False)
        is_hollow = gap.is_clear and not are_above[0 if gap.value > 0 else 1]
        num_hollow += is_hollow
        if not is_hollow:
            gaps.append(gap)
        rows.append(
            [
                first.record.corpus.name,
                METRICS[metric].title,
                *(f"`{each.record.task.id}`, `{each.label}`" for each in (first, second)),
                *(told(number(each, metric)) for each in (first, second)),
                told_gap(gap),
            ]
        )
    idle = f"In {counted(num_idle, 'comparison')} neither is better than its floors." if num_idle else ""
    if not rows:
        verdict: Verdict = "undecided" if num_idle else "not measured"
        return Finding(
            claim, source, verdict, idle or "There are no records of both.", reason=reason, caveat=caveat
        )
    more, less = num_clear(gaps)
    num_all = len(rows) + num_idle
    hollow = "the better one is no better than its floors, and counts for nothing."
    evidence = (
        f"In {more} of {counted(num_all, 'comparison')} the first is clearly better, and in {less} clearly worse.",
        f"In {num_hollow} {hollow}" if num_hollow else "",
        idle,
    )
    heads = ("corpus", "metric", "first", "second", "of the first", "of the second", "better by")
    return Finding(
        claim,
        source,
        verdict_of(more, less, num_all),
        " ".join(filter(None, evidence)),
        table(heads, rows),
        reason,
        caveat,
    )
