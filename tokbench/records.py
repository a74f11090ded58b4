"""Records: the outcome of one (task, codec, setting) on one corpus, as files that a review can read.

``results/<task>/<corpus>/<codec>/<setting>.json`` is the summary, with ``<setting>.parquet`` (one row per
utterance) and ``<setting>.cost.json`` (times and memory, the only file that differs from run to run) beside it,
and the audio of a few utterances in ``<setting>.examples/``.
"""

import glob
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tokbench.errors import RecordError
from tokbench.paths import write_bytes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "EXAMPLES_SUFFIX",
    "CodecSummary",
    "CorpusSummary",
    "Cost",
    "IntervalMethod",
    "MetricSummary",
    "Record",
    "RecordFiles",
    "TaskSummary",
    "component_names",
    "read_cost",
    "read_record",
    "read_records",
    "read_rows",
    "write_json",
]

SCHEMA = 1
NUM_DIGITS = 9
"""Significant digits of the numbers in a summary; the Parquet file keeps them all."""
_MEND = "Get it again from where it came, or measure it again: tokbench run --force replaces it."

EXAMPLES_SUFFIX = ".examples"
"""Of folders with sounds to listen to."""
_LONGEST_NAME_BYTES = 200
"""Of an utterance in the name of a file: file systems allow 255, of which endings take some."""
_UNSAFE = re.compile(r'[\x00-\x1f/\\<>:"|?*]')


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class MetricSummary(_Frozen):
    """One number of a record: a metric over the whole corpus, or over one group of it."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    bounds: tuple[float | None, float | None]
    source: str
    judge: str | None = None
    pooling: Literal["mean", "rms", "max"] = "mean"
    group: str = "all"
    """``all``, or what the number is restricted to: ``codebook 1``, a tone, a language."""
    value: float | None
    """None unless every applicable utterance has a value: a mean over missing cells is missing."""
    low: float | None
    """Lower end of the 95 % interval; None where there is no value or too little to resample."""
    high: float | None
    num_ok: int
    num_total: int
    """Utterances on which the metric is applicable."""
    num_not_applicable: int = 0
    reasons: Mapping[str, int] = {}
    """How often each reason of a failure occurred; or of those why the metric is applicable to no utterance."""

    @property
    def half_width(self) -> float | None:
        """Half of the interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


class TaskSummary(_Frozen):
    """The task that was run."""

    id: str
    kind: str
    question: str
    sha256: str


class CorpusSummary(_Frozen):
    """What was scored."""

    name: str
    reference: str
    num_utterances: int
    duration_s: float | None
    """Seconds of audio, over the utterances that could be read."""
    sha256: str
    licence: str = ""


class CodecSummary(_Frozen):
    """Which codec, in which setting; facts that only a loaded codec knows are None where loading failed."""

    name: str
    title: str
    setting: str
    licence: str
    source: str
    trained_on: tuple[str, ...]
    streams: tuple[str, ...] | None = None
    sample_rate_hz: int | None = None
    num_channels: int | None = None
    bitrate_bps: float | None = None
    causal: bool | None = None
    latency_s: float | None = None
    """Audio beyond a frame's own end that its codes need; infinite where that is the whole utterance."""
    num_parameters: int | None = None
    num_separable_codebooks: int | None = None
    """Codebooks any of which is decoded without the others; None where nothing is decoded."""
    fingerprint: str | None = None
    """Hash of adapter, arguments, packages and weights."""


class IntervalMethod(_Frozen):
    """How the intervals were made."""

    level: float
    method: str
    by: str
    num_resamples: int


class Record(_Frozen):
    """The summary of one cell."""

    schema_version: int = SCHEMA
    task: TaskSummary
    corpus: CorpusSummary
    codec: CodecSummary
    status: Literal["ok", "partial", "failed", "skipped"]
    """``ok``: every metric has a value; ``partial``: some have; ``failed``: none; ``skipped``: never started."""
    reason: str | None = None
    """Why nothing was measured, for ``failed`` and ``skipped``."""
    metrics: tuple[MetricSummary, ...]
    interval: IntervalMethod
    provenance: Mapping[str, Any]
    key: str
    """Hash of all that decides the numbers: a run with the same key need not be repeated."""

    def metric(self, name: str, group: str = "all") -> MetricSummary | None:
        """Return the summary of ``name`` in ``group``, None where the record does not have it."""
        return next((item for item in self.metrics if item.name == name and item.group == group), None)


class Cost(_Frozen):
    """What a cell cost: it depends on the machine and the moment, and so lies apart from the record."""

    schema_version: int = SCHEMA
    metrics: tuple[MetricSummary, ...]
    machine: Mapping[str, Any]
    started_utc: str
    wall_s: float
    learning_s: float = 0.0
    """Seconds of ``wall_s`` in which the runner learnt from the codec, such as training a language model on its
    codes; next to nothing where what it learnt was kept from an earlier run."""
    num_jobs: int


