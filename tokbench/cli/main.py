"""What a user types: ``tokbench COMMAND``.

This module and those of the commands import nothing heavy at their top, so that help and lists come at once.
Exit codes: 0 done, 1 some cells failed, 2 wrong usage, 130 interrupted.
"""

import sys

import typer

from tokbench.cli import bench, codes, generation, look, study, tables, training
from tokbench.cli.terminal import stderr
from tokbench.errors import RecordError, TokbenchError, UsageError

__all__ = ["app", "main"]

INTERRUPTED = 130
"""What typer leaves with after Ctrl-C, by the convention of shells: 128 + SIGINT."""

app = typer.Typer(
    name="tokbench",
    help="Score audio codecs and speech tokenizers, and see which one a speech language model should use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(bench.run)
app.command("train")(training.train)
app.command("generate")(generation.generate)
app.command("study")(study.study)
app.command("list")(look.list_names)
app.command("show")(look.show)
app.command("check")(bench.check)
app.command("compare")(tables.compare)
app.add_typer(tables.leaderboard, name="leaderboard")
app.command("encode")(codes.encode)
app.command("decode")(codes.decode)
app.command("doctor")(look.doctor)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: bool = typer.Option(False, "--version", help="Show the version and leave."),
) -> None:
    if version:
        from tokbench import __version__

        typer.echo(f"tokbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line; an error of ours is one sentence, never a traceback."""
    try:
        app()
    except (UsageError, RecordError) as error:
        _complain(error)
        sys.exit(2)
    except TokbenchError as error:
        _complain(error)
        sys.exit(1)
    except SystemExit as error:
        if error.code == INTERRUPTED:
            stderr().print("Interrupted. What was finished is kept; the same command goes on from there.")
        raise


def _complain(error: TokbenchError) -> None:
    stderr().print(f"[bold red]Error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
