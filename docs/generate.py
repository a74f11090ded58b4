"""Write what the documentation says from where it is true: ``python docs/generate.py`` (``--check`` only looks).

- ``docs/metrics.md`` from the catalogue of metrics;
- ``docs/codecs.md`` from the cards;
- the table of ``README.md`` from ``leaderboards/overview.csv``;
- ``docs/speed.md`` from ``benchmarks/results.json``.
"""

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from tokbench.codecs.card import Card, Kind, WeightsSource
from tokbench.codecs.registry import list_cards
from tokbench.metrics.base import Metric
from tokbench.metrics.catalogue import METRICS

ROOT = Path(__file__).parent.parent
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


def codecs_page() -> str:
    """Return the page on codecs."""
    cards = list_cards()
    num_settings = sum(len(card.settings) for card in cards.values())
    lines = [
        "# Codecs",
        "",
        f"Made from the cards of {len(cards)} codecs with {num_settings} settings (`tokbench list codecs`).",
        "One is called for as `NAME:SETTING`, all of them as `NAME:all`; `NAME` alone means the one in **bold**.",
        "`tokbench doctor` says which are ready on a machine. Weights are looked for in",
        "`$TOKBENCH_HOME/weights/<folder>`, then on the hub; `--weights DIR` names another place. Latency is the",
        "audio beyond a frame's own end that its codes need: `all` of it where that is the whole utterance.",
    ]
    for kind in get_args(Kind):
        chosen = [card for card in cards.values() if card.kind == kind]
        lines += ["", f"## {kind.capitalize()}s", "", *_overview(chosen), ""]
        for card in chosen:
            lines += [*_codec_entry(card), ""]
    return "\n".join(lines).rstrip() + "\n"


def _overview(cards: list[Card]) -> list[str]:
    lines = [
        "| codec | settings | bit/s | Hz | causal | latency, ms | parameters |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for card in cards:
        rates = sorted(card.bitrate_bps.values())
        cells = (
            f"[`{card.name}`](#{_anchor(card.title)})",
            str(len(card.settings)),
            _span([f"{rate:.0f}" for rate in rates])
            if rates
            else "varies"
            if "continuous" not in card.kind
            else "—",
            _or_unknown(card.sample_rate_hz),
            {True: "yes", False: "no", None: "?"}[card.causal],
            _latency(card.latency_s),
            _count(card.num_parameters) if card.sources else "—",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _codec_entry(card: Card) -> list[str]:
    facts = {
        "settings": _settings(card),
        "source": card.source,
        "licence": card.licence,
        "trained on": ", ".join(card.trained_on),
        "streaming": {True: "yes", False: "no", None: ""}[card.streaming],
        "needs": ", ".join(card.packages),
        "system libraries": ", ".join(card.libraries.values()),
        **{f"{name} from": _origin(source) for name, source in card.sources.items()},
    }
    listed = [f"- {name}: {value}" for name, value in facts.items() if value]
    return [f"### {card.title}", "", f"`{card.name}`. {card.notes}".rstrip(), "", *listed]


def _settings(card: Card) -> str:
    names = list(card.settings)
    if card.residual is not None:  # every number of codebooks: the ends and the default say all
        names = [name for name in names if name in (names[0], card.default_setting, names[-1])]
    separator = ", " if card.residual is None else " … "
    return separator.join(f"**{name}**" if name == card.default_setting else name for name in names)


def _origin(source: WeightsSource) -> str:
    origin = f"[{source.hub}](https://huggingface.co/{source.hub})" if source.hub else source.page
    own = [name for files in source.by_setting.values() for name in files]
    files = ", ".join(f"`{name}`" for name in dict.fromkeys([*source.files, *own]))
    others = " or ".join(", ".join(f"`{name}`" for name in files) for files in source.alternatives)
    return f"{origin or 'the package itself'}: {files}{f' (or {others})' if others else ''}, in `{source.folder}`"


def _anchor(title: str) -> str:
    """Return the fragment that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _span(values: list[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} … {values[-1]}"


def _or_unknown(value: int | None) -> str:
    return "any" if value is None else str(value)


def _latency(latency_s: float | None) -> str:
    return "?" if latency_s is None else "all" if latency_s == math.inf else f"{1000 * latency_s:.3g}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number / 1e6:.1f} M"


def readme() -> str:
    """Return the README with the table of today."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + _table() + END + after


def _table() -> str:
    path = ROOT / "leaderboards" / "overview.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == CORPUS]
    lines = [
        f"| codec | {' | '.join(heading for heading, _ in COLUMNS.values())} |",
        f"|---|{'---:|' * len(COLUMNS)}",
    ]
    for row in rows:
        cells = [_cell(row, name, digits) for name, (_, digits) in COLUMNS.items()]
        lines.append(f"| {row['codec']}:{row['setting']} | {' | '.join(cells)} |")
    note = f"Speech made by espeak-ng (`{CORPUS}`); ± is half of the 95 % interval; — is explained in the page."
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
    for name in ("scoring", "start", "memory", "cache"):
        lines += [f"## {name.capitalize()}", "", WHAT[name], "", *_figures(found[name]), ""]
    return "\n".join(lines).rstrip() + "\n"


WHAT = {
    "scoring": "`tokbench run` with every metric of the reconstruction task, start included, against the same "
    "metric calls in a bare loop over the same arrays in memory; one thread per process.",
    "start": "CPU seconds of commands that should come at once, with `import torch` for scale.",
    "memory": "Resident memory of all processes of a run over many short utterances (shared pages counted once).",
    "cache": "A task over codes that an earlier task left in the cache, against the same task without them.",
}


def _figures(found: Mapping[str, Any]) -> list[str]:
    lines = ["| | |", "|---|---:|"]
    for name, value in found.items():
        inner = value if isinstance(value, dict) else {name.replace("_", " "): value}
        lines += [f"| {key} | {_readable(item)} |" for key, item in inner.items()]
    return lines


def _readable(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/codecs.md": codecs_page,
    "docs/metrics.md": metrics_page,
    "README.md": readme,
    "docs/speed.md": speed_page,
}


def main() -> None:
    """Write every page, or say which of them is not what it would be."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(("out of date: " if "--check" in sys.argv else "written: ") + ", ".join(stale))
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
