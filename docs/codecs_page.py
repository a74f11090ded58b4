"""``docs/codecs.md`` from the cards of all codecs; called by ``docs/generate.py``."""

import math
import re
from typing import get_args

from tokbench.codecs.card import Card, Kind, WeightsSource
from tokbench.codecs.registry import list_cards

__all__ = ["anchor", "codecs_page"]


def codecs_page() -> str:
    """Return the page on codecs."""
    cards = list_cards()
    num_settings = sum(len(card.settings) for card in cards.values())
    lines = [
        "# Codecs",
        "",
        f"Made from the cards of {len(cards)} codecs with {num_settings} settings (`tokbench list codecs`).",
        "A setting is called for as `NAME:SETTING`, all as `NAME:all`; `NAME` alone means the one in **bold**.",
        "`tokbench doctor` says which are ready on a machine. Weights are looked for in",
        "`$TOKBENCH_HOME/weights/<folder>`, then on the hub; `--weights DIR` names another place. Latency is the",
        "audio beyond a frame's own end that its codes need: `all` of it where that is the whole utterance.",
        "*causal*: no code depends on audio later than its frame and the latency. *streaming*: the publisher's",
        "implementation can encode and decode while audio is still coming in.",
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
            f"[`{card.name}`](#{anchor(_heading(card))})",
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
    return [f"### {_heading(card)}", "", *([card.notes, ""] if card.notes else []), *listed]


def _heading(card: Card) -> str:
    """Return what stands above an entry; titles alone are shared by small models and those they are made like."""
    return f"{card.title} (`{card.name}`)"


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


def anchor(heading: str) -> str:
    """Return the fragment that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _span(values: list[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} … {values[-1]}"


def _or_unknown(value: int | None) -> str:
    return "any" if value is None else str(value)


def _latency(latency_s: float | None) -> str:
    if latency_s is None:
        return "?"
    if latency_s == math.inf:
        return "all"
    return f"{1000 * latency_s:.3g}" if latency_s < 1 else f"{1000 * latency_s:.0f}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number / 1e6:.1f} M"
