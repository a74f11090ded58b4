"""What probes are asked: items of utterances, with labels, and in which part of the data each is.

Axes: ``N`` items, ``F`` frames, ``D`` features, ``K`` codebooks.
"""

import hashlib
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tokbench.corpora.intervals import Tier
from tokbench.errors import UndefinedMetricError
from tokbench.runners.base import Bench, Measurement, Runner
from tokbench.runners.payload import open_arrays, pack_arrays
from tokbench.runners.views import ALL, FeatureKind, views_of
from tokbench.specs.base import StrictModel
from tokbench.specs.probe import ProbeRecipe
from tokbench.specs.task import Task

if TYPE_CHECKING:
    from tokbench.audio import Audio, Features
    from tokbench.corpora.base import Utterance
    from tokbench.metrics.classification import Answers

__all__ = [
    "SUBJECTS",
    "Collected",
    "Item",
    "ItemArguments",
    "ItemSelection",
    "ItemsRunner",
    "Part",
    "Training",
    "answers_of",
    "items_of",
    "pack",
    "pack_sequences",
    "parts_of",
    "trainings_of",
]

SUBJECTS = ("phone", "word", "language", "probe_speaker", "tone", "vowel", "probe")
"""First part of the names of metrics; what comes after it says what is measured."""
INTERVAL = "interval"
_VOWELS = frozenset("iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝᵻ")  # noqa: RUF001  (letters of that alphabet)
"""Letters of vowels in the International Phonetic Alphabet (2020), and those of espeak-ng for schwas."""


class ItemSelection(StrictModel):
    """What is told apart, and how the data are split."""

    target: str = INTERVAL
    """``interval`` for the labels of a tier, or the column of the corpus that says what whole utterances are:
    ``text``, ``speaker``, ``language``, or any other."""
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
    split: Literal["speaker", "label", "column", "item"] = "speaker"
    """What training and test have not in common: speakers, or values of ``split_column``; or a column says which
    items are for training and which for the test; or items are dealt out at random."""
    split_column: str = "split"
    """The column of ``label`` and ``column``; in the latter ``test`` and ``validation`` are known, all else is for
    training."""
    num_folds: int = Field(default=6, gt=2)
    """Parts that speakers, values or items are dealt into. Each part is the test once, the next one validation, and
    the others are for training. Where a column tells the test, or there are two parts only, one of as many parts of
    the rest is validation, by speaker if there are enough of them, and by utterance otherwise."""

    @property
    def interval_tier(self) -> Tier | None:
        """The tier that is needed; None for whole utterances."""
        return self.tier if self.target == INTERVAL else None

    @property
    def needs_validation(self) -> bool:
        """Whether anything is chosen on validation items; where nothing is, they are for training."""
        return False


class ItemArguments(ItemSelection):
    """What is told apart, by which probe, and how the data are split."""

    alone: bool = False
    """Whether an interval is cut out and encoded without what is around it."""
    features: FeatureKind = "quantized"
    """What the probe sees: embeddings of the codes, what was quantized, or the codes, which it embeds itself."""
    views: Literal["all", "ends", "powers"] = "ends"
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
    if arguments.target == INTERVAL:
        places = [(item.start_s, min(item.end_s, duration_s), item.label) for item in utterance.intervals]
    else:
        places = [(0.0, duration_s, _column(utterance, arguments.target))]
    if arguments.only == "vowels":
        places = [place for place in places if place[2][:1] in _VOWELS]
    within = _column(utterance, arguments.within) if arguments.within else ""
    part = _column(utterance, arguments.split_column) if arguments.split == "column" else ""
    found = []
    for number, (start_s, end_s, label) in enumerate(places):
        if not label or start_s >= end_s:
            continue
        group = {
            "speaker": utterance.speaker,
            "column": utterance.speaker,
            "label": _column(utterance, arguments.split_column),
            "item": f"{utterance.id} {number}",
        }[arguments.split]
        found.append(Item(start_s, end_s, (label, within, group, part, utterance.speaker, utterance.id)))
    return found


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
    items: Sequence[Item], views: Mapping[str, Sequence[np.ndarray]], sizes: Mapping[str, int] | None = None
) -> bytes:
    """Return what is known of each item, and of each its frames [F, D] in every view, for :class:`Collected`.

    ``sizes`` are those of the codebooks of views that are of codes.
    """
    arrays: dict[str, Any] = {
        "columns": np.array([item.columns for item in items], np.str_).reshape(-1, len(_COLUMNS))
    }
    for key, sequences in views.items():
        arrays[f"lengths:{key}"] = np.array([len(sequence) for sequence in sequences], np.int64)
        arrays[f"frames:{key}"] = np.concatenate(sequences) if sequences else np.empty((0, 0), np.float32)
    return pack_arrays(**arrays, **{f"size:{key}": np.int64(size) for key, size in (sizes or {}).items()})


