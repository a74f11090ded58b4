"""What probes are asked: items of utterances, with labels, and in which part of the data each is.

Axes: ``N`` items, ``F`` frames, ``D`` features, ``K`` codebooks.
"""

import json
import re
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from tokbench.corpora.intervals import Tier
from tokbench.errors import CorpusError, UndefinedMetricError
from tokbench.runners.base import Bench, Measurement, Runner
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.probe_parts import Part, Splitting, parts_of
from tokbench.runners.views import ALL, FeatureKind, views_of
from tokbench.specs.probe import ProbeRecipe
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio, Features
    from tokbench.corpora.base import Utterance
    from tokbench.metrics.classification import Answers

__all__ = [
    "NOTHING_TOLD",
    "SLOTS",
    "SUBJECTS",
    "Answered",
    "Collected",
    "Item",
    "ItemArguments",
    "ItemSelection",
    "ItemsRunner",
    "Training",
    "Views",
    "answers_of",
    "group_of",
    "items_of",
    "pack",
    "pack_sequences",
    "trainings_of",
    "wanted_views",
]

SUBJECTS = (
    "phone",
    "digit",
    "keyword",
    "intent",
    "slot",
    "emotion",
    "sound",
    "language",
    "probe_speaker",
    "tone",
    "vowel",
    "probe",
)
"""First part of the names of metrics; what comes after it says what is measured."""
Views = Literal["all", "ends", "powers"]
INTERVAL, SLOTS = "interval", "slots"
NOTHING_TOLD = "-"
"""The class of a slot of which an utterance says nothing."""
_VOWELS = frozenset("iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝᵻ")  # noqa: RUF001  (letters of that alphabet)
"""Letters of vowels in the International Phonetic Alphabet (2020), and those of espeak-ng for schwas."""


class ItemSelection(Splitting):
    """What is told apart, and how the data are split."""

    target: str = INTERVAL
    """``interval`` for the labels of a tier, or the column of the corpus that says what whole utterances are:
    ``text``, ``speaker``, ``language``, or any other; or ``slots``."""
    pattern: str = ""
    """Regular expression; where given, an utterance is what it first finds in the column, and one in which it finds
    nothing is left out."""
    tier: Tier = "phone"
    """That of the intervals."""
    only: Literal["all", "vowels"] = "all"
    """Whether intervals are left out whose label does not begin with the letter of a vowel."""
    languages: tuple[str, ...] = ()
    """Languages whose items are taken; empty for all."""
    within: str = ""
    """Column for each value of which there is a probe of its own, such as ``language``; empty for one probe."""
    min_items: int = Field(default=12, gt=0)
    """Classes of fewer items are left out."""
    slots: tuple[str, ...] = ()
    """Names of what may be told of a whole utterance, for a target ``slots``: a probe for each of them, in which
    one of the classes is that nothing is told."""
    slots_column: str = ""
    """The column that holds them as a JSON object; empty where each slot has a column of its own."""

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            msg = f"not a regular expression: {error}"
            raise ValueError(msg) from error
        return pattern

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        if (self.target == SLOTS) != bool(self.slots):
            msg = f"slots: expected names for the target {SLOTS}, and for no other"
            raise ValueError(msg)
        if self.pattern and self.target in {INTERVAL, SLOTS}:
            msg = f"pattern: expected for a target that is a column, not for {self.target}"
            raise ValueError(msg)
        return self

    @property
    def interval_tier(self) -> Tier | None:
        """The tier that is needed; None for whole utterances."""
        return self.tier if self.target == INTERVAL else None


class ItemArguments(ItemSelection):
    """What is told apart, by which probe, and how the data are split."""

    alone: bool = False
    """Whether an interval is cut out and encoded without what is around it."""
    features: FeatureKind = "quantized"
    """What the probe sees: embeddings of the codes, what was quantized, or the codes, which it embeds itself."""
    views: Views = "ends"
    """Whether there are probes for all codebooks, for all and for the first, or for 1, 2, 4 … as well."""
    recipe: ProbeRecipe = ProbeRecipe()
    """The head, and how it learns."""

    @property
    def needs_validation(self) -> bool:
        """Whether the recipe chooses anything on validation items."""
        return self.recipe.needs_validation


