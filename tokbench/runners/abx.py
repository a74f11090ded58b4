"""ABX: whether tokens tell phones, words or tones apart, within a speaker and across.

Conventions: an item is a phone, a triphone (a phone with both of its neighbours), a word, a tone, or a whole
utterance; it has the frames of the utterance's features whose centres lie within it, and is left out where there is
none. The features are embeddings of the codes, or what is asked for. Items are compared in one language only.
Errors are averaged over contexts, speakers, and at last over pairs of categories (and languages): see
:mod:`tokbench.metrics.abx`.

Measures: the error within speakers and across. ``all`` is that of all codebooks together; ``codebook 1`` and
``codebooks 1-2`` are those of the first.

Intervals: a bootstrap over cells and over speakers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tokbench.records import MetricSummary
from tokbench.runners.base import Bench, Measurement, Runner
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.views import ALL, FeatureKind, views_of
from tokbench.specs.base import StrictModel
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Features
    from tokbench.corpora.base import Utterance
    from tokbench.corpora.intervals import Interval, Tier
    from tokbench.metrics.abx import Condition, Items

__all__ = ["AbxArguments", "AbxRunner"]

_TIERS: Mapping[str, "Tier"] = {"phone": "phone", "triphone": "phone", "word": "word", "tone": "tone"}
WITHIN, ACROSS = "abx_within", "abx_across"


class AbxArguments(StrictModel):
    """The ``[arguments]`` of an ABX task."""

    items: Literal["phone", "triphone", "word", "tone", "utterance"] = "triphone"
    """What is to be told apart. A triphone is of its middle phone."""
    category: str = "label"
    """Of whole utterances: the column of the corpus that says what they are, or ``text``."""
    context: Literal["within", "any"] = "within"
    """Whether A, B and X have the same neighbours: of phones alone."""
    alike: tuple[str, ...] = ()
    """Of whole utterances: columns that A, B and X have in common."""
    features: FeatureKind = "quantized"
    """What is compared."""
    distance: Literal["angular", "cosine", "euclidean", "kl-symmetric", "identical"] = "angular"
    """Of two frames."""
    pooling: Literal["none", "mean"] = "none"
    """Whether an item is its frames, or their mean."""
    max_items: int | None = Field(default=10, gt=1)
    """Items of one category, context and speaker that are used at most: ``max_size_group`` of Libri-Light."""
    max_across: int | None = Field(default=5, gt=0)
    """Other speakers from whom X is taken at most: ``max_x_across`` of Libri-Light."""
    drop_last_frame: bool = False
    """Whether an item goes without its last frame, as in the code of Libri-Light."""


class AbxRunner(Runner):
    """Compares items of equal and of different categories."""

    needs_decoder: ClassVar[bool] = False
    needs_codes: ClassVar[bool] = False
    corpus_metrics = (WITHIN, ACROSS)
    facts = {"num_items": "integer"}  # noqa: RUF012  (a constant, typed in the base)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(AbxArguments)

    @property
    def tier(self) -> "Tier | None":
        """The tier that items are taken from; none for whole utterances."""
        return _TIERS.get(self.arguments.items)

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the features of the utterance, and which of their frames are items."""
        audio = utterance.read()
        views = dict(views_of(bench, audio, self.arguments.features))
        labels = list(_labels(utterance, audio.duration_s, self.arguments))
        arrays: dict[str, Any] = {}
        num_items = 0
        for name, features in views.items():
            found = [(_frames(label, features, self.arguments), label) for label in labels]
            kept = [(frames, label) for frames, label in found if frames.stop > frames.start]
            num_items = len(kept)
            columns = [label.columns for _, label in kept]
            arrays[f"frames:{name}"] = features.values.numpy()
            arrays[f"places:{name}"] = np.array([(f.start, f.stop) for f, _ in kept], np.int64).reshape(-1, 2)
            arrays[f"labels:{name}"] = np.array(columns, np.str_).reshape(-1, len(_COLUMNS))
        return Measurement(
            facts={"num_items": num_items},
            payload=pack_arrays(**arrays),
            audio_sha256=audio.sha256,
            duration_s=audio.duration_s,
        )

    def summarise(self, payloads: Iterable[bytes | None]) -> list[MetricSummary]:
        """Return the errors within and across speakers, of all codebooks and of the first few."""
        kept = _Collected()
        for payload in payloads:
            kept.add(payload)
        is_complete = kept.num_ok == kept.num_total
        summaries = []
        for view in kept.views if is_complete and kept.views else [ALL]:
            items = kept.items(view) if is_complete else None
            for name in self.task.metrics:
                value, interval = self._error(items, name)
                summaries.append(
                    self.metrics[name].summary(
                        value=value, interval=interval, num_ok=kept.num_ok, num_total=kept.num_total, group=view
                    )
                )
        return summaries

    def _error(self, items: "Items | None", metric: str) -> tuple[float | None, tuple[float, float] | None]:
        from tokbench.metrics import abx  # noqa: PLC0415  (the planner knows runners without torch)

        if items is None:
            return None, None
        if self.arguments.pooling == "mean":
            items = abx.pooled(items)
        condition = self._condition(is_across=metric == ACROSS)
        errors = abx.abx_errors(items, condition, self.arguments.distance)
        levels = [("previous", "next"), "speaker"] if self._has_contexts else ["speaker"]
        value = abx.collapse(errors, condition, levels)
        low, high = abx.bootstrap(errors, condition, levels, speaker="speaker")
        return (
            value if np.isfinite(value) else None,
            (low, high) if np.isfinite(low) else None,
        )

    @property
    def _has_contexts(self) -> bool:
        return self.arguments.context == "within" and self.tier == "phone"

    def _condition(self, *, is_across: bool) -> "Condition":
        from tokbench.metrics.abx import Condition  # noqa: PLC0415  (as above)

        shared = ("language", "alike", *(("previous", "next") if self._has_contexts else ()))
        return Condition(
            on="category",
            by=shared if is_across else (*shared, "speaker"),
            across="speaker" if is_across else None,
            max_items=self.arguments.max_items,
            max_across=self.arguments.max_across,
        )


