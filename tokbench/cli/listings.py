"""What there is to list and to show, as plain rows."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokbench.cli.spec_view import head_comment
from tokbench.codecs.registry import list_cards, list_plugins
from tokbench.codecs.state import examine
from tokbench.corpora.registry import list_corpora
from tokbench.errors import UnknownNameError
from tokbench.metrics.catalogue import METRICS
from tokbench.paths import declarations_dir
from tokbench.records import read_record
from tokbench.specs.codec import find_spec, list_lms, list_specs, scales_of
from tokbench.specs.scales import SCALES
from tokbench.specs.task import find_task, list_tasks

__all__ = ["JSON_ONLY", "LISTINGS", "NUMERIC", "OPTIONAL", "SIZES", "find", "is_spec"]

Row = dict[str, Any]

SIZES = Path(__file__).parent.parent / "specs" / "sizes.json"
"""Parameters of every shipped spec at every scale; written by ``docs/generate.py``."""


def _codecs() -> list[Row]:
    rows = []
    for name, card in list_cards().items():
        states = examine(card, verify=False)
        for setting in card.settings:
            bitrate_bps = card.bitrate_bps.get(setting)
            rows.append(
                {
                    "name": f"{name}:{setting}",
                    "default": "*" if setting == card.default_setting else "",
                    "state": str(states[setting]),
                    "bit/s": "" if bitrate_bps is None else f"{bitrate_bps:.0f}",
                    "title": card.title,
                    "causal": _yes_or_no(card.causal),
                    "streaming": _yes_or_no(card.streaming),
                    "latency_s": "whole utterance" if card.latency_s == math.inf else card.latency_s,
                    "sample_rate_hz": card.sample_rate_hz,
                    "num_parameters": card.num_parameters,
                    "licence": card.licence,
                    "trained on": ", ".join(card.trained_on),
                    "source": card.source,
                    "remark": states[setting].remark,
                }
            )
    return rows + [_plugin(name, point.value) for name, point in list_plugins().items()]


def _yes_or_no(value: bool | None) -> str:  # noqa: FBT001  (a cell)
    return "" if value is None else "yes" if value else "no"


def _plugin(name: str, value: str) -> Row:
    """Describe a plug-in, of which nothing is imported before it is used."""
    known = {"name": name, "state": "ready", "title": f"plug-in {value}"}
    columns = ("name", "default", "state", "bit/s", "title", "causal", *JSON_ONLY["codecs"])
    return {column: known.get(column, "") for column in columns}


def _tasks() -> list[Row]:
    tasks = [find_task(task_id)[0] for task_id in list_tasks()]
    return [
        {
            "name": task.id,
            "kind": task.kind,
            "corpus": task.corpus,
            "metrics": len(task.metrics),
            "asks": task.question,
        }
        for task in tasks
    ]


def _corpora() -> list[Row]:
    return [
        {"name": name, "state": item.missing or "ready", "spelling": item.spelling, "what": item.description}
        for name, item in list_corpora().items()
    ]


def _metrics() -> list[Row]:
    return [
        {
            "name": name,
            "title": metric.title,
            "unit": metric.unit,
            "better": metric.better or "",
            "low": metric.bounds[0],
            "high": metric.bounds[1],
            "judge": metric.judge or "",
            "source": metric.source,
            "description": metric.description,
        }
        for name, metric in METRICS.items()
    ]


def _judges() -> list[Row]:
    from tokbench.judges.registry import JUDGES

    metrics: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        if metric.judge:
            metrics.setdefault(metric.judge, []).append(name)
    tasks: dict[str, list[str]] = {}
    for task_id in list_tasks():
        judge = str(find_task(task_id)[0].arguments.get("judge", ""))
        if judge.partition(":")[0] in JUDGES:
            tasks.setdefault(judge, []).append(task_id)
    names = dict.fromkeys([*metrics, *tasks])
    return [
        {"name": name, "metrics": ", ".join(metrics.get(name, [])), "tasks": ", ".join(tasks.get(name, []))}
        for name in names
    ]


def _leaderboards() -> list[Row]:
    from tokbench.leaderboard.spec import find_leaderboard, list_leaderboards

    boards = [find_leaderboard(name) for name in list_leaderboards()]
    return [{"name": board.name, "title": board.title, "asks": board.question} for board in boards]


def _specs() -> list[Row]:
    sizes = json.loads(SIZES.read_text(encoding="utf-8"))
    return [
        {
            "name": name,
            "kind": spec.kind,
            **{f"{scale} M": _millions(sizes[name][scale]) for scale in SCALES},
            "what": head_comment(find_spec(name)[1]),
            "title": getattr(spec, "title", ""),
            "source": getattr(spec, "source", ""),
            "scales": list(scales_of(spec)),
            "num_parameters": sizes[name],
        }
        for name, spec in list_specs().items()
    ]


def _lms() -> list[Row]:
    return [
        {
            "name": name,
            "forms": ", ".join(spec.forms),
            "codec": ", ".join(spec.codec),
            "what": head_comment(find_spec(name)[1]),
            "title": spec.title,
            "source": spec.source,
            "scales": list(scales_of(spec)),
        }
        for name, spec in list_lms().items()
    ]


def _millions(number: int | None) -> str:
    return "" if number is None else f"{number / 1e6:.1f}"


def _studies() -> list[Row]:
    from tokbench.specs.study import list_studies

    return [
        {
            "name": name,
            "scale": study.scale,
            "runs": len(study.runs),
            "title": study.title,
            "asks": study.question,
        }
        for name, study in list_studies().items()
    ]


LISTINGS: Mapping[str, Callable[[], list[Row]]] = {
    "codecs": _codecs,
    "tasks": _tasks,
    "corpora": _corpora,
    "judges": _judges,
    "metrics": _metrics,
    "leaderboards": _leaderboards,
    "specs": _specs,
    "lms": _lms,
    "studies": _studies,
}

JSON_ONLY = {
    "codecs": (
        "streaming",
        "latency_s",
        "sample_rate_hz",
        "num_parameters",
        "licence",
        "trained on",
        "source",
        "remark",
    ),
    "metrics": ("source", "description"),
    "specs": ("title", "source", "scales", "num_parameters"),
    "lms": ("title", "source", "scales"),
}
"""Columns that a terminal has no room for."""
OPTIONAL = {
    "codecs": ("causal", "default", "title"),
    "tasks": ("kind", "metrics", "corpus"),
    "corpora": ("spelling",),
    "metrics": ("high", "low", "judge", "unit"),
    "specs": tuple(f"{scale} M" for scale in SCALES),
    "lms": ("forms", "codec"),
    "studies": ("runs", "scale", "title"),
}
"""Columns that a narrow terminal has no room for, from the first that is left out to the last."""
NUMERIC = frozenset({"bit/s", *(f"{scale} M" for scale in SCALES)})


def is_spec(name: str) -> bool:
    """Return whether ``name`` is that of a spec and of nothing else."""
    return name.endswith(".toml") or (name in {*list_specs(), *list_lms()} and name not in list_cards())


def find(name: str) -> tuple[str, dict[str, Any]]:
    """Return a title and the fields of whatever is called ``name``.

    Raises :class:`UnknownNameError` where nothing is.
    """
    if name.endswith(".json"):
        return f"record {name}", read_record(Path(name)).model_dump(mode="json")
    if name in list_cards():
        return f"codec {name}", list_cards()[name].model_dump(mode="json")
    tasks = list_tasks()
    if any(name in (task_id, task_id.rpartition(".v")[0]) for task_id in tasks):
        task, sha256 = find_task(name)
        return f"task {task.id}", {**task.model_dump(mode="json"), "sha256": sha256}
    if name in METRICS:
        fields = {key: getattr(METRICS[name], key) for key in METRICS[name].__dataclass_fields__}
        return f"metric {name}", fields
    for listing, key in (("corpora", "name"), ("leaderboards", "name"), ("judges", "name")):
        for row in LISTINGS[listing]():
            if row[key] == name:
                return f"{listing} {name}", row
    known = [
        *list_cards(),
        *list_specs(),
        *list_lms(),
        *tasks,
        *METRICS,
        *(path.stem for path in declarations_dir("leaderboards").glob("*.toml")),
    ]
    raise UnknownNameError(
        "codec, spec, task, metric, corpus or leaderboard", name, known, command="tokbench list codecs"
    )
