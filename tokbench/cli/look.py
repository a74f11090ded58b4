"""Commands that look and change nothing: list, show, doctor."""

import difflib
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokbench.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from tokbench.cli.diagnosis import Finding

__all__ = ["doctor", "list_names", "show"]


NOUNS = {
    "codecs": "codec",
    "tasks": "task",
    "corpora": "corpus",
    "judges": "judge",
    "metrics": "metric",
    "leaderboards": "leaderboard",
    "specs": "spec",
    "lms": "language model",
    "studies": "study",
}
"""What can be listed, and one of it."""


def list_names(
    noun: Annotated[str, typer.Argument(metavar="NOUN", help=f"What to list: {', '.join(NOUNS)}.")],
    containing: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every field.")] = False,
) -> None:
    """List what there is: codecs, tasks, corpora, judges, metrics, leaderboards, specs, lms or studies."""
    from tokbench.cli import listings
    from tokbench.cli.terminal import print_json, print_table

    _check_noun(noun)
    everything = listings.LISTINGS[noun]()
    rows = [row for row in everything if containing in row["name"]]
    if not rows:
        names = {row["name"].partition(":")[0] for row in everything}
        raise UnknownNameError(NOUNS[noun], containing, names, command=f"tokbench list {noun}")
    if as_json:
        print_json(rows)
        return
    columns = list(rows[0])
    hidden = listings.JSON_ONLY.get(noun, ())
    shown = [column for column in columns if column not in hidden]
    print_table(
        [tuple(str(row[column]) for column in shown) for row in rows],
        columns=shown,
        numeric=[column for column in shown if column in listings.NUMERIC],
        optional=[column for column in listings.OPTIONAL.get(noun, ()) if column in shown],
    )


def _check_noun(noun: str) -> None:
    if noun not in NOUNS:
        close = difflib.get_close_matches(noun, NOUNS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        msg = f"there is no list of {noun!r}.{hint} Expected one of {', '.join(NOUNS)}"
        raise UsageError(msg)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A codec or NAME:SETTING, a trained folder, file.py:Class; a task or spec (also .toml), metric, "
            "judge, corpus, leaderboard, study or record (.json)."
        ),
    ],
    scale: Annotated[
        str | None,
        typer.Option(
            help="Show the spec of this name instead of the codec: tiny or small (with published values where they "
            "differ), or paper.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a card, task, metric, judge, corpus, leaderboard, spec, study or record in full.

    Example: [bold]tokbench show encodec --scale tiny[/]
    """
    from tokbench.cli import listings
    from tokbench.cli.terminal import print_table
    from tokbench.specs.scales import FULL_SCALE

    if scale is not None or listings.is_spec(name):
        _show_spec(name, scale or FULL_SCALE)
        return
    title, fields = listings.find(name)
    typer.echo(title)
    print_table([(key, _readable(value)) for key, value in fields.items()], columns=("field", "value"))


def _show_spec(name: str, scale: str) -> None:
    """Print every key of a spec by the name that ``--set`` takes."""
    from tokbench.cli import spec_view
    from tokbench.cli.terminal import print_table
    from tokbench.training.sizes import num_parameters

    spec, columns, rows = spec_view.view(name, scale)
    size = num_parameters(spec)
    typer.echo(f"spec {spec.name}" + (f", {size / 1e6:.2f} M parameters" if size else ""))
    print_table(rows, columns=columns)


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
    if sys.stdout.isatty():
        _show_groups(findings)
        return
    print_table(
        [(item.kind, item.name, "ready" if item.ready else "missing", item.remark) for item in findings],
        columns=("kind", "name", "state", "what it needs"),
    )


def _show_groups(findings: "list[Finding]") -> None:
    """Print what is ready in a line, what is missing with what it needs, kind by kind."""
    from rich.markup import escape
    from rich.padding import Padding

    from tokbench.cli.terminal import stdout

    console = stdout()
    for kind, group in groupby(findings, key=lambda item: item.kind):
        items = list(group)
        names = [
            f"{item.name} {item.remark}".strip() if kind == "system" else item.name for item in items if item.ready
        ]
        if names:
            console.print(f"[bold]{kind}, ready[/]")
            console.print(Padding(escape(", ".join(names)), (0, 0, 1, 2)))
        missing = [item for item in items if not item.ready]
        if missing:
            console.print(f"[bold]{kind}, missing[/]")
        for item in missing:
            console.print(Padding(escape(item.name), (0, 0, 0, 2)))
            console.print(Padding(escape(item.remark), (0, 0, 0, 6)), style="dim")
        if missing:
            console.print()
    console.print("--weights DIR makes a run look for a codec's weights in DIR instead.", markup=False)
