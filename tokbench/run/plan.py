"""The plan: which cells a request means, settled before any work starts.

A cell is one (task, codec, setting) on one corpus. Everything wrong with the request is found here, so that
nothing fails in hour three that could have been known in second one.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokbench.codecs.registry import CodecReference, expand, fingerprint, is_code, list_cards, require_installed
from tokbench.corpora.base import Corpus
from tokbench.corpora.registry import open_corpus
from tokbench.errors import MissingLibraryError, MissingPackageError, RecordError, UsageError
from tokbench.records import Record, RecordFiles, read_record
from tokbench.runners.base import Runner
from tokbench.runners.registry import make_runner
from tokbench.specs.task import Task, find_task

__all__ = ["Cell", "CellSpec", "Options", "build_plan"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run, as far as it may change what is measured or where it goes."""

    results: Path = Path("results")
    corpus: str | None = None
    """Corpus reference; None for each task's own."""
    weights: Path | None = None
    device: str = "cpu"
    seed: int = 0
    limit: int | None = None
    """Only this many utterances from the beginning of the corpus."""
    num_examples: int = 3
    """Utterances, spread over the corpus, whose decoded audio is kept."""


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """What a worker process needs to know of a cell; small, and safe to send."""

    task: Task
    codec: CodecReference
    device: str
    weights: Path | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell with everything that its record will say and that is known before it is run."""

    spec: CellSpec
    task_sha256: str
    corpus: Corpus
    files: RecordFiles
    options: Options
    skip_reason: str | None = None

    @property
    def label(self) -> str:
        """``codec:setting · task · corpus``, for people."""
        return f"{self.spec.codec.label} · {self.spec.task.id} · {self.corpus_name}"

    @property
    def limit(self) -> int | None:
        """How many utterances are measured where that is not all of them."""
        return _limit(self.corpus, self.options)

    @property
    def corpus_name(self) -> str:
        """What the record calls the corpus, and where it lies: a part of a corpus is another one."""
        return _name(self.corpus, self.options)

    @property
    def num_utterances(self) -> int:
        """Utterances to measure, ``limit`` considered."""
        return len(self.corpus) if self.limit is None else self.limit

    def key(self, runner: Runner, fingerprint: str, versions: str) -> str:
        """Return the hash of all that decides the numbers that ``runner`` finds in this cell."""
        parts = (
            self.task_sha256,
            fingerprint,
            self.corpus.sha256,
            self.spec.device.partition(":")[0],
            str(self.spec.seed),
            str(self.limit),
            str(self.options.num_examples),
            versions,
            *([self.corpus.intervals_sha256] if runner.tier else []),
            *([runner.fingerprint] if runner.fingerprint else []),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def build_plan(codecs: Sequence[str], tasks: Sequence[str], options: Options) -> list[Cell]:
    """Return the cells of a request, in the order in which they will run: task by task, codec by codec.

    Raises :class:`tokbench.errors.UsageError` for anything that the user has to correct, a results folder that
    cannot be written included.
    """
    references = _told_apart([reference for text in codecs for reference in expand(text)])
    found = [_on_corpus(*find_task(name), options.corpus) for name in tasks]
    runners = {task.id: make_runner(task) for task, _ in found}
    _check_writable(options.results)
    corpora = {name: open_corpus(name) for name in dict.fromkeys(task.corpus for task, _ in found)}
    plan = [
        _cell(runners[task.id], sha256, reference, corpora[task.corpus], options)
        for task, sha256 in found
        for reference in references
    ]
    for cell in plan:
        if (recorded := _recorded(cell)) is not None:
            _keep_shipped(cell, recorded)
            _keep_corpus(cell, recorded)
    return plan


def _recorded(cell: Cell) -> Record | None:
    """Return the record of an earlier run; None where there is none, or none that can be read.

    Whether that may be replaced is known when the cell is run.
    """
    with contextlib.suppress(RecordError):
        return read_record(cell.files.record)
    return None


def _limit(corpus: Corpus, options: Options) -> int | None:
    return options.limit if options.limit is not None and options.limit < len(corpus) else None


def _name(corpus: Corpus, options: Options) -> str:
    limit = _limit(corpus, options)
    return corpus.name if limit is None else f"{corpus.name}.first-{limit}"


def _told_apart(references: Sequence[CodecReference]) -> list[CodecReference]:
    """Return ``references`` once each; raises :class:`UsageError` for two codecs of one name."""
    found: dict[str, CodecReference] = {}
    for reference in references:
        other = found.setdefault(reference.label, reference)
        if other.text != reference.text:
            msg = (
                f"{other.text} and {reference.text} are both called {reference.label}, and would share a record: "
                "give one of them another name, or run it by itself with other --results"
            )
            raise UsageError(msg)
    return list(found.values())


def _keep_shipped(cell: Cell, recorded: Record) -> None:
    """Raise :class:`UsageError` where another codec would replace a record of the shipped one of its name."""
    codec = cell.spec.codec
    is_shipped = codec.folder is None and not is_code(codec.card.adapter)
    if is_shipped or codec.card.name not in list_cards():
        return
    shipped = next((each for each in expand(f"{codec.card.name}:all") if each.setting == codec.setting), None)
    if shipped is not None and recorded.codec.fingerprint == fingerprint(shipped):
        msg = (
            f"{cell.files.record} is of the {codec.label} that comes with tokbench, and {codec.text} is another "
            "codec of that name: give it another name, or run it with other --results"
        )
        raise UsageError(msg)


def _keep_corpus(cell: Cell, record: Record) -> None:
    """Raise :class:`UsageError` where a record of another corpus of the same name would be replaced."""
    corpus, recorded = cell.corpus, record.corpus
    if recorded.sha256 == corpus.sha256:
        return
    if recorded.reference == corpus.reference:
        which = f"another {corpus.reference}, or of what that was before it changed"
    else:
        which = f"{recorded.reference}, and {corpus.reference} another one of its name"
    msg = f"{cell.files.record} is of {which}: run it with other --results, or delete the record"
    raise UsageError(msg)


def _on_corpus(task: Task, sha256: str, corpus: str | None) -> tuple[Task, str]:
    """Return ``task`` on the corpus that was asked for, where one was; it is no other task for that."""
    return (task if corpus is None else task.model_copy(update={"corpus": corpus})), sha256


def _cell(runner: Runner, sha256: str, codec: CodecReference, corpus: Corpus, options: Options) -> Cell:
    task = runner.task
    return Cell(
        spec=CellSpec(task=task, codec=codec, device=options.device, weights=options.weights, seed=options.seed),
        task_sha256=sha256,
        corpus=corpus,
        files=RecordFiles(
            options.results,
            task=task.id,
            corpus=_name(corpus, options),
            codec=codec.card.name,
            setting=codec.setting,
        ),
        options=options,
        skip_reason=_skip_reason(runner, codec, corpus),
    )


def _skip_reason(runner: Runner, codec: CodecReference, corpus: Corpus) -> str | None:
    try:
        require_installed(codec.card)
    except (MissingPackageError, MissingLibraryError) as error:
        return str(error)
    if (lack := runner.missing()) is not None:
        return lack
    tier = runner.tier
    if tier is not None and not corpus.has_intervals:
        return f"{corpus.name} has no alignments: {runner.task.id} asks for intervals of the tier {tier}"
    return None


def _check_writable(results: Path) -> None:
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise RecordError.not_writable(results, error) from error
