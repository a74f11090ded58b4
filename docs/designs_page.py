"""``docs/designs.md`` and its pictures from the records of the studies; called by ``docs/generate.py``."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from curves_picture import curves_picture
from designs_findings import FINDINGS

from tokbench.leaderboard.studies import Point, StudyResults
from tokbench.metrics.catalogue import METRICS
from tokbench.specs.study import Study, StudyRun, find_study
from tokbench.stats import Difference

__all__ = ["designs_page", "designs_pictures"]

CORPUS = "speech-librispeech-test"
RATES_BPS = (4000, 1000)
"""At which designs stand side by side: eight and two codebooks of 1024 codes at 50 Hz."""
BUDGET = ("step", "audio_s", "elapsed_s")
MINUS = "\N{MINUS SIGN}"
HEADINGS = {
    "stoi": ("STOI", 3, 1.0),
    "pesq_wb": ("PESQ wb", 2, 1.0),
    "visqol": ("ViSQOL", 2, 1.0),
    "mel_distance_dac": ("mel (DAC)", 3, 1.0),
    "si_sdr_db": ("SI-SDR, dB", 1, 1.0),
    "codebook_usage": ("usage", 3, 1.0),
    "bitrate_entropy_bps": ("entropy, kbit/s", 2, 1e-3),
}
"""Heading, decimals and factor of each metric that is shown."""
INTRODUCTION = """\
# Designs compared

**Which choice in the design of a codec buys what?** Published codecs were trained on different data, for
different lengths of time. Here each design is a spec, and all specs are trained on the same speech, recorded and
made, on a CPU (scale `tiny`), and scored on the same tasks: codecs for the same number of seconds of audio, and
ablations all for a third of it. All are far below their
published models; what they differ in is the design. Leaderboards: `leaderboards/designs.html`,
`leaderboards/ablations.html`. This page is made from the records by `docs/generate.py`.

    make trained SPEECH=folder   # tokbench study designs: train what is missing, one after the other, and score it
    make study SPEECH=folder     # tokbench study ablations: one spec, one switch at a time flipped, three seeds

