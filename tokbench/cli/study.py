"""The command that trains many specs side by side and scores what comes out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tokbench.cli.queue import Job
    from tokbench.specs.study import Study, Trial

__all__ = ["study"]


def study(  # noqa: PLR0913, PLR0917  (the options of a long job)
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="A shipped study (tokbench list studies), or a TOML file.")
    ],
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            help="What to learn from, instead of the study's. Repeat it to join several.", show_default=False
        ),
    ] = None,
    scored_on: Annotated[
        str | None, typer.Option(help="What to score on, instead of the study's.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the folders of all runs.")] = Path("trained"),
    ship: Annotated[
        Path | None,
        typer.Option(help="Folder to which finished codecs are copied, without their logs.", show_default=False),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for the records and the curves.")] = Path("results"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only the runs of this name. Repeat it for several.", show_default=False),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Runs that are trained, or utterances scored, side by side.")
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of every run, for a trial.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    *,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Score what was trained.")] = True,
    plan: Annotated[bool, typer.Option("--plan", help="Show the commands that would run, and stop.")] = False,
) -> None:
    """Train every run of a study, and score it: the same data, time and tasks for all.

    The same command goes on where it was interrupted, and leaves alone what is finished.

    Example: [bold]tokbench study ablations --only encodec-snake --steps 100[/]
    """
    from tokbench.cli.device import check_device
    from tokbench.specs.study import find_study

    check_device(device, is_here=not plan)
    found = find_study(name)
    trials = _chosen(found, only or [])
    learnt_from, tested_on = corpus or found.corpora, scored_on or found.scored_on
    _check(trials, found.scale, learnt_from, tested_on if score else None)
    folders = _Folders(out, ship, results)

    def training(trial: "Trial") -> "Job":
        return _training(trial, found.scale, learnt_from, folders.of(trial), steps=steps, device=device)

    def scoring(finished: "Sequence[Trial]") -> "list[Job]":
        options = [f"--results={results}", f"--device={device}", f"--jobs={jobs}"]
        on_corpus, on_own = (_groups(finished, key) for key in ("tasks", "extra_tasks"))
        return [
            *(_scoring(*group, folders, [f"--corpus={tested_on}", *options]) for group in on_corpus),
            *(_scoring(*group, folders, options) for group in on_own),
        ]

    if plan:
        missing = [trial for trial in trials if not folders.holds(trial)]
        _show([*map(training, missing), *(scoring(trials) if score else [])])
        return
    finished = _train(trials, training, folders, jobs)
    is_scored = not score or _score(scoring(finished))
    _report({trial.name: "trained" if trial in finished else "failed" for trial in trials})
    if len(finished) < len(trials) or not is_scored:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Folders:
    """Where models are trained, where those that are shipped lie, and where records and curves go."""

    out: Path
    ship: Path | None
    results: Path

    def of(self, trial: "Trial") -> Path:
        """Return the folder of ``trial``: that of the shipped codec where there is one and no run of it."""
        from tokbench.training.kept import is_codec

        folder = self.out / trial.name
        if self.ship is not None and not folder.is_dir() and is_codec(self.ship / trial.name):
            return self.ship / trial.name
        return folder

    def holds(self, trial: "Trial") -> bool:
        """Say whether ``trial`` need not be trained."""
        from tokbench.training.kept import is_codec

        return is_codec(self.of(trial))

    def keep(self, trial: "Trial") -> None:
        """Put the curves of ``trial`` beside the records, and ship it."""
        from tokbench.training.kept import copy_codec, keep_curves

        folder = self.out / trial.name
        if folder.is_dir():
            keep_curves(folder, self.results)
            if self.ship is not None:
                copy_codec(folder, self.ship / trial.name)


def _chosen(study: "Study", only: Sequence[str]) -> "list[Trial]":
    """Return the trials whose run, or which themselves, are named; all of them if nothing is."""
    if not only:
        return list(study.all_trials)
    by_name = {trial.name: trial for trial in study.all_trials}
    runs = [study.find_run(name).name for name in only if name not in by_name]
    return [trial for trial in study.all_trials if trial.name in only or trial.run.name in runs]


def _check(trials: "Sequence[Trial]", scale: str, learnt_from: Sequence[str], tested_on: str | None) -> None:
    """Tell what is wrong with a spec, a corpus or a task before the first hour.

    ``tested_on`` is what all are scored on; None if they are not.
    """
    from tokbench.corpora.registry import open_corpus
    from tokbench.runners.registry import make_runner
    from tokbench.specs.task import find_task

    for trial in trials:
        trial.resolved(scale)
    for corpus in learnt_from:
        _open(corpus, "--corpus")
    if tested_on is None:
        return
    _open(tested_on, "--scored-on")
    for name in dict.fromkeys(name for trial in trials for name in trial.tasks):
        make_runner(find_task(name)[0])
    for name in dict.fromkeys(name for trial in trials for name in trial.run.extra_tasks):
        task = find_task(name)[0]
        make_runner(task)
        open_corpus(task.corpus)


def _open(corpus: str, option: str) -> None:
    """Open ``corpus``; raises :class:`UsageError`, which names the ``option`` for another one, where that fails."""
    from tokbench.corpora.registry import open_corpus
    from tokbench.errors import UsageError

    try:
        open_corpus(corpus)
    except UsageError as error:
        msg = f"{corpus}: {error}. Name a corpus of yours with {option}"
        raise UsageError(msg) from error


def _training(
    trial: "Trial", scale: str, corpora: Sequence[str], folder: Path, *, steps: int | None, device: str
) -> "Job":
    from tokbench.cli.queue import Job
    from tokbench.specs.scales import ScaledSpec

    options = [f"--scale={scale}", *(f"--corpus={corpus}" for corpus in corpora)]
    options += [
        f"--seed={trial.seed}",
        f"--out={folder}",
        f"--device={device}",
        *(f"--set={change}" for change in trial.changes),
    ]
    if steps is not None and isinstance(trial.resolved(scale), ScaledSpec):
        options.append(f"--steps={steps}")
    return Job(trial.name, ["train", trial.spec, *options])


def _groups(
    trials: "Sequence[Trial]", key: Literal["tasks", "extra_tasks"]
) -> "Iterable[tuple[tuple[str, ...], list[Trial]]]":
    """Return tasks, with the trials that are scored on the same ones."""
    groups: dict[tuple[str, ...], list[Trial]] = {}
    for trial in trials:
        if tasks := trial.tasks if key == "tasks" else trial.run.extra_tasks:
            groups.setdefault(tasks, []).append(trial)
    return groups.items()


def _scoring(tasks: Sequence[str], trials: "Sequence[Trial]", folders: _Folders, options: Sequence[str]) -> "Job":
    from tokbench.cli.queue import Job
    from tokbench.codecs.registry import name_of_folder

    codecs = [f"--codec={name_of_folder(folders.of(trial))}:all" for trial in trials]
    return Job("scoring", ["run", *codecs, f"--task={','.join(tasks)}", "--examples=0", *options])


def _train(
    trials: "Sequence[Trial]", job: "Callable[[Trial], Job]", folders: _Folders, num_jobs: int
) -> "list[Trial]":
    """Return the trials that are trained in the end; one that needs what failed is not begun."""
    from tokbench.cli.queue import work_through
    from tokbench.specs.study import waves

    chosen = {trial.name for trial in trials}
    finished: list[Trial] = []
    for wave in waves(trials):
        names = {trial.name for trial in finished}
        ready = [trial for trial in wave if chosen.intersection(trial.needs) <= names]
        begun = [trial for trial in ready if not folders.holds(trial)]
        codes = dict(zip(begun, work_through([job(trial) for trial in begun], num_jobs), strict=True))
        succeeded = [trial for trial in ready if not codes.get(trial, 0)]
        for trial in succeeded:
            folders.keep(trial)
        finished += succeeded
    return finished


def _score(jobs: "Sequence[Job]") -> bool:
    """Return whether every number could be measured."""
    from tokbench.cli.queue import work_through

    return not any(work_through(jobs, 1))


def _show(jobs: "Sequence[Job]") -> None:
    import shlex

    for job in jobs:
        typer.echo(shlex.join(["tokbench", *job.arguments]))


def _report(outcomes: Mapping[str, str]) -> None:
    from tokbench.cli.terminal import print_table

    print_table(list(outcomes.items()), columns=("run", "outcome"))
