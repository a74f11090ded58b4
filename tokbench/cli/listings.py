"""What there is to list and to show, as plain rows."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokbench.cli import judge_states
from tokbench.cli.spec_view import head_comment
from tokbench.codecs.registry import CARD_FILE, expand, is_code, list_cards, list_plugins
from tokbench.codecs.state import examine
from tokbench.corpora.registry import list_corpora
from tokbench.errors import UnknownNameError
from tokbench.metrics.catalogue import METRICS
from tokbench.paths import declarations_dir
from tokbench.records import read_record
from tokbench.specs.codec import find_spec, list_lms, list_specs, scales_of
from tokbench.specs.scales import SCALES
from tokbench.specs.task import find_task, is_task_file, list_tasks

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
    return [_judge(name, *asking) for name, asking in judge_states.list_judges().items()]


def _judge(name: str, metrics: Sequence[str] = (), tasks: Sequence[str] = ()) -> Row:
    """Describe a judge, and what asks for it."""
    state = judge_states.examine(name)
    return {
        "name": name,
        "state": str(state),
        "remark": state.remark,
        "metrics": ", ".join(metrics),
        "tasks": ", ".join(tasks),
    }


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
    "judges": ("tasks", "metrics"),
    "metrics": ("high", "low", "judge", "unit"),
    "specs": tuple(f"{scale} M" for scale in SCALES),
    "lms": ("forms", "codec"),
    "studies": ("runs", "scale", "title"),
}
"""Columns that a narrow terminal has no room for, from the first that is left out to the last."""
NUMERIC = frozenset({"bit/s", *(f"{scale} M" for scale in SCALES)})


def is_spec(name: str) -> bool:
    """Return whether ``name`` is that of a spec and of nothing else.

    Raises :class:`tokbench.errors.SpecError` for a TOML file that is missing or cannot be read.
    """
    if name.endswith(".toml"):
        return not is_task_file(Path(name))
    return name in {*list_specs(), *list_lms()} and not _is_codec(name)


def find(name: str) -> tuple[str, dict[str, Any]]:
    """Return a title and the fields of whatever is called ``name``.

    Raises :class:`UnknownNameError` where nothing is.
    """
    if name.endswith(".json"):
        return f"record {name}", read_record(Path(name)).model_dump(mode="json")
    if _is_codec(name):
        return f"codec {name}", _codec(name)
    tasks = list_tasks()
    if name.endswith(".toml") or any(name in (task_id, task_id.rpartition(".v")[0]) for task_id in tasks):
        task, sha256 = find_task(name)
        return f"task {task.id}", {**task.model_dump(mode="json"), "sha256": sha256}
    if name in METRICS:
        fields = {key: getattr(METRICS[name], key) for key in METRICS[name].__dataclass_fields__}
        return f"metric {name}", fields
    for noun, listing in _ROWS.items():
        for row in LISTINGS[listing]():
            if row["name"] == name:
                return f"{noun} {name}", row
    if judge_states.is_judge(name):
        return f"judge {name}", _judge(name)
    if Path(name).is_dir():
        expand(name)  # raises what is wrong with a folder that has no card
    known = [
        *list_cards(),
        *list_plugins(),
        *list_specs(),
        *list_lms(),
        *tasks,
        *METRICS,
        *(path.stem for path in declarations_dir("leaderboards").glob("*.toml")),
    ]
    raise UnknownNameError(
        "codec, spec, task, metric, corpus, judge, leaderboard or study",
        name,
        known,
        command="tokbench list codecs",
    )


_ROWS = {"corpus": "corpora", "judge": "judges", "leaderboard": "leaderboards", "study": "studies"}
"""What is shown as it is listed."""


def _is_codec(name: str) -> bool:
    """Say whether ``name`` would be looked up as a codec: a card, a plug-in, a class in a file, or a folder."""
    first, _, _ = name.partition(":")
    is_named = first in list_cards() or first in list_plugins()
    return is_named or is_code(name) or name.endswith(".py") or (Path(first) / CARD_FILE).is_file()


def _codec(name: str) -> Row:
    """Return the card of a codec, of one setting alone where ``name`` asks for one."""
    references = expand(name)
    card = references[0].card
    fields = card.model_dump(mode="json")
    if is_code(name) or ":" not in name or len(references) > 1:
        return fields
    setting = references[0].setting
    states = examine(card, weights=references[0].folder, verify=False)
    of_setting = {
        "setting": setting,
        "state": str(states[setting]),
        "remark": states[setting].remark,
        "bit/s": card.bitrate_bps.get(setting),
        "arguments": references[0].arguments,
    }
    return of_setting | {key: value for key, value in fields.items() if key not in _OF_SETTINGS}


_OF_SETTINGS = ("arguments", "bitrate_bps", "default_setting", "residual", "settings")
"""Fields of a card that say what each setting is."""
