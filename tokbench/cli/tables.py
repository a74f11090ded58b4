"""Commands that turn records into tables: leaderboard build, compare."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["compare", "leaderboard"]

leaderboard = typer.Typer(help="Tables and pages made of records.", no_args_is_help=True)


@leaderboard.command("build")
def build(
    names: Annotated[list[str] | None, typer.Argument(help="Leaderboards; by default all of them.")] = None,
    results: Annotated[Path, typer.Option(help="Folder with the records.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder for the tables and pages.")] = Path("leaderboards"),
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a file would come out different.")
    ] = False,
) -> None:
    """Build CSV tables and HTML pages from the records."""
    from tokbench.cli.terminal import print_table
    from tokbench.leaderboard.build import build as build_leaderboards

    done = build_leaderboards(names or [], results=results, out=out, check=check)
    sounds = [item for item in done if item.path.parent.suffix == ".audio" and item.status != "differs"]
    rows = [(str(item.path), item.status, item.detail) for item in done if item not in sounds]
    if sounds:
        rows.append((f"{len(sounds)} sounds and pictures beside the pages", sounds[0].status, ""))
    print_table(rows, columns=("file", "state", "detail"))
    if check and any(item.status == "differs" for item in done):
        raise typer.Exit(1)


def compare(
    codecs: Annotated[list[str], typer.Argument(help="Two or more NAME:SETTING; each is compared with the first.")],
    task: Annotated[str, typer.Option(help="Task name.")],
    corpus: Annotated[str | None, typer.Option(help="Name of the corpus, where there are several.")] = None,
    metric: Annotated[str | None, typer.Option(help="List the utterances of this metric.")] = None,
    results: Annotated[Path, typer.Option(help="Folder with the records.")] = Path("results"),
    rows: Annotated[int, typer.Option(min=1, help="Utterances to list.")] = 10,
) -> None:
    """Compare codecs on the same utterances: paired difference, 95 % interval, p-value.

    Example: [bold]tokbench compare opus:12kbps mulaw:8bit --task reconstruction --corpus synth.v1[/]
    """
    from tokbench.cli.comparison import print_comparison

    print_comparison(codecs, task=task, corpus=corpus, metric=metric, results=results, num_rows=rows)
