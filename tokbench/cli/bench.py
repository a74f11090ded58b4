"""Commands that work: run and check."""

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokbench.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    from tokbench.run.engine import CellOutcome
    from tokbench.run.executor import LocalExecutor
    from tokbench.run.ray_executor import RayExecutor

__all__ = ["Engine", "check", "run"]

DEFAULT_TIMEOUT_S = 300.0


class Engine(StrEnum):
    """Where utterances are measured."""

    LOCAL = "local"
    RAY = "ray"


def run(  # noqa: PLR0913, PLR0917  (the options of the main job)
    codec: Annotated[
        list[str],
        typer.Option(
            help="NAME, NAME:SETTING or NAME:all; also file.py:Class or a trained folder. "
            "Several with commas, or by repeating the option."
        ),
    ],
    task: Annotated[list[str], typer.Option(help="Task name or TOML file; several with commas.")],
    corpus: Annotated[
        str | None,
        typer.Option(
            help="synth, folder:DIR, manifest:FILE, 'manifest:FILE?column=value', librispeech:ROOT. "
            "By default each task's own."
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("results"),
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes. By default one per core (on a GPU: one)."),
    ] = None,
    executor: Annotated[
        Engine, typer.Option(help="local: processes of this machine; ray: a Ray cluster (RAY_ADDRESS).")
    ] = Engine.LOCAL,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first N utterances of the corpus, recorded as a corpus of their own."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of intervals and of codecs that draw random numbers.")] = 0,
    examples: Annotated[int, typer.Option(min=0, help="Utterances whose decoded audio is kept for listening.")] = 3,
    weights: Annotated[
        Path | None, typer.Option(help="Folder with the codec's weights, instead of the usual places.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one utterance may take.")
    ] = DEFAULT_TIMEOUT_S,
    *,
    force: Annotated[bool, typer.Option("--force", help="Run again what is already recorded.")] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Show what is asked for, and what keeps any of it from running, and stop."),
    ] = False,
) -> None:
    """Score codecs on tasks: one record per codec, setting, task and corpus.

    Example: [bold]tokbench run --codec opus:all,mulaw --task reconstruction,tokens[/]
    """
    from tokbench.cli.device import check_device
    from tokbench.cli.plan_view import print_plan
    from tokbench.cli.progress import TerminalReporter
    from tokbench.cli.summary_table import print_outcomes
    from tokbench.run.engine import execute
    from tokbench.run.executor import default_num_workers
    from tokbench.run.plan import Options, build_plan

    check_device(device, is_here=executor is Engine.LOCAL and not plan)
    options = Options(
        results=results,
        corpus=corpus,
        weights=weights,
        device=device,
        seed=seed,
        limit=limit,
        num_examples=examples,
    )
    cells = build_plan(_split("--codec", codec), _split("--task", task), options)
    if plan:
        print_plan(cells)
        return
    outcomes: list[CellOutcome] = []
    num_workers = jobs or default_num_workers(device)
    with _start(executor, num_workers, device) as workers, TerminalReporter(cells) as reporter:
        outcomes.extend(execute(cells, workers, reporter, timeout_s=timeout, force=force))
    print_outcomes(outcomes, results)
    if any(outcome.status != "ok" for outcome in outcomes):
        raise typer.Exit(1)


def _start(engine: Engine, num_workers: int, device: str) -> "LocalExecutor | RayExecutor":
    from tokbench.run.executor import LocalExecutor

    if engine is Engine.LOCAL:
        return LocalExecutor(num_workers)
    if find_spec("ray") is None:
        raise MissingPackageError("--executor ray", ["tokbench[ray]"])
    from tokbench.run.ray_executor import RayExecutor

    return RayExecutor(num_workers, num_gpus=1.0 if device.startswith("cuda") else 0.0)


def _split(option: str, values: list[str]) -> list[str]:
    items = [item for value in values for item in value.split(",") if item]
    if not items:
        msg = f"{option}: expected at least one name, found {','.join(values)!r}"
        raise UsageError(msg)
    return items


def check(
    codec: Annotated[str, typer.Argument(help="NAME[:SETTING], file.py:Class, or a folder.")],
    weights: Annotated[Path | None, typer.Option(help="Folder with the codec's weights.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one check may take, or loading the codec.")
    ] = DEFAULT_TIMEOUT_S,
) -> None:
    """Put a codec through the conformance suite: what every codec must do to be scored fairly."""
    from tokbench.cli.checking import print_checks

    if not print_checks(codec, weights=weights, timeout_s=timeout):
        raise typer.Exit(1)
