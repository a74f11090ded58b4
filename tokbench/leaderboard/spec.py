"""Leaderboards: TOML files that say which metrics of which tasks stand side by side, and what is plotted."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tokbench.errors import SpecError, UnknownNameError
from tokbench.paths import declarations_dir
from tokbench.specs.base import StrictModel, read_toml

__all__ = [
    "RESYNTHESIS",
    "Column",
    "ColumnGroup",
    "Leaderboard",
    "Plot",
    "Question",
    "Ranking",
    "find_leaderboard",
    "list_leaderboards",
]

ALL_UTTERANCES = "all"
RESYNTHESIS = "ceiling"
"""What a tokenizer makes of the reference."""
FLOORS = ("untrained", "swapped", "guess")
"""Groups that a trained model has to be better than. Codes in a random order are none: words are known by them."""
REFERENCE_GROUPS = frozenset({*FLOORS, "shuffled", RESYNTHESIS, "original", "input"})
"""Groups that are the floor or the ceiling of another one: what stands beside a trained model in its tasks."""


class Column(StrictModel):
    """One metric."""

    metric: str
    """Name in the records, such as ``pesq_wb``."""
    group: str = ALL_UTTERANCES
    """``all``, or the group of the metric, such as ``codebook 1``."""
    heading: str | None = None
    """Heading on the page; the metric's title where left out."""
    name: str | None = None
    """Name of the column in the CSV, where two tasks have the same metric; metric and group where left out."""

    @property
    def key(self) -> str:
        """Name of the column in its group."""
        if self.name is not None:
            return self.name
        return self.metric if self.group == ALL_UTTERANCES else f"{self.metric}/{self.group}"

    @property
    def is_reference(self) -> bool:
        """Whether it is a floor or a ceiling, of which nobody is the best."""
        return self.group in REFERENCE_GROUPS


class ColumnGroup(StrictModel):
    """Neighbouring columns under one heading, all from one task."""

    heading: str
    """What these columns have in common."""
    task: str = Field(pattern=r"\.v\d+$")
    """Id with its version, such as ``reconstruction.v1``: versions are never mixed."""
    prefix: str = ""
    """What stands before the names of its columns, and a slash, where other groups have the same metrics."""
    beside: bool = False
    """Whether its columns only stand beside those of the other groups, as bitrates do: a codec of which nothing
    else was measured has no row."""
    like: str = ""
    """Prefix of a group above that has the same columns, of another task: in the place of ``columns``."""
    columns: tuple[Column, ...] = Field(min_length=1)
    """From left to right."""


class Plot(StrictModel):
    """Quality against bitrate, one picture per metric."""

    x: str = "bitrate_nominal_bps"
    """Metric on the horizontal axis, on a logarithmic scale."""
    y: tuple[str, ...] = Field(min_length=1)
    """Metrics to choose from on the vertical axis; the first is shown first."""


class Question(StrictModel):
    """Something that codecs are ranked by."""

    heading: str
    """What is asked, in a word or two."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns that answer it; their ranks are averaged, each with the same weight."""


class Ranking(StrictModel):
    """Ranks over all questions, among codecs of about the same bitrate."""

    rate: str = "bitrate_nominal_bps"
    """Column of the bitrate."""
    edges_bps: tuple[float, ...] = Field(min_length=2)
    """Where bands of bitrate begin and end, rising: each goes from one up to, and without, the next."""
    questions: tuple[Question, ...] = Field(min_length=1)
    """The ranks of all questions are averaged, each with the same weight."""

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        if list(self.edges_bps) != sorted(set(self.edges_bps)):
            msg = f"edges_bps: expected rising numbers, found {list(self.edges_bps)}"
            raise ValueError(msg)
        return self