@dataclass(frozen=True)
class _Label:
    """An item before its frames are known."""

    start_s: float
    end_s: float
    columns: tuple[str, str, str, str, str, str]
    """Those of :data:`_COLUMNS`."""


_COLUMNS = ("category", "previous", "next", "speaker", "language", "alike")


def _labels(utterance: "Utterance", duration_s: float, arguments: AbxArguments) -> Iterator[_Label]:
    speaker, language = utterance.speaker, utterance.language
    if arguments.items == "utterance":
        category = _column(utterance, arguments.category)
        alike = "\t".join(_column(utterance, name) for name in arguments.alike)
        if category:
            yield _Label(0.0, duration_s, (category, "", "", speaker, language, alike))
        return
    intervals = utterance.intervals
    for place, interval in enumerate(intervals):
        before = intervals[place - 1] if place else None
        after = intervals[place + 1] if place + 1 < len(intervals) else None
        around = ("", "") if arguments.items in {"word", "tone"} else (_name(before), _name(after))
        first, last = interval, interval
        if arguments.items == "triphone":
            if before is None or after is None or not _touch(before, interval) or not _touch(interval, after):
                continue
            first, last = before, after
        yield _Label(first.start_s, last.end_s, (interval.label, *around, speaker, language, ""))


def _column(utterance: "Utterance", name: str) -> str:
    return utterance.text if name == "text" else utterance.labels.get(name, "")


def _name(interval: "Interval | None") -> str:
    return interval.label if interval is not None else ""


def _touch(first: "Interval", second: "Interval") -> bool:
    """Say whether nothing lies between two intervals: a pause makes no context."""
    return second.start_s - first.end_s < _LONGEST_GAP_S


_LONGEST_GAP_S = 1e-3


def _frames(label: _Label, features: "Features", arguments: AbxArguments) -> slice:
    from tokbench.metrics.abx import frames_of  # noqa: PLC0415  (imports torch)

    found = frames_of(label.start_s, label.end_s, features.frame_rate_hz, drop_last=arguments.drop_last_frame)
    return slice(found.start, min(found.stop, len(features.values)))


class _Collected:
    """Items of all utterances, view by view."""

    def __init__(self) -> None:
        self.num_ok = self.num_total = 0
        self._frames: dict[str, list[np.ndarray]] = {}
        self._labels: dict[str, list[np.ndarray]] = {}

    def add(self, payload: bytes | None) -> None:
        """Take the items of an utterance."""
        self.num_total += 1
        if payload is None:
            return
        self.num_ok += 1
        with open_arrays(payload) as file:
            for key in file.files:
                kind, _, view = key.partition(":")
                if kind != "frames":
                    continue
                self._labels.setdefault(view, []).append(file[f"labels:{view}"])
                frames, places = file[key], file[f"places:{view}"]
                self._frames.setdefault(view, []).extend(frames[first:last] for first, last in places)

    @property
    def views(self) -> list[str]:
        """What was compared."""
        return list(self._frames)

    def items(self, view: str) -> "Items | None":
        """Return all items of ``view``, None if there are none."""
        import pandas as pd  # noqa: PLC0415  (as above)

        from tokbench.metrics.abx import Items  # noqa: PLC0415

        pieces = self._frames.get(view, [])
        if not pieces:
            return None
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
        labels = pd.DataFrame(np.concatenate(self._labels[view]), columns=list(_COLUMNS))
        return Items(np.concatenate(pieces), starts, labels)
