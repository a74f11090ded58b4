"""Recognition from tokens: how well a small recognizer, trained on the tokens, writes down what is said.

Conventions: an item is a whole utterance, its text phones (of the alignments, or of the text where a corpus has
none) or characters without case and punctuation. The tokenizer stays as it is; a network is trained by CTC with the
recipe of the task, from several seeds. Speakers, or whatever the task names, are dealt into folds, and each fold is
the test once; or a column of the corpus tells training and test. Utterances of which it is not known what is said
take no part.

Measures: errors by phones, words or characters of all utterances of the test, means over seeds; words and
characters are compared after the normalization of :mod:`tokbench.metrics.recognition`. Beside them those of a
network on what was quantized, which is the ceiling. ``all`` is that of all codebooks together, ``codebook 1`` of
the first.

Intervals: a bootstrap over the speakers (or utterances) of the test and over seeds.

Source: Graves et al. 2006, Connectionist temporal classification; DASB (Mousavi et al. 2024, arXiv:2406.14294).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from tokbench.corpora.intervals import Tier
from tokbench.corpora.registry import open_corpus
from tokbench.errors import NotApplicableError, NotSupportedError, SpecError, UndefinedMetricError
from tokbench.metrics.recognition import (
    ErrorCounts,
    Readings,
    character_errors,
    label_errors,
    spelled,
    spelling_rules,
    word_errors,
)
from tokbench.runners.base import Bench, Measurement
from tokbench.runners.probe_ceiling import LATENTS, TOKENS, Estimate, Estimates, ProbedRunner
from tokbench.runners.probe_items import Collected, Item, Views, group_of, pack_sequences, wanted_views
from tokbench.runners.probe_parts import Splitting, parts_of
from tokbench.runners.views import FeatureKind
from tokbench.specs.ctc import CtcRecipe
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio
    from tokbench.corpora.base import Utterance
    from tokbench.models.ctc import CtcNetwork
    from tokbench.training.ctc import CtcItems

__all__ = ["ProbeAsrArguments", "ProbeAsrRunner", "Taught"]

_METRICS = {"phones": ("probe_per",), "characters": ("probe_wer", "probe_cer")}


class ProbeAsrArguments(Splitting):
    """The ``[arguments]`` of a task that recognizes speech from tokens."""

    units: Literal["phones", "characters"] = "phones"
    """What is written down."""
    features: FeatureKind = "quantized"
    """What the network sees: embeddings of the codes, or the codes, which it embeds itself."""
    views: Views = "ends"
    """Whether there are networks for all codebooks, for all and for the first, or for 1, 2, 4 … as well."""
    recipe: CtcRecipe = CtcRecipe()
    """The network, and how it learns."""

    @property
    def needs_validation(self) -> bool:
        """Whether the recipe chooses anything on validation items."""
        return self.recipe.needs_validation


@dataclass(frozen=True)
class Taught:
    """Networks of all seeds, and what they were not taught."""

    networks: "Sequence[CtcNetwork]"
    test: "CtcItems"
    index: np.ndarray
    """int64 [N], which items of all those of the test are."""
    labels: Sequence[str]
    """What is written, in the order of the classes."""


class ProbeAsrRunner(ProbedRunner):
    """Trains a recognizer on tokens, and lets it read what it has not seen."""

    needs_decoder: ClassVar[bool] = False
    needs_codes: bool = False
    interval_method = "percentile bootstrap over units and seeds"
    corpus_metrics = tuple(
        name + end for names in _METRICS.values() for name in names for end in ("", f"_{LATENTS}")
    )
    reads: ClassVar[type[ProbeAsrArguments]] = ProbeAsrArguments
    """What the arguments are read as."""
    further: ClassVar[Sequence[str]] = ()
    """Metrics beside the errors."""
    facts = {"num_labels": "integer"}  # noqa: RUF012  (a constant, typed in the base)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(self.reads)
        self.needs_codes = self.arguments.features == "codes"
        names = (*self.further, *_METRICS[self.arguments.units])
        known = {name + end for name in names for end in ("", f"_{LATENTS}")}
        if others := sorted(set(self.metrics) - known):
            raise SpecError(
                task.id, [f"metrics: a recognizer of {self.arguments.units} has no {', '.join(others)}"]
            )

    @property
    def tier(self) -> Tier | None:
        """Phones, where they are what is written and the corpus knows when they are spoken."""
        is_aligned = self.arguments.units == "phones" and open_corpus(self.task.corpus).has_intervals
        return "phone" if is_aligned else None

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the features of the utterance and its text, or nothing where that is not known."""
        from tokbench.training.recognizer import labels_of  # noqa: PLC0415  (imports torch)

        audio = utterance.read()
        measurement = Measurement(audio_sha256=audio.sha256, duration_s=audio.duration_s)
        try:
            labels = labels_of(utterance, self.arguments.units)
        except NotApplicableError:
            measurement.payload = pack_sequences([], {})
            return measurement
        measurement.facts["num_labels"] = len(labels)
        text = " ".join(labels) if self.arguments.units == "phones" else utterance.text
        group, part = group_of(utterance, self.arguments)
        # The second column, which is for what classes are told apart within, holds the language of the text.
        columns = (text, utterance.language, group, part, utterance.speaker, utterance.id)
        measurement.payload = self._packed(bench, audio, Item(0.0, audio.duration_s, columns))
        return measurement

    def _packed(self, bench: Bench, audio: "Audio", item: Item) -> bytes:
        views: dict[str, list[np.ndarray]] = {}
        sizes, rates_hz = {}, {}
        for name, kind in self.kinds(self.arguments.features).items():
            try:
                for view, features in wanted_views(bench, audio, self.arguments.views, kind):
                    key = f"{name}/{view}"
                    values = features.values.numpy()
                    views[key] = [values.astype(np.int64) if kind == "codes" else values]
                    rates_hz[key] = features.frame_rate_hz
                    if kind == "codes":
                        sizes[key] = bench.tokenizer.info.streams[0].codebook_size
            except NotSupportedError:
                if name == TOKENS:
                    raise
        return pack_sequences([item], views, sizes, rates_hz)

    def estimates(self, view: str, collected: Collected) -> Estimates:
        """Return how much is wrong in what the networks read of the test."""
        taught = list(self.taught(view, collected))
        return Estimates(self.errors(taught, collected), tested_of(taught))

    def errors(self, taught: "Sequence[Taught]", collected: Collected) -> dict[str, Estimate]:
        """Return how much is wrong in what networks that were ``taught`` read of their tests."""
        from tokbench.training.ctc import transcribe  # noqa: PLC0415  (imports torch)

        tested = tested_of(taught).tolist()
        heard = [
            [
                self._separator.join(one.labels[place] for place in reading)
                for one in taught
                for reading in transcribe(one.networks[seed], one.test.sequences)
            ]
            for seed in range(self.arguments.recipe.num_seeds)
        ]
        names = _METRICS[self.arguments.units]
        readings = {name: self._errors(name, heard, tested, collected.columns) for name in names}
        return {name: Estimate(*found.estimate(), parts=found.parts) for name, found in readings.items()}

    def taught(self, view: str, collected: Collected) -> "Iterator[Taught]":
        """Yield the networks of each part that is tested."""
        from tokbench.training.ctc import CtcItems  # noqa: PLC0415  (imports torch)

        if not collected.sequences:
            raise UndefinedMetricError("it is not known of any utterance what is said")
        columns, arguments = collected.columns, self.arguments
        texts = [self._labels(text) for text in columns["label"]]
        labels = sorted({label for text in texts for label in text})
        classes = {label: place for place, label in enumerate(labels)}
        items = CtcItems(
            collected.sequences[view],
            [np.array([classes[label] for label in text], np.int64) for text in texts],
            collected.rates_hz[view],
            collected.sizes.get(view),
        )
        for part in parts_of(columns, np.arange(len(items)), arguments):
            networks = _networks(items.take(part.train), items.take(part.validation), arguments.recipe, len(labels))
            yield Taught(networks, items.take(part.test), part.test, labels)

    @property
    def _separator(self) -> str:
        return " " if self.arguments.units == "phones" else ""

    def _labels(self, text: str) -> Sequence[str]:
        return text.split() if self.arguments.units == "phones" else spelled(text)

    def _errors(
        self, name: str, heard: Sequence[Sequence[str]], tested: Sequence[int], columns: dict[str, list[str]]
    ) -> Readings:
        counts = [
            [_count(name, columns["label"][item], reading, columns["within"][item]) for item, reading in pairs]
            for pairs in (zip(tested, readings, strict=True) for readings in heard)
        ]
        return Readings(
            np.array([[count.score.total for count in row] for row in counts]),
            np.array([count.length for count in counts[0]]),
            [columns[self.task.interval_by][item] for item in tested],
        )


def tested_of(taught: Iterable[Taught]) -> np.ndarray:
    """Return which items are in the tests, int64 [I]."""
    return np.concatenate([one.index for one in taught])


def _networks(train: "CtcItems", validation: "CtcItems", recipe: CtcRecipe, num_labels: int) -> "list[CtcNetwork]":
    from tokbench.training.ctc import teach  # noqa: PLC0415  (imports torch)

    try:
        return teach(train, validation, recipe, num_labels)
    except ValueError as error:
        raise UndefinedMetricError(str(error)) from error


def _count(name: str, text: str, reading: str, language: str) -> ErrorCounts:
    if name == "probe_per":
        return label_errors(text.split(), reading.split())
    # As it was taught to be written: what a normalization makes of an apostrophe is no error of the network.
    count = word_errors if name == "probe_wer" else character_errors
    return count(spelled(text), reading, spelling_rules(language))