class ItemsRunner(Runner):
    """A runner of probes: what is the same whatever they are asked of."""

    needs_decoder: ClassVar[bool] = False
    facts = {"num_items": "integer"}  # noqa: RUF012  (a constant, typed in the base)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.arguments = task.checked_arguments(ItemArguments)
        self.needs_codes = self.arguments.features == "codes"

    @property
    def tier(self) -> Tier | None:
        """The tier that items are taken from; none for whole utterances."""
        return self.arguments.interval_tier

    @abstractmethod
    def packed(self, bench: Bench, audio: "Audio", items: "Sequence[Item]") -> bytes:
        """Return the features of ``items`` of ``audio`` that are to be classified."""

    def measure(self, bench: Bench, utterance: "Utterance", *, with_examples: bool) -> Measurement:  # noqa: ARG002
        """Return the items of the utterance and their features."""
        audio = utterance.read()
        items = items_of(utterance, audio.duration_s, self.arguments)
        return Measurement(
            facts={"num_items": len(items)},
            payload=self.packed(bench, audio, items),
            audio_sha256=audio.sha256,
            duration_s=audio.duration_s,
        )


_COLUMNS = ("label", "within", "group", "part", "speaker", "utterance")


@dataclass(frozen=True)
class Item:
    """Something to be told apart, before its frames are known."""

    start_s: float
    end_s: float
    columns: tuple[str, ...]
    """Those of :data:`_COLUMNS`."""


def items_of(utterance: "Utterance", duration_s: float, arguments: ItemSelection) -> list[Item]:
    """Return what there is to tell apart in an utterance of ``duration_s`` seconds."""
    if arguments.languages and utterance.language not in arguments.languages:
        return []
    found = []
    for number, (start_s, end_s, label, within) in enumerate(_places(utterance, duration_s, arguments)):
        if label and start_s < end_s:
            group, part = group_of(utterance, arguments, number)
            columns = (label, within, group, part, utterance.speaker, utterance.id)
            found.append(Item(start_s, end_s, columns))
    return found


def group_of(utterance: "Utterance", arguments: Splitting, number: int = 0) -> tuple[str, str]:
    """Return with what the item ``number`` of an utterance stays together, and in which part the corpus has it."""
    group = {
        "speaker": utterance.speaker,
        "column": utterance.speaker,
        "label": _column(utterance, arguments.split_column),
        "item": f"{utterance.id} {number}",
    }[arguments.split]
    return group, _column(utterance, arguments.split_column) if arguments.split == "column" else ""


def _places(
    utterance: "Utterance", duration_s: float, arguments: ItemSelection
) -> list[tuple[float, float, str, str]]:
    """Return where an item starts and ends in seconds, what it is, and among which classes it is told apart."""
    within = _column(utterance, arguments.within) if arguments.within else ""
    if arguments.target == SLOTS:
        told = _slots(utterance, arguments)
        return [(0.0, duration_s, told.get(slot) or NOTHING_TOLD, slot) for slot in arguments.slots]
    if arguments.target != INTERVAL:
        return [(0.0, duration_s, _told(_column(utterance, arguments.target), arguments.pattern), within)]
    return [
        (item.start_s, min(item.end_s, duration_s), item.label, within)
        for item in utterance.intervals
        if arguments.only == "all" or item.label[:1] in _VOWELS
    ]


def _told(text: str, pattern: str) -> str:
    """Return what ``pattern`` first finds in ``text``, or all of it for no pattern; empty where it finds nothing.

    >>> _told("zhuang", "[aeiouv].*"), _told("zhuang", ""), _told("m", "[aeiouv].*")
    ('uang', 'zhuang', '')
    """
    if not pattern:
        return text
    found = re.search(pattern, text)
    return found[0] if found else ""


