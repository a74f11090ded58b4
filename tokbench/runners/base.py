"""What a runner is, and what it has to work with.

A runner measures one utterance after another, in any process, and keeps nothing of one for the next but what it did
for a few of them at once: whatever has to be summed up over a corpus travels in a :class:`Measurement`.
"""

import difflib
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from tokbench.errors import NotApplicableError, NotSupportedError, SpecError, TokbenchError
from tokbench.metrics.base import Metric, Score
from tokbench.metrics.catalogue import METRICS
from tokbench.records import CodecSummary, MetricSummary
from tokbench.specs.task import Task

if TYPE_CHECKING:
    import numpy as np

    from tokbench.audio import Audio
    from tokbench.codecs.base import Tokenizer
    from tokbench.codes import Codes
    from tokbench.corpora.base import Utterance
    from tokbench.corpora.intervals import Tier
    from tokbench.store import CodeStore, StoredCodes

__all__ = ["Bench", "Failure", "Leaving", "Measurement", "Pooled", "Runner", "attempt", "reason_of"]

Result = TypeVar("Result")
Fact = str | int | float | bool | None

TEXT = "text"
"""The fact by which utterances are resampled where a task says ``interval_by = "text"``."""
_MOST_NAMES = 12
"""Metrics of a kind that an error lists."""
_BENEATH = frozenset({"tokbench", "torch", *sys.stdlib_module_names})
"""Packages that only pass on what a codec got wrong."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result."""

    reason: str
    is_not_applicable: bool = False
    """True if the reference alone is the reason, so that no codec could have had a result."""


class Leaving(SystemExit):
    """This process was told to end, which is no failure of what it was doing."""


def attempt(function: Callable[[], Result], *, is_last: bool = False) -> Result | Failure:
    """Return ``function()``, or why it failed: the one boundary at which an exception becomes a record.

    Ctrl-C and the order to end this process go on their way, and so does ``torch.AcceleratorError``, after which
    the GPU does nothing more for this process, unless ``is_last``: nobody else is there to hear of it. A codec that
    calls ``sys.exit`` has failed.
    """
    try:
        return function()
    except Leaving:
        raise
    except NotApplicableError as error:
        return Failure(str(error), is_not_applicable=True)
    except (Exception, SystemExit) as error:  # a codec may raise anything; it must cost its own cell only
        if type(error).__name__ == "AcceleratorError" and not is_last:  # the planner knows runners without torch
            raise
        return Failure(reason_of(error))


def reason_of(error: BaseException) -> str:
    """Return what ``error`` says, and where it was raised unless it is a sentence of ours.

    The place is the innermost one outside tokbench, PyTorch and Python's own library, if there is one: ``KeyError:
    'boom' (bad.py:12, in _encode)``. Of the file it has the name alone, since reasons stand in records.
    """
    if isinstance(error, TokbenchError):
        return str(error)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    places = list(traceback.walk_tb(error.__traceback__))
    outside = [place for place in places if _package(place[0]) not in _BENEATH]
    if not places:
        return said
    frame, line = (outside or places)[-1]
    code = frame.f_code
    return f"{said} ({Path(code.co_filename).name}:{line}, in {code.co_name})"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@dataclass
class Measurement:
    """What a runner found on one utterance."""

    scores: dict[str, Score] = field(default_factory=dict)
    """Components of each metric that has a value."""
    failures: dict[str, Failure] = field(default_factory=dict)
    """Why the others have none, by metric."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """Further columns of the utterance's row: delays, counts."""
    costs: dict[str, Score] = field(default_factory=dict)
    """Times and memory, which differ from run to run and are kept apart."""
    payload: bytes | None = None
    """Whatever :meth:`Runner.summarise` needs of this utterance, packed."""
    examples: dict[str, bytes] = field(default_factory=dict)
    """Files to keep for listening and looking: ``decoded.flac``, ``decoded.png``, ``original.flac``, …"""
    audio_sha256: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Bench:
    """A loaded tokenizer with the cache of its codes."""

    tokenizer: "Tokenizer"
    fingerprint: str
    store: "CodeStore | None"
    reference: str = ""
    """What asks for the tokenizer again."""
    seed: int = 0
    """That of the run."""
    device: str = "cpu"

    def encode(self, audio: "Audio") -> "StoredCodes":
        """Return the codes of ``audio``, from the cache where they are, and the seconds that encoding took.

        The audio is mixed and resampled to the format of the tokenizer first.
        """
        from tokbench.store import StoredCodes  # noqa: PLC0415  (the planner knows runners without torch)

        info = self.tokenizer.info
        prepared = audio.to_channels(info.num_channels).resample(info.sample_rate_hz)
        stored = self.store.get(self.fingerprint, prepared.sha256) if self.store else None
        if stored is None:
            codes, seconds = timed(lambda: self.tokenizer.encode(prepared))
            stored = StoredCodes(codes, seconds)
            if self.store:
                self.store.put(self.fingerprint, prepared.sha256, stored)
        return stored

    def decode(self, codes: "Codes", codebooks: slice = slice(None)) -> "tuple[Audio, float]":
        """Return the audio of the chosen codebooks of ``codes``, and the seconds that decoding took."""
        from tokbench.codecs.base import Codec  # noqa: PLC0415  (as above)

        if not isinstance(self.tokenizer, Codec):
            raise NotSupportedError(self.tokenizer.info.name, "decoding")
        codec = self.tokenizer
        return timed(lambda: codec.decode(codes, codebooks))