class Leaderboard(StrictModel):
    """What a table and its page show."""

    name: str
    """Name of the TOML file and of everything that is made from it."""
    title: str
    """Heading of the page."""
    question: str
    """What the page answers, in one sentence."""
    reading: str
    """How to read the numbers, for somebody who has not seen the metrics before."""
    corpora: Literal["*"] | tuple[str, ...] = "*"
    """Names of the corpora, one table each, in this order; ``*`` for every corpus that has records, first the one
    on which most columns have numbers."""
    codecs: Literal["*"] | tuple[str, ...] = "*"
    """Names of the codecs, anchors apart; ``*`` for every codec that has records, without those that a study
    trained from several seeds: they are compared with each other, on boards that name them."""
    anchors: tuple[str, ...] = ("identity", "noise")
    """Codecs that mark the ceiling and the floor: shown, but neither ranked nor called the best."""
    sort_by: str
    """Column that orders the rows, best first; on a corpus on which it was not measured, the first one that
    was and does not only stand beside others."""
    num_examples: int = Field(default=3, ge=0)
    """Utterances to listen to, per corpus."""
    per_codebook: bool = True
    """Whether page and long table also show what was measured codebook by codebook."""
    plot: Plot | None = None
    """What is drawn above the table."""
    ranking: Ranking | None = None
    """What joins the columns into one order, within bands of bitrate."""
    table_per_group: bool = False
    """Whether each group of columns is a table of its own, ordered by ``sort_by`` or else its first column: for
    tasks that have not much in common."""
    groups: tuple[ColumnGroup, ...] = Field(min_length=1)
    """The columns."""
    shared: tuple[Column, ...] = ()
    """Further columns of every group, at its end."""

    @model_validator(mode="before")
    @classmethod
    def _columns_of_others(cls, values: Any) -> Any:
        """Give groups that are like another one its columns."""
        if not isinstance(values, dict) or not isinstance(values.get("groups"), list):
            return values
        above: dict[str, Any] = {}
        groups: list[Any] = []
        for group in values["groups"]:
            filled = group
            if isinstance(group, dict):
                if group.get("like"):
                    filled = {**group, "columns": _like(group, above)}
                above.setdefault(filled.get("prefix", ""), filled.get("columns"))
            groups.append(filled)
        return {**values, "groups": groups}

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        keys = [key for group in self.groups for key, _ in self._keyed(group)]
        problems = [
            f"column {key!r} stands in the table twice" for key in sorted({k for k in keys if keys.count(k) > 1})
        ]
        wanted = {"sort_by": [self.sort_by]}
        if self.plot:
            wanted |= {"plot.x": [self.plot.x], "plot.y": list(self.plot.y)}
        if self.ranking:
            asked = [key for question in self.ranking.questions for key in question.columns]
            wanted |= {"ranking.rate": [self.ranking.rate], "ranking.questions": asked}
        problems += [
            f"{field} {key!r} is not among the columns ({', '.join(keys)})"
            for field, names in wanted.items()
            for key in names
            if key not in keys
        ]
        if all(group.beside for group in self.groups):
            problems.append("groups: expected one that does not stand beside others")
        if self.table_per_group and (self.plot or self.ranking):
            problems.append("table_per_group: there is neither a plot nor a ranking over several tables")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @cached_property
    def tables(self) -> tuple["Leaderboard", ...]:
        """Leaderboards of one table for each corpus: this one, or one for each of its groups."""
        if not self.table_per_group or len(self.groups) == 1:
            return (self,)
        return tuple(self._table(group) for group in self.groups)

    def _table(self, group: ColumnGroup) -> "Leaderboard":
        keys = list(self.columns_of(group))
        sort_by = self.sort_by if self.sort_by in keys else keys[0]
        return Leaderboard.model_validate(self.model_dump() | {"groups": [group], "sort_by": sort_by})

    def sorted_where(self, is_measured: Callable[[str], bool]) -> "Leaderboard":
        """Return this leaderboard with a ``sort_by`` that ``is_measured`` says was measured, if there is one."""
        asked = [key for group in self.groups if not group.beside for key, _ in self._keyed(group)]
        key = next((key for key in (self.sort_by, *asked) if is_measured(key)), self.sort_by)
        return self if key == self.sort_by else self.model_copy(update={"sort_by": key})

    def columns_of(self, group: ColumnGroup) -> dict[str, Column]:
        """Return the columns of a group by key, from left to right: its own, and those that all have."""
        return dict(self._keyed(group))

    def _keyed(self, group: ColumnGroup) -> Iterator[tuple[str, Column]]:
        for column in (*group.columns, *self.shared):
            yield f"{group.prefix}/{column.key}" if group.prefix else column.key, column

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Every column by key, the name of the column in the CSV, from left to right."""
        return {key: column for group in self.groups for key, column in self._keyed(group)}

    @cached_property
    def task_of(self) -> dict[str, str]:
        """Task id by column key."""
        return {key: group.task for group in self.groups for key, _ in self._keyed(group)}

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that the columns come from, in the order of the groups."""
        return tuple(dict.fromkeys(group.task for group in self.groups))

    @cached_property
    def asked(self) -> frozenset[str]:
        """Ids of the tasks of groups that do not only stand beside others."""
        return frozenset(group.task for group in self.groups if not group.beside)


def _like(group: dict[str, Any], above: dict[str, Any]) -> Any:
    """Return the columns of the group that ``group`` is like, of those ``above`` by their prefix."""
    if "columns" in group:
        msg = f"groups: one that is like {group['like']!r} has no columns of its own"
        raise ValueError(msg)
    if group["like"] not in above:
        msg = f"groups: {group['like']!r} is not the prefix of a group above"
        raise ValueError(msg)
    return above[group["like"]]


def list_leaderboards() -> dict[str, Path]:
    """Return the path of every shipped leaderboard by name, sorted."""
    return {path.stem: path for path in sorted(declarations_dir("leaderboards").glob("*.toml"))}


def find_leaderboard(name: str) -> Leaderboard:
    """Return the leaderboard called ``name``, or the one in the TOML file that ``name`` is the path of.

    Raises :class:`UnknownNameError` or :class:`SpecError`.
    """
    if name.endswith(".toml"):
        path = Path(name)
    else:
        known = list_leaderboards()
        if name not in known:
            raise UnknownNameError("leaderboard", name, known, command="tokbench list leaderboards")
        path = known[name]
    board = read_toml(path, Leaderboard)
    if board.name != path.stem:
        raise SpecError(path, [f"name: expected {path.stem!r}, found {board.name!r}"])
    return board
