"""Studies: which specs are trained side by side, by which changes, and on what they are compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tokbench.errors import SpecError, UnknownNameError
from tokbench.specs.base import StrictModel, read_toml
from tokbench.specs.changes import ChangeError, parse_changes
from tokbench.specs.codec import CodecSpec, find_spec

__all__ = ["Study", "StudyRun", "Trial", "find_study", "list_studies", "waves"]

_STUDIES = Path(__file__).parent / "studies"


class StudyRun(StrictModel):
    """One spec with one set of changes: a row of the study."""

    name: str = Field(pattern=r"^[\w.-]+$")
    """What the trained model is called; with several seeds, ``-s1`` and so on follow."""
    spec: str = ""
    """Name or path of a spec; that of the study where left out."""
    title: str
    """What is particular, for a reader of the table."""
    part: str = ""
    """What it is a choice of, such as ``Discriminators``: rows of one part stand together."""
    changes: tuple[str, ...] = ()
    """``key=value``, as ``tokbench train --set`` takes them, after those of the study."""
    needs: tuple[str, ...] = ()
    """Runs above that have to be finished first: teachers, and what units are found in."""
    tasks: tuple[str, ...] | None = None
    """What it is scored on, in the place of the study's; nothing for a teacher that is no tokenizer."""
    extra_tasks: tuple[str, ...] = ()
    """What it is scored on beside, each on the task's own corpus."""


@dataclass(frozen=True)
class Trial:
    """One model that a study trains: a run with a seed."""

    name: str
    run: StudyRun
    spec: str
    changes: tuple[str, ...]
    seed: int
    needs: tuple[str, ...]
    tasks: tuple[str, ...]

    def resolved(self, scale: str) -> CodecSpec:
        """Return the spec that is trained; raises :class:`tokbench.errors.SpecError` with every problem in it."""
        return find_spec(self.spec, scale, changes=parse_changes(self.changes))[0]


class Study(StrictModel):
    """Models that are trained on the same data for the same time, and compared."""

    name: str
    """Name of the TOML file."""
    title: str
    """Heading for people."""
    question: str
    """What it answers, in one sentence."""
    scale: Literal["tiny", "small", "paper"] = "tiny"
    """At which all are trained."""
    corpora: tuple[str, ...] = Field(min_length=1)
    """What all learn from, joined."""
    scored_on: str
    """Corpus that all are scored on."""
    tasks: tuple[str, ...]
    """What all are scored on."""
    num_seeds: int = Field(default=1, gt=0)
    """Times that each run is trained, from seed 0 on."""
    spec: str = ""
    """The spec of every run that names none."""
    changes: tuple[str, ...] = ()
    """Laid over every spec, before the changes of a run."""
    reference: str
    """The run that all others are compared with."""
    runs: tuple[StudyRun, ...] = Field(min_length=1)
    """In the order of training and of the tables."""

    @model_validator(mode="after")
    def _runs_fit(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        names = [run.name for run in self.runs]
        yield from (f"run {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1}))
        if self.reference not in names:
            yield f"reference {self.reference!r} is not among the runs ({', '.join(names)})"
        for place, run in enumerate(self.runs):
            if not (run.spec or self.spec):
                yield f"run {run.name!r} has no spec, and neither has the study"
            yield from (
                f"run {run.name!r} needs {name!r}, which is no run above it"
                for name in run.needs
                if name not in names[:place]
            )
            try:
                parse_changes([*self.changes, *run.changes])
            except ChangeError as error:
                yield f"run {run.name!r}: {error}"

    def trials(self, run: StudyRun) -> tuple[Trial, ...]:
        """Return what is trained for ``run``, one for each seed."""

        def named(name: str, seed: int) -> str:
            return name if self.num_seeds == 1 else f"{name}-s{seed + 1}"

        return tuple(
            Trial(
                name=named(run.name, seed),
                run=run,
                spec=run.spec or self.spec,
                changes=(*self.changes, *run.changes),
                seed=seed,
                needs=tuple(named(name, seed) for name in run.needs),
                tasks=self.tasks if run.tasks is None else run.tasks,
            )
            for seed in range(self.num_seeds)
        )

    @property
    def all_trials(self) -> tuple[Trial, ...]:
        """Everything that is trained: every run with the first seed, then with the next."""
        return tuple(trial for seed in zip(*map(self.trials, self.runs), strict=True) for trial in seed)

    def find_run(self, name: str) -> StudyRun:
        """Return the run called ``name``; raises :class:`UnknownNameError`."""
        runs: Mapping[str, StudyRun] = {run.name: run for run in self.runs}
        if name not in runs:
            raise UnknownNameError(f"run of {self.name}", name, runs, command=f"tokbench study {self.name} --plan")
        return runs[name]


def waves(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return ``trials`` in groups: what a trial needs of the others is in a group before its own."""
    level: dict[str, int] = {}
    for trial in trials:
        level[trial.name] = 1 + max((level[name] for name in trial.needs if name in level), default=-1)
    groups: list[list[Trial]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for trial in trials:
        groups[level[trial.name]].append(trial)
    return groups


def list_studies() -> Mapping[str, Study]:
    """Return every shipped study by name."""
    return {path.stem: _read_study(path) for path in sorted(_STUDIES.glob("*.toml"))}


def find_study(name: str) -> Study:
    """Return the study called ``name``, or the one in the TOML file that ``name`` is the path of.

    Raises :class:`UnknownNameError` or :class:`SpecError`.
    """
    if name.endswith(".toml"):
        return _read_study(Path(name))
    shipped: Mapping[str, Any] = {path.stem: path for path in _STUDIES.glob("*.toml")}
    if name not in shipped:
        raise UnknownNameError("study", name, shipped, command="tokbench list studies")
    return _read_study(shipped[name])


def _read_study(path: Path) -> Study:
    study = read_toml(path, Study)
    if study.name != path.stem:
        raise SpecError(path, [f"name: expected {path.stem!r}, found {study.name!r}"])
    return study