def _slots(utterance: "Utterance", arguments: ItemSelection) -> dict[str, str]:
    if not arguments.slots_column:
        return {slot: _column(utterance, slot) for slot in arguments.slots}
    text = _column(utterance, arguments.slots_column)
    try:
        told = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise CorpusError(f"{utterance.id}: {arguments.slots_column}: not JSON: {error}") from error
    if not isinstance(told, dict):
        raise CorpusError(f"{utterance.id}: {arguments.slots_column}: expected a JSON object, found {text}")
    return {slot: str(value) for slot, value in told.items()}


def _column(utterance: "Utterance", name: str) -> str:
    known = {"text": utterance.text, "speaker": utterance.speaker, "language": utterance.language}
    return known[name] if name in known else utterance.labels.get(name, "")


def pack(
    bench: Bench, audio: "Audio", items: Sequence[Item], arguments: ItemArguments, kinds: Mapping[str, FeatureKind]
) -> bytes:
    """Return the frames of each item, by view, and its labels.

    ``kinds`` names what is looked at: the views of a kind called ``x`` are ``x/all``, ``x/codebook 1`` and so on.
    """
    found: dict[str, list[np.ndarray]] = {}
    sizes: dict[str, int] = {}
    for name, kind in kinds.items():
        for view, sequences in _sequences(bench, audio, items, arguments, kind).items():
            found[f"{name}/{view}"] = sequences
            if kind == "codes":
                sizes[f"{name}/{view}"] = bench.tokenizer.info.streams[0].codebook_size
    return pack_sequences(items, found, sizes)


def pack_sequences(
    items: Sequence[Item],
    views: Mapping[str, Sequence[np.ndarray]],
    sizes: Mapping[str, int] | None = None,
    rates_hz: Mapping[str, float] | None = None,
) -> bytes:
    """Return what is known of each item, and of each its frames [F, D] in every view, for :class:`Collected`.

    ``sizes`` are those of the codebooks of views that are of codes, ``rates_hz`` those of frames. Items of the same
    place, as the slots of an utterance are, have the same frames, which travel once.
    """
    seen: dict[tuple[float, float], int] = {}
    place = [seen.setdefault((item.start_s, item.end_s), len(seen)) for item in items]
    first = np.unique(place, return_index=True)[1]
    arrays: dict[str, Any] = {
        "columns": np.array([item.columns for item in items], np.str_).reshape(-1, len(_COLUMNS)),
        "place": np.array(place, np.int64),
        "durations_s": np.array([item.end_s - item.start_s for item in items], np.float64),
    }
    for key, sequences in views.items():
        kept = [sequences[number] for number in first]
        arrays[f"lengths:{key}"] = np.array([len(sequence) for sequence in kept], np.int64)
        arrays[f"frames:{key}"] = np.concatenate(kept) if kept else np.empty((0, 0), np.float32)
    sizes, rates_hz = sizes or {}, rates_hz or {}
    return pack_arrays(
        **arrays,
        **{f"size:{key}": np.int64(size) for key, size in sizes.items()},
        **{f"rate:{key}": np.float64(rate_hz) for key, rate_hz in rates_hz.items()},
    )


def _sequences(
    bench: Bench, audio: "Audio", items: Sequence[Item], arguments: ItemArguments, kind: FeatureKind
) -> dict[str, list[np.ndarray]]:
    """Return the frames [F, D] of every item, by view."""
    from tokbench.metrics.abx import some_frames_of  # noqa: PLC0415  (imports pandas)

    found: dict[str, list[np.ndarray]] = defaultdict(list)
    if arguments.alone:
        for item in items:
            for view, features in wanted_views(bench, _cut(audio, item), arguments.views, kind):
                found[view].append(_ready(features.values.numpy(), features.frame_rate_hz, arguments, kind))
        return found
    for view, features in wanted_views(bench, audio, arguments.views, kind) if items else ():
        for item in items:
            frames = some_frames_of(item.start_s, item.end_s, features.frame_rate_hz, len(features.values))
            found[view].append(_ready(features.values.numpy()[frames], features.frame_rate_hz, arguments, kind))
    return found