@dataclass(frozen=True)
class Pooled:
    """What the utterances of a cell come to, taken together."""

    summaries: Sequence[MetricSummary]
    components: "Mapping[str, np.ndarray]" = field(default_factory=dict)
    """What each utterance adds to a metric, as far as that is a ratio of sums: totals and weights, float64
    [N, S, 2], of ``N`` utterances in corpus order and ``S`` seeds that a model was trained from, the mean of whose
    ratios is the value. 0 where there is nothing to measure, NaN where measuring failed. With them, tokenizers are
    compared utterance by utterance."""


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """Return ``function()`` and its wall time in seconds."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


class Runner(ABC):
    """Carries out one kind of task."""

    needs_decoder: ClassVar[bool]
    """Whether the task makes no sense for tokenizers that only encode."""
    needs_codes: bool = True
    """Whether it makes no sense for continuous tokenizers, which have latents only."""
    utterance_metrics: ClassVar[Collection[str]] = ()
    """Metrics that :meth:`measure` scores, where the task names them."""
    cost_metrics: ClassVar[Sequence[str]] = ()
    """Names in :attr:`Measurement.costs`, which no task names."""
    corpus_metrics: ClassVar[Sequence[str]] = ()
    """Metrics that :meth:`summarise` returns, and that no single utterance has."""
    interval_method: ClassVar[str] = "percentile bootstrap"
    """How intervals are made: of what is measured utterance by utterance, and of :attr:`corpus_metrics`."""
    facts: ClassVar[Mapping[str, Literal["integer", "number", "boolean", "text"]]] = {}
    """Names and types of :attr:`Measurement.facts`."""
    device: str = "cpu"
    """Where :meth:`summarise` may compute, as the command says."""
    num_at_once: int = 1
    """Utterances that a worker gets at a time, for :meth:`work_ahead`."""

    def __init__(self, task: Task) -> None:
        """Raise :class:`SpecError` where the task names metrics that its kind does not have."""
        known = self.known_metrics()
        if foreign := [name for name in task.metrics if name not in known]:
            raise SpecError(task.id, [self._no_such_metrics(task.kind, foreign)])
        if task.interval_by == TEXT and TEXT not in self.facts:
            problem = f"interval_by: a task of the kind {task.kind} resamples utterances or speakers, and no texts"
            raise SpecError(task.id, [problem])
        self.task = task
        self.metrics: Mapping[str, Metric] = {name: METRICS[name] for name in task.metrics}

    @classmethod
    def known_metrics(cls) -> frozenset[str]:
        """Return the metrics that a task of this kind may name."""
        return frozenset(METRICS.keys() & {*cls.utterance_metrics, *cls.corpus_metrics})

    @classmethod
    def interval_method_of(cls, metrics: Iterable[str]) -> str:  # noqa: ARG003  (some kinds treat one apart)
        """Return how intervals of ``metrics`` are made, as records tell it."""
        return cls.interval_method

    @classmethod
    def _no_such_metrics(cls, kind: str, names: Sequence[str]) -> str:
        """Return what is wrong with ``names``, and what there is, the likeliest first."""

        def distance(known: str) -> tuple[float, str]:
            return -max(difflib.SequenceMatcher(None, known, name).ratio() for name in names), known

        there = sorted(cls.known_metrics(), key=distance)
        others = len(there) - _MOST_NAMES
        listed = ", ".join(there[:_MOST_NAMES]) + (f" and {others} others" if others > 0 else "")
        costs = [name for name in names if name in cls.cost_metrics]
        told = f"; costs such as {costs[0]} are recorded without being named" if costs else ""
        return f"metrics: a task of the kind {kind} has no {', '.join(names)}{told}; expected some of {listed}"

    @property
    def tier(self) -> "Tier | None":
        """What must be known of an utterance to measure it: its intervals on this tier; None for nothing."""
        return None

    def missing(self) -> str | None:
        """Return what the task needs and this machine lacks, in one sentence; None for nothing."""
        return None

    def prepare(self) -> None:  # noqa: B027  (most tasks need nothing)
        """Make what the task needs and what can be made here, before anything is measured; at first nothing.

        Called once for each cell, in the process that writes the record; the other ones find what was made.
        """

    def learn(self, bench: Bench) -> None:  # noqa: B027  (as above)
        """Learn what the task needs from the tokenizer's output on other data, before anything is measured.

        Called once for each cell that is not finished, in a worker, after :meth:`prepare`; it may take hours, and
        goes on where an earlier call was interrupted. Other processes find what was learnt.
        """

    def work_ahead(self, bench: Bench, utterances: "Sequence[Utterance]") -> None:  # noqa: B027  (as above)
        """Do at once what is faster for several utterances that :meth:`measure` is asked about one by one then.

        The numbers are the same without it, but for rounding; where it fails, each is measured on its own.
        """

    @property
    def fingerprint(self) -> str:
        """What decides the numbers beside task and codec, such as the weights of a judge; empty for nothing."""
        return ""

    def declines(self, codec: CodecSummary) -> str | None:  # noqa: ARG002
        """Return why the task makes no sense for ``codec``, in one sentence; None where it does."""
        return None

    @abstractmethod
    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:
        """Return what is found on one utterance; raises whatever keeps it from being measured at all."""

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:  # noqa: ARG002
        """Return the numbers that are no sum over utterances, from the payloads in corpus order."""
        return []

    def pool(self, payloads: Iterable[bytes | None]) -> Pooled:
        """Return what :meth:`summarise` does, and what single utterances add to it where that can be told."""
        return Pooled(self.summarise(payloads))
