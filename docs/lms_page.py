"""The tables of ``docs/lms.md``: of specs, and of records; called by ``docs/generate.py``."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from findings_records import Records, number, rate, table, told

from tokbench.leaderboard.cells import SourceRecord
from tokbench.metrics.catalogue import METRICS
from tokbench.runners.lm_scores import ALL, CEILING, GUESS, INPUT, ORIGINAL, SHUFFLED, SWAPPED, UNTRAINED
from tokbench.specs.codec import find_spec, list_lms
from tokbench.specs.layouts import Parallel
from tokbench.specs.lm import LmSpec, Stage
from tokbench.specs.scales import FULL_SCALE
from tokbench.specs.task import Task, find_task, list_tasks

__all__ = ["lms_page"]

GROUPS = {
    ALL: "model",
    CEILING: "resynthesis",
    ORIGINAL: "original",
    INPUT: "input",
    UNTRAINED: "untrained",
    SHUFFLED: "shuffled codes",
    SWAPPED: "swapped",
    GUESS: "one answer",
}
BEGIN, END = "<!-- {name}: made by docs/generate.py -->\n", "<!-- end of {name} -->"
BUDGET = ("lm_num_parameters", "lm_num_steps", "lm_num_tokens", "lm_audio_s")


def lms_page(text: str, results: Path) -> str:
    """Return ``text``, that of the page, with tables made anew from the specs and the records in ``results``."""
    records = Records(results)
    made: dict[str, Callable[[], Iterator[str]]] = {
        "specs": lambda: _specs(_tokenizers(records)),
        "records": lambda: _records(records),
    }
    for name, lines in made.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, _, rest = text.partition(begin)
        text = "\n".join([f"{before}{begin}", *lines(), "", f"{end}{rest.partition(end)[2]}"])
    return text


def _tokenizers(records: Records) -> Mapping[str, set[str]]:
    """Return the tokenizers whose codes each language model was trained on, both by name."""
    found: dict[str, set[str]] = defaultdict(set)
    for task in _tasks():
        sources = records.of(task.id, task.metrics[0])
        found[task.arguments["lm"]].update(source.record.codec.name for source in sources)
    return found


def _tasks() -> list[Task]:
    tasks = [find_task(name)[0] for name in list_tasks()]
    return [task for task in tasks if task.kind.startswith("lm")]


def _specs(tokenizers: Mapping[str, set[str]]) -> Iterator[str]:
    rows = []
    for name in list_lms():
        spec, _ = find_spec(name, FULL_SCALE)
        assert isinstance(spec, LmSpec)
        stages = "; ".join(f"{each}: {_stage(stage)}" for each, stage in spec.stages.items())
        measured = sorted(tokenizers.get(name, ()))
        rows.append([f"`{name}`", spec.source, stages, _named(spec.forms), _named(measured)])
    yield from table(("spec", "source", "stages", "forms", "measured with"), rows)


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _stage(stage: Stage) -> str:
    """Return what a stage predicts and, of codes in several codebooks, in which order."""
    layouts = dict.fromkeys(part.layout.kind for part in stage.outputs.values())
    return ", ".join([stage.objective.kind, *(kind for kind in layouts if kind != Parallel().kind)])


def _records(records: Records) -> Iterator[str]:
    asked = [task for task in _tasks() if records.of(task.id, task.metrics[0])]
    if not asked:
        yield "No records yet."
    for place, task in enumerate(asked):
        yield from ([""] if place else [])
        yield f"**`{task.name}`**: {task.question} ({_measure(task)})"
        yield ""
        yield from _answers(task, records)


def _measure(task: Task) -> str:
    metric = METRICS[task.metrics[0]]
    better = {"higher": ", higher is better", "lower": ", lower is better", None: ""}[metric.better]
    seeds = task.arguments.get("num_seeds", 1)
    return f"{metric.title}{better}; {seeds} seed{'s' if seeds > 1 else ''}"


def _answers(task: Task, records: Records) -> Iterator[str]:
    metric = task.metrics[0]
    sources = records.of(task.id, metric)
    groups = [group for group in GROUPS if any(number(source, metric, group) for source in sources)]
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0
    rows = []
    for source in sorted(
        sources, key=lambda item: (item.record.corpus.name, sign * _value(item, metric), item.label)
    ):
        budget = [number(source, name) for name in BUDGET]
        rows.append(
            [
                source.record.corpus.name,
                f"`{source.label}`",
                rate(source),
                *(told(number(source, metric, group)) for group in groups),
                *(f"{found.value:,.0f}" if found and found.value is not None else "" for found in budget),
            ]
        )
    heads = (
        "corpus",
        "tokenizer",
        "kbit/s",
        *(GROUPS[group] for group in groups),
        "parameters",
        "steps",
        "tokens",
        "audio, s",
    )
    yield from table(heads, rows)


def _value(source: SourceRecord, metric: str) -> float:
    summary = number(source, metric)
    return (summary.value if summary else None) or 0.0
