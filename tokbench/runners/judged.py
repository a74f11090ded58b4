"""What tasks have in common in which a judge listens."""

import dataclasses
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import Field

from tokbench.runners.base import Bench, Runner
from tokbench.runners.views import ALL, CHOICE, chosen
from tokbench.specs.base import StrictModel

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.judges.base import Judge
    from tokbench.records import CodecSummary
    from tokbench.specs.task import Task

__all__ = ["JudgedArguments", "JudgedRunner"]

JudgeType = TypeVar("JudgeType", bound="Judge")


class JudgedArguments(StrictModel):
    """What tasks have in common in which a judge listens."""

    codebooks: str = Field(default=ALL, pattern=f"^({CHOICE})$")
    """Those that are decoded, without the others: ``all``, ``1``, ``2:`` or ``1:4``, the first one being 1."""


class JudgedRunner(Runner, Generic[JudgeType]):
    """A runner that is nothing without its judge, and whose numbers bear the name of it."""

    arguments: JudgedArguments

    def __init__(self, task: "Task") -> None:
        super().__init__(task)
        self._read_arguments(task)
        if not self._is_taught and self._judge.missing() is None:
            self._name_judge()

    @property
    def _is_taught(self) -> bool:
        """Whether there is no judge before :meth:`prepare`, which may take minutes."""
        return False

    def _name_judge(self) -> None:
        """Say in the metrics who listens."""
        label = self._judge.label
        self.metrics = {name: dataclasses.replace(metric, judge=label) for name, metric in self.metrics.items()}

    @abstractmethod
    def _read_arguments(self, task: "Task") -> None:
        """Take over the arguments of ``task``, which name the judge."""

    @abstractmethod
    def _find_judge(self) -> JudgeType:
        """Return the judge that the arguments name."""

    @cached_property
    def _judge(self) -> JudgeType:
        return self._find_judge()

    def missing(self) -> str | None:
        """Return what the judge lacks."""
        return self._judge.missing()

    def declines(self, codec: "CodecSummary") -> str | None:
        """Return that the chosen codebooks are not decoded without the others."""
        choice, number = self.arguments.codebooks, codec.num_separable_codebooks
        if choice == ALL or number is None or range(number)[chosen(choice)]:
            return None
        if number == 0:
            return f"{codec.name} decodes no codebook without the others"
        return f"the task decodes codebooks {choice!r} alone, and {codec.name} has {number}"

    @property
    def fingerprint(self) -> str:
        """Name, version and weights of the judge."""
        return self._judge.label

    def _decoded(self, bench: Bench, audio: "Audio") -> "Audio":
        """Return what the judge is to hear: what the chosen codebooks of ``audio`` are decoded to."""
        decoded, _ = bench.decode(bench.encode(audio).codes, chosen(self.arguments.codebooks))
        return decoded
