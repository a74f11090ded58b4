"""What was expected of the designs, and what their records say: each verdict is computed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from tokbench import stats
from tokbench.leaderboard.studies import Point, StudyResults
from tokbench.metrics.catalogue import METRICS

__all__ = ["FINDINGS", "Found"]

METRIC_NAMES: Mapping[str, str] = {
    "stoi": "STOI",
    "pesq_wb": "PESQ",
    "visqol": "ViSQOL",
    "mel_distance_dac": "mel distance",
    "si_sdr_db": "SI-SDR",
}
FULL_RATE_BPS = 4000
STOI_EXPECTED = 0.80
SAVING_EXPECTED = (0.07, 0.30)
PHONES = ("abx_across", "codebook 1")
PHONE_RUNS = ("taught", "untaught")
NUM_TOLD = 4
"""Exceptions that are named; the others are counted."""


@dataclass(frozen=True)
class Found:
    """An expectation and what became of it."""

    expected: str
    verdict: Literal["holds", "holds in part", "does not hold", "undecided", "not measured"]
    evidence: str


def each_codebook(designs: StudyResults, ablations: StudyResults) -> Found:
    """Look whether every metric of every design improves with each step in codebooks."""
    expected = "Every metric improves with each codebook."
    steps = [
        (first, second, metric)
        for study in (designs, ablations)
        for ladder in study.ladders()
        for first, second in pairwise(ladder)
        for metric in METRIC_NAMES
        if first.value(metric) is not None and second.value(metric) is not None
    ]
    if not steps:
        return Found(expected, "not measured", "No design was scored at two numbers of codebooks.")
    worse = [step for step in steps if _gain(step[1], step[0], step[2]) <= 0]
    evidence = f"{len(steps) - len(worse)} of {len(steps)} steps improve"
    if not worse:
        return Found(expected, "holds", f"{evidence}.")
    told = [
        f"{METRIC_NAMES[metric]} of `{first.run.name}` from {first.num_codebooks} to {second.num_codebooks}"
        for first, second, metric in worse[:NUM_TOLD]
    ]
    rest = f" and {len(worse) - NUM_TOLD} more" if len(worse) > NUM_TOLD else ""
    verdict: Literal["holds in part", "does not hold"] = (
        "holds in part" if 2 * len(worse) < len(steps) else "does not hold"
    )
    return Found(expected, verdict, f"{evidence}; not {', '.join(told)}{rest}.")


def grouped_codebooks(_designs: StudyResults, ablations: StudyResults) -> Found:
    """Compare group-residual with plain residual quantization at four codebooks."""
    expected = "Group-residual VQ beats plain RVQ at four codebooks (HiFi-Codec)."
    return _compared(expected, ablations, "encodec-mrg", 4)


def snake_activation(_designs: StudyResults, ablations: StudyResults) -> Found:
    """Compare Snake with ELU."""
    return _compared("Snake beats ELU (DAC).", ablations, "encodec-snake", 8)


def kmeans_initialisation(_designs: StudyResults, ablations: StudyResults) -> Found:
    """Compare random first codes with k-means, which is the base: here the base is expected to win."""
    expected = "Codes that begin at random are worse than those that k-means begins (SoundStream)."
    return _compared(expected, ablations, "encodec-no-km", 8, is_better=False)


def semantic_teacher(_designs: StudyResults, ablations: StudyResults) -> Found:
    """Look whether teaching the first codebook costs anything of the reconstruction."""
    expected = "A taught first codebook costs nothing in reconstruction (SpeechTokenizer)."
    found = _verdicts(ablations, "encodec-sem", 8)
    if not found:
        return Found(expected, "not measured", "No pair of records.")
    verdicts = set(found.values())
    # What cannot be told apart may still cost something.
    if "worse" in verdicts:
        return Found(expected, "does not hold", _told(found))
    return Found(expected, "holds" if "better" in verdicts else "undecided", _told(found))


def entropy_coding(designs: StudyResults, ablations: StudyResults) -> Found:
    """Look at what the arithmetic coder saves of the nominal bitrate."""
    low, high = SAVING_EXPECTED
    expected = f"Entropy coding saves {low:.0%} to {high:.0%} (EnCodec).".replace("%", " %")
    savings = {
        f"`{point.run.name}:{point.setting}`": 1 - coded / nominal
        for point in _coded_points(designs, ablations)
        if (coded := point.value("bitrate_coded_bps")) and (nominal := point.value("bitrate_nominal_bps"))
    }
    if not savings:
        return Found(expected, "not measured", "No codec with a model of its codes was scored.")
    within = [low <= saving <= high for saving in savings.values()]
    told = ", ".join(f"{name} {100 * saving:.1f} %" for name, saving in savings.items())
    verdict: Literal["holds", "holds in part", "does not hold"] = (
        "holds" if all(within) else "holds in part" if any(within) else "does not hold"
    )
    return Found(expected, verdict, f"{told}.")


def intelligible(designs: StudyResults, _ablations: StudyResults) -> Found:
    """Look which designs are intelligible at the full rate."""
    expected = f"The better tiny designs reach STOI {STOI_EXPECTED:.2f} at 4 kbit/s."
    found = {
        run.name: value
        for run in designs.study.runs
        if (point := designs.at_rate(run, FULL_RATE_BPS)) and (value := point.value("stoi")) is not None
    }
    if not found:
        return Found(expected, "not measured", "No design was scored at 4 kbit/s.")
    best = max(found, key=lambda name: found[name])
    num_above = sum(value >= STOI_EXPECTED for value in found.values())
    evidence = f"{num_above} of {len(found)} do; the best is `{best}` with {found[best]:.3f}."
    return Found(expected, "holds" if num_above else "does not hold", evidence)


def phonetic_first_codebook(_designs: StudyResults, ablations: StudyResults) -> Found:
    """Compare how well the first codebook tells phones apart across speakers, taught and untaught."""
    expected = "The taught first codebook tells phones apart better than the same one untaught (SpeechTokenizer)."
    runs = (ablations.study.find_run(name) for name in ("encodec-sem", ablations.study.reference))
    points = [point for run in runs if (point := ablations.with_codebooks(run, 8))]
    errors = [[item.value for item in point.summaries(*PHONES) if item.value is not None] for point in points]
    if len(errors) != len(PHONE_RUNS) or not all(errors):
        return Found(expected, "not measured", "No pair of records.")
    difference = stats.welch(*errors)
    told = [f"{run} {np.mean(values):.3f}" for run, values in zip(PHONE_RUNS, errors, strict=True)]
    evidence = f"ABX error across speakers of codebook 1: {' and '.join(told)}"
    if difference is None:
        return Found(expected, "undecided", f"{evidence}, of one seed each.")
    verdict: Literal["holds", "does not hold", "undecided"] = (
        "undecided" if difference.is_tied else "holds" if difference.value < 0 else "does not hold"
    )
    interval = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return Found(expected, verdict, f"{evidence}; difference {interval}.")


FINDINGS: tuple[Callable[[StudyResults, StudyResults], Found], ...] = (
    each_codebook,
    grouped_codebooks,
    snake_activation,
    kmeans_initialisation,
    semantic_teacher,
    phonetic_first_codebook,
    entropy_coding,
    intelligible,
)
"""Each looks at the designs and at the ablations."""


def _coded_points(*studies: StudyResults) -> Iterator[Point]:
    for study in studies:
        for run in study.study.runs:
            yield from study.points(run)


def _gain(point: Point, other: Point, metric: str) -> float:
    """Return by how much ``point`` is better than ``other``; both have a value."""
    difference = (point.value(metric) or 0.0) - (other.value(metric) or 0.0)
    return difference if METRICS[metric].better == "higher" else -difference


def _verdicts(study: StudyResults, name: str, num_codebooks: int) -> dict[str, str]:
    """Return ``better``, ``worse`` or ``tied`` by metric, of the run ``name`` against the reference."""
    runs = study.study.find_run(name), study.study.find_run(study.study.reference)
    point, reference = (study.with_codebooks(run, num_codebooks) for run in runs)
    if point is None or reference is None:
        return {}
    verdicts = {}
    for metric in METRIC_NAMES:
        found = point.difference(reference, metric)
        if found is not None:
            is_up = (found.value > 0) == (METRICS[metric].better == "higher")
            verdicts[metric] = "tied" if found.is_tied else "better" if is_up else "worse"
    return verdicts


def _compared(
    expected: str, study: StudyResults, name: str, num_codebooks: int, *, is_better: bool = True
) -> Found:
    """Return whether the run ``name`` is better than the reference, or worse where that was expected."""
    found = _verdicts(study, name, num_codebooks)
    if not found:
        return Found(expected, "not measured", "No pair of records.")
    wanted, other = ("better", "worse") if is_better else ("worse", "better")
    counts = {verdict: list(found.values()).count(verdict) for verdict in (wanted, other)}
    if counts[wanted] and not counts[other]:
        return Found(expected, "holds", _told(found))
    if counts[wanted]:
        return Found(expected, "holds in part", _told(found))
    return Found(expected, "does not hold" if counts[other] else "undecided", _told(found))


def _told(verdicts: Mapping[str, str]) -> str:
    groups: dict[str, list[str]] = {}
    for metric, verdict in verdicts.items():
        groups.setdefault(verdict, []).append(METRIC_NAMES[metric])
    sentence = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in groups.items())
    return f"{sentence[0].upper()}{sentence[1:]}."
