"""Write what the documentation says from where it is true: ``python docs/generate.py`` (``--check`` only looks).

- ``docs/metrics.md`` from the catalogue of metrics;
- ``docs/codecs.md`` from the cards;
- the table of ``README.md`` from ``leaderboards/overview.csv``;
- ``docs/designs.md`` and its pictures from the records and curves of the studies;
- ``docs/findings.md`` from all records;
- the tables of ``docs/lms.md`` from the specs of language models and their records;
- ``docs/speed.md`` from ``benchmarks/results.json``;
- ``tokbench/specs/sizes.json``, the parameters that ``tokbench list specs`` shows, from the networks.
"""

import csv
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codecs_page import codecs_page
from designs_page import designs_page, designs_pictures
from findings_page import findings_page
from lms_page import lms_page

from tokbench.metrics.base import Metric
from tokbench.metrics.catalogue import METRICS
from tokbench.specs.codec import find_spec, list_specs, scales_of
from tokbench.training.sizes import num_parameters

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
BEGIN, END = "<!-- table: made by docs/generate.py from leaderboards/overview.csv -->\n", "<!-- end of table -->"
CORPUS = "synth.v1"
COLUMNS = {
    "tokens_per_second": ("tokens/s", 0),
    "bitrate_nominal_bps": ("bit/s", 0),
    "bitrate_entropy_bps": ("bit/s, entropy", 0),
    "visqol": ("ViSQOL ↑", 2),
    "pesq_wb": ("PESQ wb ↑", 2),
    "stoi": ("STOI ↑", 3),
    "si_sdr_db": ("SI-SDR, dB ↑", 1),
    "f0_rmse_cents": ("F0 error, cents ↓", 0),
}


def metrics_page() -> str:
    """Return the page on metrics."""
    lines = [
        "# Metrics",
        "",
        "Made from the catalogue (`tokbench list metrics`). ↑: higher is better; ↓: lower is better. A value",
        "outside of its bounds is never written.",
    ]
    for heading, kinds in _sections().items():
        lines += ["", f"## {heading}", ""]
        for metric in kinds:
            lines += _entry(metric)
    return "\n".join(lines).rstrip() + "\n"


def _sections() -> dict[str, list[Metric]]:
    sections: dict[str, list[Metric]] = {"With a reference": [], "Judges": [], "Tokens and cost": []}
    for metric in METRICS.values():
        section = "Judges" if metric.judge else "With a reference" if metric.function else "Tokens and cost"
        sections[section].append(metric)
    return sections


def _entry(metric: Metric) -> list[str]:
    arrow = {"higher": " ↑", "lower": " ↓", None: ""}[metric.better]
    low, high = ("…" if bound is None else f"{bound:g}" for bound in metric.bounds)
    unit = f", {metric.unit}" if metric.unit else ""
    return [
        f"### {metric.title}{arrow}",
        "",
        f"`{metric.name}`{unit}, {low} to {high}. {metric.description}",
        "",
        f"Source: {metric.source}.",
        "",
    ]