def _sequences(
    bench: Bench, audio: "Audio", items: Sequence[Item], arguments: ItemArguments, kind: FeatureKind
) -> dict[str, list[np.ndarray]]:
    """Return the frames [F, D] of every item, by view."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    if arguments.alone:
        for item in items:
            for view, features in _chosen(bench, _cut(audio, item), arguments, kind):
                found[view].append(_ready(features.values.numpy(), arguments, kind))
        return found
    for view, features in _chosen(bench, audio, arguments, kind) if items else ():
        for item in items:
            frames = _frames(item, features.frame_rate_hz, len(features.values))
            found[view].append(_ready(features.values.numpy()[frames], arguments, kind))
    return found


def _chosen(
    bench: Bench, audio: "Audio", arguments: ItemArguments, kind: FeatureKind
) -> "Iterator[tuple[str, Features]]":
    wanted = {"all": {ALL}, "ends": {ALL, "codebook 1"}}.get(arguments.views)
    for view, features in views_of(bench, audio, kind):
        if wanted is None or view in wanted:
            yield view, features


def _cut(audio: "Audio", item: Item) -> "Audio":
    from tokbench.audio import Audio  # noqa: PLC0415  (the planner knows runners without torch)

    first, last = (round(seconds * audio.sample_rate_hz) for seconds in (item.start_s, item.end_s))
    return Audio(audio.samples[:, first : max(last, first + 1)], audio.sample_rate_hz)


def _frames(item: Item, frame_rate_hz: float, num_frames: int) -> slice:
    """Return the frames whose centres lie within the item; the one around its middle where there is none.

    So every item is asked of every tokenizer, and a slow one pays for frames that blur two phones.
    """
    from tokbench.metrics.abx import frames_of  # noqa: PLC0415  (imports pandas)

    found = frames_of(item.start_s, item.end_s, frame_rate_hz)
    first, last = found.start, min(found.stop, num_frames)
    if first < last:
        return slice(first, last)
    middle = min(int((item.start_s + item.end_s) / 2 * frame_rate_hz), num_frames - 1)
    return slice(middle, middle + 1)


def _ready(frames: np.ndarray, arguments: ItemArguments, kind: FeatureKind) -> np.ndarray:
    """Return codes as integers, and of features that are pooled anyway the mean alone, which is smaller."""
    if kind == "codes":
        return frames.astype(np.int64)
    if arguments.recipe.head in {"linear", "mlp"}:
        mean: np.ndarray = frames.mean(axis=0, keepdims=True)
        return mean
    return frames


class Collected:
    """Items of all utterances, view by view."""

    def __init__(self, payloads: Iterable[bytes | None]) -> None:
        self.num_ok = self.num_total = 0
        self.sequences: dict[str, list[np.ndarray]] = defaultdict(list)
        """By view, the frames of each item: float32 [F, D] or int64 [F, K]."""
        self.sizes: dict[str, int] = {}
        """Codebook sizes of the views that are of codes."""
        columns: list[np.ndarray] = []
        for payload in payloads:
            self.num_total += 1
            if payload is None:
                continue
            self.num_ok += 1
            with open_arrays(payload) as file:
                self._add(file)
                columns.append(file["columns"])
        rows = np.concatenate(columns) if columns else np.empty((0, len(_COLUMNS)), np.str_)
        self.columns: dict[str, list[str]] = {name: rows[:, place].tolist() for place, name in enumerate(_COLUMNS)}
        """What is known of each item."""

    @property
    def is_complete(self) -> bool:
        """Whether every utterance was measured."""
        return self.num_ok == self.num_total

    def _add(self, file: Any) -> None:
        for key in file.files:
            kind, _, view = key.partition(":")
            if kind == "frames":
                ends = np.cumsum(file[f"lengths:{view}"])[:-1]
                self.sequences[view].extend(np.split(file[key], ends) if len(file[f"lengths:{view}"]) else [])
            elif kind == "size":
                self.sizes[view] = int(file[key])


@dataclass(frozen=True)
class Part:
    """Items of one training and of its test, int64 indices."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def parts_of(columns: Mapping[str, Sequence[str]], kept: np.ndarray, arguments: ItemSelection) -> list[Part]:
    """Split the items ``kept`` (int64 indices) as the task says; raises :class:`UndefinedMetricError`.

    Groups are put in the order of their SHA-256 and dealt out in turn, so that a split depends on nothing but
    their names. Where nothing is chosen on validation items, they are for training.
    """
    if arguments.split != "column":
        dealt = _dealt([columns["group"][item] for item in kept], arguments, "the test")
        folds = [kept[dealt == fold] for fold in range(int(dealt.max()) + 1)]
        return [_part(folds, fold, columns, arguments) for fold in range(len(folds))]
    told = np.array([columns["part"][item] for item in kept])
    test, train = kept[told == "test"], kept[(told != "test") & (told != "validation")]
    if not len(test) or not len(train) or not all(told):
        raise UndefinedMetricError(f"the column {arguments.split_column!r} does not tell training from test")
    validation = kept[told == "validation"]
    if not arguments.needs_validation:
        return [Part(np.sort(np.concatenate([train, validation])), validation[:0], test)]
    if not len(validation):
        train, validation = _set_apart(train, columns, arguments)
    return [Part(train, validation, test)]


