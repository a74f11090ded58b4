"""ABX: whether tokens tell phones, syllables, words or tones apart, within a speaker and across.

Conventions: an item is a phone, a triphone (a phone with both of its neighbours), a syllable, a word, a tone, or a
whole utterance; it has the frames of the utterance's features whose centres lie within it. Where there is none it
has the frame around its middle; an item of an item file is left out, as in published numbers. The features are
embeddings of the codes, or what is asked for. Items are compared in one language only. Errors are averaged over
contexts, speakers, and at last over pairs of categories (and languages): see :mod:`tokbench.metrics.abx`.

Measures: the error within speakers and across. ``all`` is that of all codebooks together; ``codebook 1`` and
``codebooks 1-2`` are those of the first.

Intervals: a bootstrap over cells and over speakers.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tokbench.errors import UndefinedMetricError
from tokbench.records import MetricSummary
from tokbench.runners.abx_items import COLUMNS, AbxArguments, Label, item_file_path, labels_of
from tokbench.runners.base import Bench, Failure, Measurement, Runner, attempt
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.views import ALL, views_of
from tokbench.specs.base import file_sha256
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Features
    from tokbench.corpora.base import Utterance
    from tokbench.corpora.intervals import Tier
    from tokbench.metrics.abx import Condition, Items

__all__ = ["AbxArguments", "AbxRunner"]

WITHIN, ACROSS = "abx_within", "abx_across"


class AbxRunner(Runner):
    """Compares items of equal and of different categories."""

    needs_decoder: ClassVar[bool] = False
    needs_codes: bool = False
    corpus_metrics = (WITHIN, ACROSS)
    interval_method = "percentile bootstrap over cells and speakers"
    facts = {"num_items": "integer"}  # noqa: RUF012  (a constant, typed in the base)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(AbxArguments)
        self.needs_codes = self.arguments.features == "codes"

    @property
    def tier(self) -> "Tier | None":
        """The tier that items are taken from; none for whole utterances, and for those of a file."""
        return self.arguments.tier

    def missing(self) -> str | None:
        """Return that the item file is not there, and where it would be looked for."""
        if not self.arguments.item_file or item_file_path(self.arguments.item_file).is_file():
            return None
        return (
            f"no item file {item_file_path(self.arguments.item_file)}: put it there; those of LibriSpeech are in "
            "https://dl.fbaipublicfiles.com/librilight/data/ABX_data.tgz"
        )

    @property
    def fingerprint(self) -> str:
        """The hash of the item file; empty without one."""
        path = item_file_path(self.arguments.item_file)
        return file_sha256(path) if self.arguments.item_file and path.is_file() else ""

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the features of the utterance, and which of their frames are items."""
        audio = utterance.read()
        labels = list(labels_of(utterance, audio.duration_s, self.arguments))
        # Of those whose speaker has no name, nobody knows whether one person said them.
        labels = [label for label in labels if label.speaker]
        arrays: dict[str, Any] = {}
        num_items = 0
        for name, features in views_of(bench, audio, self.arguments.features) if labels else ():
            found = [(_frames(label, features, self.arguments), label) for label in labels]
            kept = [(frames, label) for frames, label in found if frames.stop > frames.start]
            num_items = len(kept)
            columns = [label.columns for _, label in kept]
            arrays[f"frames:{name}"] = features.values.numpy()
            arrays[f"places:{name}"] = np.array([(f.start, f.stop) for f, _ in kept], np.int64).reshape(-1, 2)
            arrays[f"labels:{name}"] = np.array(columns, np.str_).reshape(-1, len(COLUMNS))
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
                found = attempt(lambda items=items, name=name: self._error(items, name))  # type: ignore[misc]
                value, interval = (None, None) if isinstance(found, Failure) else found
                reasons = {found.reason: kept.num_total} if isinstance(found, Failure) and is_complete else {}
                summaries.append(
                    self.metrics[name].summary(
                        value=value,
                        interval=interval,
                        num_ok=0 if reasons else kept.num_ok,
                        num_total=kept.num_total,
                        reasons=reasons,
                        group=view,
                    )
                )
        return summaries

    def _error(self, items: "Items | None", metric: str) -> tuple[float, tuple[float, float] | None]:
        from tokbench.metrics import abx  # noqa: PLC0415  (the planner knows runners without torch)

        if items is None:
            raise UndefinedMetricError(_NO_ITEMS)
        if self.arguments.pooling != "none":
            items = abx.pooled(items, self.arguments.pooling)
        condition = self._condition(is_across=metric == ACROSS)
        device = None if self.device == "cpu" else self.device
        errors = abx.abx_errors(items, condition, self.arguments.distance, device=device)
        levels = [("previous", "next"), "speaker"] if self.arguments.has_neighbours else ["speaker"]
        value = abx.collapse(errors, condition, levels)
        if not np.isfinite(value):
            raise UndefinedMetricError(_NO_OTHER_SPEAKER if metric == ACROSS else _NO_OTHER_ITEM)
        low, high = abx.bootstrap(errors, condition, levels, speaker="speaker")
        return value, ((low, high) if np.isfinite(low) else None)

    def _condition(self, *, is_across: bool) -> "Condition":
        from tokbench.metrics.abx import Condition  # noqa: PLC0415  (as above)

        shared = ("language", "alike", *(("previous", "next") if self.arguments.has_neighbours else ()))
        return Condition(
            on="category",
            by=shared if is_across else (*shared, "speaker"),
            across="speaker" if is_across else None,
            max_items=self.arguments.max_items or None,
            max_across=self.arguments.max_across or None,
        )


_NO_ITEMS = "there is nothing in this corpus, of a speaker with a name, that could be told apart"
_NO_OTHER_ITEM = "no speaker says one thing twice and another in the same context"
_NO_OTHER_SPEAKER = "no two speakers say the same, and one of them another thing, in the same context"


def _frames(label: Label, features: "Features", arguments: AbxArguments) -> slice:
    from tokbench.metrics.abx import frames_of, some_frames_of  # noqa: PLC0415  (imports torch)

    if not arguments.item_file and not arguments.drop_last_frame:
        return some_frames_of(label.start_s, label.end_s, features.frame_rate_hz, len(features.values))
    # Published numbers are without the items that have no frame.
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
                # Copies, for the frames between items to be forgotten.
                self._frames.setdefault(view, []).extend(frames[first:last].copy() for first, last in places)

    @property
    def views(self) -> list[str]:
        """What was compared."""
        return list(self._frames)

    def items(self, view: str) -> "Items | None":
        """Return all items of ``view``, None if there are none; they can be had once."""
        import pandas as pd  # noqa: PLC0415  (as above)

        from tokbench.metrics.abx import Items  # noqa: PLC0415

        pieces = self._frames.pop(view, [])
        if not pieces:
            return None
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
        labels = pd.DataFrame(np.concatenate(self._labels[view]), columns=list(COLUMNS))
        return Items(np.concatenate(pieces), starts, labels)