def readme() -> str:
    """Return the README with the table of today."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + _table() + END + after


def _table() -> str:
    path = ROOT / "leaderboards" / "overview.csv"
    with path.open(encoding="utf-8", newline="") as file:
        own = [row for row in csv.DictReader(file) if row["corpus"] == CORPUS]
    rows = [row for row in own if row["visqol"]]
    lines = [
        f"| codec | {' | '.join(heading for heading, _ in COLUMNS.values())} |",
        f"|---|{'---:|' * len(COLUMNS)}",
    ]
    for row in rows:
        cells = [_cell(row, name, digits) for name, (_, digits) in COLUMNS.items()]
        lines.append(f"| {row['codec']}:{row['setting']} | {' | '.join(cells)} |")
    note = f"Speech made by espeak-ng (`{CORPUS}`); ± is half of the 95 % interval, left out where it rounds to 0. "
    note += (
        "Tokenizers that only encode, such as units, and all other questions are in `leaderboards/overview.html`."
    )
    return "\n".join([*lines, "", note, ""])


def _cell(row: Mapping[str, str], name: str, digits: int) -> str:
    if not row[name]:
        return "—"
    value = f"{float(row[name]):.{digits}f}"
    low, high = row[f"{name}.low"], row[f"{name}.high"]
    half = (float(high) - float(low)) / 2 if low and high else 0.0
    return f"{value} ± {half:.{digits}f}" if round(half, digits) > 0 else value


def speed_page() -> str:
    """Return the page on speed."""
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    lines = [
        "# Speed",
        "",
        f"Measured by `make benchmark` on {found['machine']['num_cores']} cores, each ratio within one run.",
        "",
    ]
    for name in ("scoring", "start", "memory", "cache", "data"):
        lines += [f"## {name.capitalize()}", "", WHAT[name], "", *_figures(found[name]), ""]
    for name in ("step", "lm", "audiolm", "abx"):
        if name in found:
            lines += [f"## {HEADINGS[name]}", "", WHAT[name], "", *_rows(found[name]), ""]
    lines += ["## Codecs", "", WHAT["codecs"], "", *_speed_ups(found["codecs"]), ""]
    return "\n".join(lines).rstrip() + "\n"


HEADINGS = {
    "step": "Training steps",
    "lm": "Language models",
    "audiolm": "Language models, against audiolm-pytorch",
    "abx": "ABX",
}
WHAT = {
    "step": "A training step (forward, backward, optimizer) against one with the modules of the package that "
    "published the codec, at equal size, losses and discriminators, in turns: medians of processor time.",
    "lm": "Training and decoding of a language model of codes (each codebook late by a step, or out of a local "
    "network) against a plain loop "
    "with `nn.TransformerEncoder` at equal size, which reads everything anew for each step that it decodes; one "
    "thread, in turns: medians of processor time. Ten seconds are decoded; the last column is the cost of twenty.",
    "audiolm": "Training and decoding of AudioLM's first stage against that of audiolm-pytorch 2.4, of as many "
    "parameters, both with relative positions, the past kept, and one thread, in turns: medians of processor time. "
    "Ten seconds are decoded; the last column is the cost of twenty.",
    "abx": "ABX errors of random items against fastabx and the code of Libri-Light, one thread each, without "
    "limits on the size of cells: processor time.",
    "scoring": "`tokbench run` with every metric of the reconstruction task, start included, against the same "
    "metric calls in a bare loop over the same arrays in memory; one thread per process.",
    "start": "CPU seconds of commands that should answer at once; `import torch` for scale.",
    "memory": "Resident memory of all processes of a run over many short utterances (shared pages counted once).",
    "codecs": "Encoding and decoding a corpus by the codec's own package, one utterance after the other with the "
    "threads that torch takes by default, against tokbench with two workers of one thread each; and one utterance "
    "by either, with all threads. Both have the same random weights at the published size. Equal codes are the "
    "share of all codes that are the same.",
    "cache": "A task over codes that an earlier task left in the cache, against the same task without them.",
    "data": "The share of a training step that is spent waiting for audio, which other processes read ahead: crops "
    "of FLAC files for the tiny EnCodec, without discriminators and quantizer, whose steps are the shortest; one "
    "thread trains.",
}
LABELS = {
    "audio_s": "audio, s",
    "bare_loop_s": "bare loop, s",
    "cold_s": "without the cache, s",
    "exit_code": "exit code",
    "median_mib_by_quarter": "median memory by quarter of the run, MiB",
    "num_readers": "reading processes",
    "num_steps": "steps",
    "num_tasks": "tasks",
    "num_utterances": "utterances",
    "one_job_over_bare_loop": "one job / bare loop",
    "one_job_over_bare_loop_start_apart": "the same without starting up",
    "one_job_s": "one job, s",
    "one_utterance_s": "one utterance, s",
    "peak_mib": "peak memory, MiB",
    "speed_up_of_two_jobs": "two jobs, times as fast as one",
    "step_s": "one step, s",
    "two_jobs_s": "two jobs, s",
    "wall_s": "duration, s",
    "warm_over_cold": "with / without the cache",
    "warm_s": "with the cache, s",
}
"""What a key of the measurements is called on the page."""


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def _figures(found: Mapping[str, Any]) -> list[str]:
    lines = ["| | |", "|---|---:|"]
    for name, value in found.items():
        inner = value if isinstance(value, dict) else {name: value}
        lines += [f"| {_label(key)} | {_readable(item)} |" for key, item in inner.items()]
    return lines


def _rows(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of one row for each key, whose columns are those of the first."""
    columns = list(next(iter(found.values())))
    headings = " | ".join(map(_label, columns))
    lines = [f"| | {headings} |", f"|---|{'---:|' * len(columns)}"]
    cells = {name: " | ".join(str(row.get(key, "")) for key in columns) for name, row in found.items()}
    return lines + [f"| {name} | {row} |" for name, row in cells.items()]


def _speed_ups(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    steps = ("encode", "decode")
    columns = {
        **{f"original_{step}_audio_s_per_s": f"{step}, original, s/s" for step in steps},
        **{f"tokbench_{step}_audio_s_per_s": f"{step}, tokbench, s/s" for step in steps},
        **{f"{step}_speed_up": f"**{step}, times as fast**" for step in steps},
        **{f"{step}_one_utterance_speed_up": f"one utterance, {step}" for step in steps},
        "share_of_equal_codes": "equal codes",
    }
    lines = [f"| codec | {' | '.join(columns.values())} |", f"|---|{'---:|' * len(columns)}"]
    for name, values in found.items():
        lines.append(f"| `{name}` | {' | '.join(str(values[key]) for key in columns)} |")
    any_codec = next(iter(found.values()))
    return [
        *lines,
        "",
        f"{any_codec['num_utterances']} utterances of 2 to 15 s, {any_codec['audio_s']} s of noise.",
    ]


def _readable(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def sizes() -> str:
    """Return the parameters of every shipped spec at each of its scales, as JSON."""
    counted = {
        name: {scale: num_parameters(find_spec(name, scale)[0]) for scale in scales_of(spec)}
        for name, spec in list_specs().items()
    }
    return json.dumps(counted, indent=1) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/codecs.md": codecs_page,
    "docs/designs.md": lambda: designs_page(RESULTS),
    "docs/findings.md": lambda: findings_page(RESULTS),
    "docs/lms.md": lambda: lms_page((ROOT / "docs" / "lms.md").read_text(encoding="utf-8"), RESULTS),
    "docs/metrics.md": metrics_page,
    "README.md": readme,
    "docs/speed.md": speed_page,
    "tokbench/specs/sizes.json": sizes,
}


def main() -> None:
    """Write every page, or say which of them is not what it would be."""
    stale = []
    for name, text in ({name: make() for name, make in PAGES.items()} | designs_pictures(RESULTS)).items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(("out of date: " if "--check" in sys.argv else "written: ") + ", ".join(stale))
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