class RecordFiles:
    """Where the files of one cell lie."""

    def __init__(self, results: Path, *, task: str, corpus: str, codec: str, setting: str) -> None:
        self.results = results
        self.stem = results / file_safe(task) / file_safe(corpus) / file_safe(codec) / file_safe(setting)

    @classmethod
    def of(cls, results: Path, record: Record) -> "RecordFiles":
        """Return the files of a record that was read."""
        codec = record.codec
        return cls(results, task=record.task.id, corpus=record.corpus.name, codec=codec.name, setting=codec.setting)

    def _beside(self, ending: str) -> Path:
        return self.stem.with_name(self.stem.name + ending)

    @property
    def record(self) -> Path:
        """Summary."""
        return self._beside(".json")

    @property
    def utterances(self) -> Path:
        """One row per utterance."""
        return self._beside(".parquet")

    @property
    def cost(self) -> Path:
        """Times and memory."""
        return self._beside(".cost.json")

    @property
    def journal(self) -> Path:
        """What is finished of a cell that is not."""
        return self._beside(".journal.sqlite")

    @property
    def examples(self) -> Path:
        """Folder of decoded audio: ``<utterance>.flac`` and its spectrogram ``<utterance>.png``."""
        return self._beside(EXAMPLES_SUFFIX)

    @property
    def originals(self) -> Path:
        """Folder of the audio that went in, shared by all codecs of a task and corpus."""
        return self.stem.parent.parent / f"originals{EXAMPLES_SUFFIX}"


def file_safe(name: str) -> str:
    """Return ``name`` as the name of one file: separators and control characters become ``_``.

    The end of what is too long for a file system gives way to a hash of the whole.

    >>> file_safe("a/b: c")
    'a_b_ c'
    """
    safe = _UNSAFE.sub("_", name)
    safe = f"_{safe}" if safe.startswith(".") or not safe else safe
    if len(safe.encode()) <= _LONGEST_NAME_BYTES:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{safe.encode()[: _LONGEST_NAME_BYTES - len(digest) - 1].decode(errors='ignore')}-{digest}"


def write_json(path: Path, model: BaseModel) -> None:
    """Write ``model`` with sorted keys and :data:`NUM_DIGITS` digits, atomically.

    Raises :class:`RecordError` where the folder refuses the write.
    """
    text = json.dumps(_rounded(model.model_dump(mode="json")), indent=1, sort_keys=True, ensure_ascii=False)
    try:
        write_bytes(path, f"{text}\n".encode())
    except OSError as error:
        raise RecordError.not_writable(path, error) from error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        # JSON has no infinity; pydantic reads this back as a number.
        return "Infinity" if value == math.inf else float(f"{value:.{NUM_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


Model = TypeVar("Model", Record, Cost)


class _Versioned(BaseModel):
    """What a file of any schema says of itself."""

    schema_version: int = SCHEMA


def _read(path: Path, model: type[Model]) -> Model:
    try:
        data = path.read_bytes()
        schema = _Versioned.model_validate_json(data).schema_version
        if schema > SCHEMA:
            msg = f"{path}: written by a newer tokbench: schema {schema}, this one reads {SCHEMA}; update tokbench"
            raise RecordError(msg)
        return model.model_validate_json(data)
    except (OSError, ValidationError) as error:
        reason = str(error) if isinstance(error, OSError) else _first_problem(error)
        msg = f"{path}: not a tokbench {model.__name__.lower()} ({reason}). {_MEND}"
        raise RecordError(msg) from error


def _first_problem(error: ValidationError) -> str:
    item = error.errors()[0]
    return f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg'].lower()}"


def read_rows(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read the rows of the utterances of a cell, all columns or some.

    Raises :class:`RecordError` for a file that cannot be read, or that lacks one of ``columns``.
    """
    import pyarrow as pa  # noqa: PLC0415  (most readers want the summary alone)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.ParquetFile(path).read(None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: not a table of utterances ({' '.join(str(error).split())}). {_MEND}"
        raise RecordError(msg) from error
    if missing := sorted(set(columns or ()).difference(table.column_names)):
        msg = f"{path}: no column {', '.join(missing)}. {_MEND}"
        raise RecordError(msg)
    return table


def component_names(metric: str, seed: int | None = None) -> tuple[str, str]:
    """Return the Parquet columns of what utterances add to ``metric``: its total and its weight.

    ``seed`` is the place of a model among those that were trained for the task from several seeds.

    >>> component_names("wer", 0)
    ('wer.total.seed1', 'wer.weight.seed1')
    """
    end = "" if seed is None else f".seed{seed + 1}"
    return f"{metric}.total{end}", f"{metric}.weight{end}"


def read_record(path: Path) -> Record:
    """Read a summary; raises :class:`RecordError` that names the file and the first thing wrong with it."""
    return _read(path, Record)


def read_cost(path: Path) -> Cost | None:
    """Read what a cell cost, None where that was not kept."""
    return _read(path, Cost) if path.is_file() else None


def read_records(results: Path, *, task: str | None = None) -> Iterator[tuple[Path, Record]]:
    """Yield the records below ``results`` with their paths, in the order of the paths.

    ``task`` is the id of the only task to read; all of them are read where it is None.
    """
    folder = "*" if task is None else glob.escape(file_safe(task))
    for path in sorted(results.glob(f"{folder}/*/*/*.json")):
        if not path.name.endswith(".cost.json"):
            yield path, read_record(path)