def _part(
    folds: Sequence[np.ndarray], fold: int, columns: Mapping[str, Sequence[str]], arguments: ItemSelection
) -> Part:
    if len(folds) == _FEWEST_FOLDS:
        train = folds[1 - fold]
        validation = train[:0]
        if arguments.needs_validation:
            train, validation = _set_apart(train, columns, arguments)
        return Part(train, validation, folds[fold])
    after = (fold + 1) % len(folds) if arguments.needs_validation else fold
    others = [items for place, items in enumerate(folds) if place not in {fold, after}]
    return Part(np.sort(np.concatenate(others)), folds[after][: None if after != fold else 0], folds[fold])


def _set_apart(
    train: np.ndarray, columns: Mapping[str, Sequence[str]], arguments: ItemSelection
) -> tuple[np.ndarray, np.ndarray]:
    """Return what is left for training, and validation: by speaker if there are enough, and else by utterance."""
    speakers = {columns["speaker"][item] for item in train}
    by = "speaker" if len(speakers) >= arguments.num_folds else "utterance"
    dealt = _dealt([columns[by][item] for item in train], arguments, "validation")
    return train[dealt > 0], train[dealt == 0]


def _dealt(groups: Sequence[str], arguments: ItemSelection, what: str) -> np.ndarray:
    """Return the fold of each item."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    num_folds = min(arguments.num_folds, len(order))
    if num_folds < _FEWEST_FOLDS:
        raise UndefinedMetricError(f"one group by {arguments.split} is too few to set {what} apart")
    fold = {group: place % num_folds for place, group in enumerate(order)}
    return np.array([fold[group] for group in groups])


_FEWEST_FOLDS = 2


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


def answers_of(
    collected: Collected, view: str, arguments: ItemArguments, unit: Literal["utterance", "speaker"]
) -> "tuple[Answers, Answers]":
    """Train the probes of a view; return what they answer, and what the commonest class of training would.

    Raises :class:`UndefinedMetricError` where there is too little to train or to test.
    """
    from tokbench.metrics.classification import Answers  # noqa: PLC0415  (the planner has no use for it)
    from tokbench.training.probe import ProbeItems, probe_answers  # noqa: PLC0415  (imports torch)

    _, labels, trainings = trainings_of(collected.columns, arguments)
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
    return (
        Answers(np.concatenate(predicted, axis=1), labels[index], units),
        Answers(np.concatenate(majority, axis=1), labels[index], units),
    )