def wanted_views(bench: Bench, audio: "Audio", views: Views, kind: FeatureKind) -> "Iterator[tuple[str, Features]]":
    """Yield the features [F, D] of ``audio`` by view, those views alone that are asked for; raises as views_of."""
    wanted = {"all": {ALL}, "ends": {ALL, "codebook 1"}}.get(views)
    for view, features in views_of(bench, audio, kind):
        if wanted is None or view in wanted:
            yield view, features


def _cut(audio: "Audio", item: Item) -> "Audio":
    from tokbench.audio import Audio  # noqa: PLC0415  (the planner knows runners without torch)

    first, last = (round(seconds * audio.sample_rate_hz) for seconds in (item.start_s, item.end_s))
    return Audio(audio.samples[:, first : max(last, first + 1)], audio.sample_rate_hz)


def _ready(frames: np.ndarray, frame_rate_hz: float, arguments: ItemArguments, kind: FeatureKind) -> np.ndarray:
    """Return codes as integers, and of features as few frames as the head needs, which is smaller."""
    if kind == "codes":
        return frames.astype(np.int64)
    stride = len(frames)
    if arguments.recipe.head not in {"linear", "mlp"}:
        stride = max(int(frame_rate_hz / arguments.recipe.min_rate_hz), 1)
    return _averaged(frames, stride)


def _averaged(frames: np.ndarray, stride: int) -> np.ndarray:
    """Return the mean of each ``stride`` frames of [F, D], the last of them of as many as are left.

    >>> _averaged(np.array([[1.0], [3.0], [7.0]], np.float32), 2).tolist()
    [[2.0], [7.0]]
    """
    starts = np.arange(0, len(frames), stride)
    sizes = np.diff([*starts, len(frames)])[:, None]
    means: np.ndarray = (np.add.reduceat(frames, starts) / sizes).astype(np.float32)
    return means


