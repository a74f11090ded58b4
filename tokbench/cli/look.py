"""Commands that look and change nothing: list, show, doctor."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["doctor", "list_names", "show"]


class Noun(StrEnum):
    """What can be listed."""

    CODECS = "codecs"
    TASKS = "tasks"
    CORPORA = "corpora"
    JUDGES = "judges"
    METRICS = "metrics"
    LEADERBOARDS = "leaderboards"
    SPECS = "specs"


def list_names(
    noun: Annotated[Noun, typer.Argument(help="What to list.")],
    containing: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every field.")] = False,
) -> None:
    """List what there is: codecs, tasks, corpora, judges, metrics, leaderboards or specs."""
    from tokbench.cli import listings
    from tokbench.cli.terminal import print_json, print_table

    rows = [row for row in listings.LISTINGS[noun.value]() if containing in row["name"]]
    if as_json:
        print_json(rows)
        return
    columns = list(rows[0]) if rows else ["name"]
    hidden = listings.JSON_ONLY.get(noun.value, ())
    shown = [column for column in columns if column not in hidden]
    print_table(
        [tuple(str(row[column]) for column in shown) for row in rows],
        columns=shown,
        numeric=[column for column in shown if column == "bit/s"],
    )


def show(
    name: Annotated[str, typer.Argument(help="A codec, task, metric, corpus, leaderboard or record (.json).")],
) -> None:
    """Show a card, task, metric, corpus, leaderboard or record in full."""
    from tokbench.cli import listings
    from tokbench.cli.terminal import print_table

    title, fields = listings.find(name)
    typer.echo(title)
    print_table([(key, _readable(value)) for key, value in fields.items()], columns=("field", "value"))


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_readable(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_readable(item) for item in value)
    return "" if value is None else str(value)


def doctor(
    weights: Annotated[Path | None, typer.Option(help="A folder with weights to check as well.")] = None,
) -> None:
    """Say what is installed, which weights and corpora are found, and what each missing one needs."""
    from tokbench.cli import diagnosis
    from tokbench.cli.terminal import print_table

    findings = diagnosis.examine(weights)
    print_table(
        [(item.kind, item.name, "ready" if item.ready else "missing", item.remark) for item in findings],
        columns=("kind", "name", "state", "what it needs"),
        styles={"state": "bold"},
    )