Whoever trains names the recordings: the Makefile says, by `--corpus` and `--scored-on`, which parts of `SPEECH` are
learnt from and scored on. By itself, `tokbench study` needs both ([training](training.md#studies)).

Intervals are 95 %. A difference is **bold** where it is an improvement and its interval excludes 0, *slanted* where
it is a loss and its interval does. Nothing is corrected for the number of comparisons.
"""
HEARD = ("stoi", "pesq_wb", "visqol", "mel_distance_dac", "si_sdr_db")


def designs_page(results: Path) -> str:
    """Return the page that follows from the records below ``results``."""
    designs, ablations = (StudyResults(find_study(name), results, CORPUS) for name in ("designs", "ablations"))
    lines = [INTRODUCTION.rstrip()]
    for heading, content in {
        "What was expected": _expectations(designs, ablations),
        "Designs at one bitrate": _designs(designs),
        "One switch at a time": _ablations(ablations),
        "How they learnt": _curves(results),
        "What was trained": _budgets((designs.study, ablations.study), results),
    }.items():
        lines += ["", f"## {heading}", "", *content]
    return "\n".join(lines).rstrip() + "\n"


def designs_pictures(results: Path) -> dict[str, str]:
    """Return the pictures of the page by their paths, as SVG; those of studies without curves are missing."""
    pictures = {name: curves_picture(find_study(name), results) for name in ("designs", "ablations")}
    return {f"docs/{name}-curves.svg": picture for name, picture in pictures.items() if picture}


def _expectations(designs: StudyResults, ablations: StudyResults) -> Iterator[str]:
    yield "What the literature leads one to expect, and whether the records bear it out."
    yield ""
    yield from ("| expected | | found |", "|---|---|---|")
    for finding in FINDINGS:
        found = finding(designs, ablations)
        yield f"| {found.expected} | **{found.verdict}** | {found.evidence} |"


def _designs(designs: StudyResults) -> Iterator[str]:
    if designs.is_empty:
        yield "Not measured yet."
        return
    for rate_bps in RATES_BPS:
        points = [point for run in designs.study.runs if (point := designs.at_rate(run, rate_bps))]
        if not points:
            continue
        yield f"### About {rate_bps / 1000:g} kbit/s"
        yield ""
        yield from _values(points)
        reference = designs.at_rate(designs.study.find_run(designs.study.reference), rate_bps)
        if reference is not None and len(points) > 1:
            yield from ("", f"Differences from `{reference.run.name}`:", "")
            others = [point for point in points if point.run.name != reference.run.name]
            yield from _differences(others, reference, designs.study)
        yield ""


def _values(points: Sequence[Point]) -> Iterator[str]:
    columns = ["design", "what is particular", "bit/s", "parameters, M", "encode RTF", "decode RTF"]
    yield _line([*columns, *map(_heading, HEADINGS)])
    yield f"|---|---|{'---:|' * (len(columns) - 2 + len(HEADINGS))}"
    for point in points:
        size = f"{point.num_parameters / 1e6:.2f}" if point.num_parameters else "—"
        costs = [_number(point.value(name), 4) for name in ("encode_rtf", "decode_rtf")]
        yield _line(
            [
                f"`{point.run.name}:{point.setting}`",
                point.run.title,
                f"{point.bitrate_bps:.0f}",
                size,
                *costs,
                *(_value(point, name) for name in HEADINGS),
            ]
        )


def _differences(points: Sequence[Point], reference: Point, study: Study) -> Iterator[str]:
    first = "design" if study.num_seeds == 1 else "switch"
    yield _line([first, *map(_heading, HEARD)])
    yield f"|---|{'---:|' * len(HEARD)}"
    for point in points:
        name = f"`{point.run.name}`" if study.num_seeds == 1 else point.run.title
        yield _line([name, *(_difference(point, reference, metric) for metric in HEARD)])


def _ablations(ablations: StudyResults) -> Iterator[str]:
    study = ablations.study
    base = ablations.with_codebooks(study.find_run(study.reference), 8)
    if base is None:
        yield "Not measured yet."
        return
    title = base.run.title.removeprefix("base: ")
    yield f"The base ({title}) with eight codebooks, mean over {len(base.trials)} seeds:"
    yield ""
    yield _line([_heading(metric) for metric in HEADINGS])
    yield f"|{'---:|' * len(HEADINGS)}"
    yield _line([_value(base, metric) for metric in HEADINGS])
    yield ""
    yield "Each switch alone, minus the base. Intervals are over utterances and seeds: what a switch makes has to"
    yield "be larger than what another seed makes of the same spec."
    yield ""
    parts = dict.fromkeys(run.part for run in study.runs if run.name != study.reference)
    yield _line(["", "switch", "seeds", *map(_heading, HEARD)])
    yield f"|---|---|---:|{'---:|' * len(HEARD)}"
    for part in parts:
        for run in (run for run in study.runs if run.part == part):
            point = ablations.with_codebooks(run, 8)
            cells = [_difference(point, base, metric) if point else "" for metric in HEARD]
            yield _line([part, run.title, str(len(point.trials)) if point else "not measured", *cells])


def _curves(results: Path) -> Iterator[str]:
    pictures = designs_pictures(results)
    if not pictures:
        yield "Not measured yet."
    titles = {"docs/designs-curves.svg": "the designs", "docs/ablations-curves.svg": "the switches"}
    for path in pictures:
        name = Path(path).name
        yield f"![Mel distance of {titles[path]} while they learn]({name})"
        yield ""
    if pictures:
        yield "Mel distance on crops of the training data against hours of audio learnt from; grey: the reference."
        yield "Where a spec has other spectra, its heights cannot be compared with the others', only its shape."


def _budgets(studies: Sequence[Study], results: Path) -> Iterator[str]:
    rows = [row for study in studies for run in study.runs if (row := _budget(study, run, results))]
    if not rows:
        yield "Not measured yet."
        return
    yield "What the curves end with; minutes are of one or two cores of a shared CPU, a rough guide."
    yield "Units found by k-means have no curves."
    yield ""
    yield _line(["run", "spec", "changes", "seeds", "steps", "hours of audio", "minutes"])
    yield f"|---|---|---|{'---:|' * 4}"
    yield from rows


def _budget(study: Study, run: StudyRun, results: Path) -> str:
    """Return the row of ``run``, means over its seeds; empty where it has no curves."""
    trials = study.trials(run)
    paths = [results / "curves" / f"{trial.name}.csv" for trial in trials]
    ends = [pd.read_csv(path).iloc[-1] for path in paths if path.is_file()]
    if not ends:
        return ""
    steps, audio_s, elapsed_s = (sum(end[name] for end in ends) / len(ends) for name in BUDGET)
    changes = " ".join(f"`{change}`" for change in run.changes)
    numbers = [str(len(ends)), f"{steps:.0f}", f"{audio_s / 3600:.2f}", f"{elapsed_s / 60:.0f}"]
    return _line([f"`{run.name}`", f"`{trials[0].spec}`", changes, *numbers])


def _heading(metric: str) -> str:
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[METRICS[metric].better]
    return f"{HEADINGS[metric][0]}{arrow}"


def _value(point: Point, metric: str) -> str:
    _, digits, factor = HEADINGS[metric]
    value = point.value(metric)
    text = _number(value, digits, factor)
    found = point.summaries(metric)
    if len(found) == 1 and found[0].low is not None and found[0].high is not None:
        text += f" ± {(found[0].high - found[0].low) / 2 * factor:.{digits}f}"
    return text


def _number(value: float | None, digits: int, factor: float = 1.0) -> str:
    return "—" if value is None else f"{value * factor:.{digits}f}".replace("-", MINUS)


def _difference(point: Point, reference: Point, metric: str) -> str:
    found = point.difference(reference, metric)
    if found is None:
        return "—"
    _, digits, factor = HEADINGS[metric]
    value, low, high = (_signed(number * factor, digits) for number in (found.value, found.low, found.high))
    mark = {True: "**", False: "*", None: ""}[is_better(found, metric)]
    return f"{mark}{value} ({low} to {high}){mark}"


def is_better(found: Difference, metric: str) -> bool | None:
    """Say whether a difference is an improvement; None where it may be neither."""
    return None if found.is_tied else (found.value > 0) == (METRICS[metric].better == "higher")


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.replace("-", MINUS) if float(text) else f"{0:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