class Collected:
    """Items of all utterances, view by view."""

    def __init__(self, payloads: Iterable[bytes | None]) -> None:
        self.num_ok = self.num_total = 0
        self.sequences: dict[str, list[np.ndarray]] = defaultdict(list)
        """By view, the frames of each item: float32 [F, D] or int64 [F, K]."""
        self.sizes: dict[str, int] = {}
        """Codebook sizes of the views that are of codes."""
        self.rates_hz: dict[str, float] = {}
        """Frame rates of the views, where they were told."""
        columns: list[np.ndarray] = []
        durations_s: list[np.ndarray] = [np.empty(0)]
        places: list[int] = []
        for place, payload in enumerate(payloads):
            self.num_total += 1
            if payload is None:
                continue
            self.num_ok += 1
            with open_arrays(payload) as file:
                self._add(file)
                columns.append(file["columns"])
                durations_s.append(file["durations_s"])
                places += [place] * len(columns[-1])
        self._places = np.array(places, np.int64)
        rows = np.concatenate(columns) if columns else np.empty((0, len(_COLUMNS)), np.str_)
        self.columns: dict[str, list[str]] = {name: rows[:, place].tolist() for place, name in enumerate(_COLUMNS)}
        """What is known of each item."""
        self.durations_s = np.concatenate(durations_s)
        """float64 [N], of each item. Frames do not tell: the last may stand for less, or be left out."""

    @property
    def is_complete(self) -> bool:
        """Whether every utterance was measured."""
        return self.num_ok == self.num_total

    def by_utterance(self, items: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """Return ``parts`` [I, S, 2] of ``items`` int64 [I], added up for each utterance of all, [N, S, 2]."""
        sums = np.zeros((self.num_total, *parts.shape[1:]))
        np.add.at(sums, self._places[items], parts)
        return sums

    def _add(self, file: Any) -> None:
        for key in file.files:
            kind, _, view = key.partition(":")
            if kind == "frames":
                pieces = np.split(file[key], np.cumsum(file[f"lengths:{view}"])[:-1])
                self.sequences[view].extend(pieces[place] for place in file["place"])
            elif kind == "size":
                self.sizes[view] = int(file[key])
            elif kind == "rate":
                self.rates_hz[view] = float(file[key])


@dataclass(frozen=True)
class Training:
    """One classifier: what it learns from, and what it is asked."""

    part: Part
    classes: np.ndarray
    """int64 [V], the numbers of its classes among those of all classifiers."""
    labels: np.ndarray
    """int64 [N], the class of each item among its own; -1 for items that are not its business."""

    @property
    def commonest(self) -> int:
        """The commonest class of training, by its number among all."""
        return int(self.classes[np.bincount(self.labels[self.part.train]).argmax()])


def trainings_of(
    columns: Mapping[str, Sequence[str]], arguments: ItemSelection
) -> tuple[list[str], np.ndarray, list[Training]]:
    """Return the names of the classes, the class of each item int64 [N], -1 for rare ones, and the classifiers.

    Raises :class:`UndefinedMetricError` where there is too little to train or to test.
    """
    names = [f"{within}\t{label}" for within, label in zip(columns["within"], columns["label"], strict=True)]
    common = sorted(name for name, number in Counter(names).items() if number >= arguments.min_items)
    classes = {name: place for place, name in enumerate(common)}
    labels = np.array([classes.get(name, -1) for name in names], np.int64)
    found = []
    for within in sorted(set(columns["within"])):
        kept = np.flatnonzero((labels >= 0) & (np.array(columns["within"]) == within))
        here, local = np.unique(labels[kept], return_inverse=True)
        if len(here) < _FEWEST_CLASSES:
            continue
        own = np.full(len(labels), -1)
        own[kept] = local
        found += [Training(part, here, own) for part in parts_of(columns, kept, arguments)]
    if not found:
        raise UndefinedMetricError(f"there are no two classes of {arguments.min_items} items or more")
    return common, labels, found


_FEWEST_CLASSES = 2


class Answered(NamedTuple):
    """What probes said to the items of the test."""

    answers: "Answers"
    majority: "Answers"
    """What the commonest class of training would have said."""
    tested: np.ndarray
    """int64 [I], which items they are."""


def answers_of(collected: Collected, view: str, arguments: ItemArguments, unit: str) -> Answered:
    """Train the probes of a view, and ask them.

    Raises :class:`UndefinedMetricError` where there is too little to train or to test.
    """
    from tokbench.metrics.classification import Answers  # noqa: PLC0415  (the planner has no use for it)
    from tokbench.training.probe import ProbeItems, probe_answers  # noqa: PLC0415  (imports torch)

    names, labels, trainings = trainings_of(collected.columns, arguments)
    predicted, majority = [], []
    for training in trainings:
        items = ProbeItems(collected.sequences[view], training.labels, collected.sizes.get(view))
        train, validation, test = (
            items.take(side) for side in (training.part.train, training.part.validation, training.part.test)
        )
        found = probe_answers(train, validation, test, arguments.recipe, len(training.classes))
        predicted.append(training.classes[found])
        majority.append(np.full((1, len(test)), training.commonest))
    index = np.concatenate([training.part.test for training in trainings])
    units = [collected.columns[unit][item] for item in index]
    nothing = frozenset(place for place, name in enumerate(names) if name.endswith(f"\t{NOTHING_TOLD}"))
    return Answered(
        Answers(np.concatenate(predicted, axis=1), labels[index], units, nothing),
        Answers(np.concatenate(majority, axis=1), labels[index], units, nothing),
        index,
    )
