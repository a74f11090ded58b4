"""Probe tasks: from intervals and codes to accuracies, with tokenizers whose answer is known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pooling import pooled
from tiny import levels
from tiny.levels import HOP, RATE_HZ

from tokbench.codecs.base import Tokenizer, TokenizerInfo
from tokbench.codes import StreamInfo
from tokbench.corpora.base import Utterance
from tokbench.corpora.intervals import Interval
from tokbench.errors import CorpusError, NotSupportedError, SpecError, UndefinedMetricError
from tokbench.leaderboard.spec import find_leaderboard
from tokbench.records import MetricSummary
from tokbench.runners.base import Bench
from tokbench.runners.payload import open_arrays
from tokbench.runners.probe import ProbeRunner
from tokbench.runners.probe_items import Collected, ItemArguments, items_of
from tokbench.runners.probe_parts import parts_of
from tokbench.runners.registry import make_runner
from tokbench.specs.probe import ProbeRecipe
from tokbench.specs.task import Task, find_task, list_tasks

LEVELS = {"a": 0.21, "i": 0.24, "s": 0.58}
"""Two of the three share the first code."""
FAST = {"num_seeds": 2, "learning_rates": [0.1], "max_epochs": 60, "patience": 20, "weight_decay": 0.0}


def runner(**arguments: object) -> ProbeRunner:
    made = make_runner(
        Task(
            name="t",
            version=1,
            kind="probe",
            question="?",
            interval_by="speaker",
            metrics=("probe_accuracy", "probe_macro_f1", "probe_chance"),
            arguments={"recipe": FAST, "min_items": 4, **arguments},
        )
    )
    assert isinstance(made, ProbeRunner)
    return made


class Level(levels.Level):
    """Embeds both codes."""

    def _quantized(self, streams: list[torch.Tensor], codebooks: slice) -> torch.Tensor:
        chosen = streams[0][codebooks]
        return torch.nn.functional.one_hot(chosen, 10).transpose(0, 1).reshape(chosen.shape[1], -1).float()


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return utterances of four speakers: each phone of its level, the whole utterance one of two words."""
    made, generator = [], np.random.default_rng(0)
    for speaker in range(4):
        for number in range(2):
            phones = [*LEVELS, *generator.permutation([*LEVELS])]
            samples = np.concatenate([np.full(3 * HOP, LEVELS[phone] + 0.2 * number) for phone in phones])
            path = tmp_path / f"{speaker}-{number}.wav"
            soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
            intervals = [Interval(0.03 * n, 0.03 * (n + 1), f"{phone}{number}") for n, phone in enumerate(phones)]
            made.append(
                Utterance(
                    id=path.stem,
                    path=path,
                    speaker=f"s{speaker}",
                    language="en" if speaker < 2 else "de",
                    text="first" if number == 0 else "second",
                    labels={"split": "test" if speaker == 3 else "train"},
                    intervals=tuple(intervals),
                )
            )
    return made


def summaries(
    made: ProbeRunner, tokenizer: Tokenizer, utterances: Sequence[Utterance]
) -> dict[tuple[str, str], MetricSummary]:
    bench = Bench(tokenizer, "f", None)
    payloads = [made.measure(bench, item, with_examples=False).payload for item in utterances]
    return {(found.name, found.group): found for found in pooled(made, payloads)}


def test_what_the_codes_tell_is_learnt(utterances: list[Utterance]) -> None:
    found = summaries(runner(), Level(), utterances)
    assert found["probe_accuracy", "all"].value == 1.0
    assert found["probe_macro_f1", "all"].value == 1.0
    # The first code is the same for a and i: of six classes it tells two alone and two pairs.
    first = found["probe_accuracy", "codebook 1"]
    assert first.value is not None
    assert first.value == pytest.approx(4 / 6, abs=0.01)
    assert found["probe_chance", "all"].value == pytest.approx(1 / 6)
    assert found["probe_chance", "all"].better is None
    assert len(found) == 6


@pytest.mark.parametrize(
    ("tokenizer", "arguments"),
    [(levels.LevelFeatures(), {}), (Level(), {"features": "latents"})],
    ids=["continuous", "latents"],
)
def test_continuous_features_have_no_codebooks(
    tokenizer: Tokenizer, arguments: dict[str, str], utterances: list[Utterance]
) -> None:
    found = summaries(runner(**arguments), tokenizer, utterances)
    assert {group for _, group in found} == {"all"}
    value = found["probe_accuracy", "all"].value
    assert value is not None
    assert value > 0.5  # one number, of which no line in a plane tells six classes with ease


def asked(*metrics: str, **arguments: object) -> ProbeRunner:
    """Return a runner of other metrics than accuracy, macro F1 and chance."""
    task = runner(**arguments).task.model_copy(update={"metrics": metrics})
    made = make_runner(task)
    assert isinstance(made, ProbeRunner)
    return made


def test_what_was_quantized_is_the_ceiling(utterances: list[Utterance]) -> None:
    metrics = ("probe_accuracy", "probe_accuracy_latents")
    found = summaries(asked(*metrics, views="all"), Level(), utterances)
    alone = summaries(runner(features="latents"), Level(), utterances)
    assert set(found) == {(name, "all") for name in metrics}
    assert found["probe_accuracy_latents", "all"].value == alone["probe_accuracy", "all"].value
    assert found["probe_accuracy", "all"].value == 1.0


class Silent(Level):
    """Does not tell what it quantizes."""

    def _latents(self, samples: torch.Tensor) -> torch.Tensor:
        raise NotSupportedError("silent", "latents")


def test_without_latents_the_tokens_have_their_value(utterances: list[Utterance]) -> None:
    found = summaries(asked("probe_accuracy", "probe_accuracy_latents", views="all"), Silent(), utterances)
    assert found["probe_accuracy", "all"].value == 1.0
    ceiling = found["probe_accuracy_latents", "all"]
    assert (ceiling.value, ceiling.num_ok) == (None, 0)
    assert [*ceiling.reasons] == ["the tokenizer does not tell what it quantizes"]


@pytest.fixture
def commands(utterances: list[Utterance]) -> list[Utterance]:
    """Return the utterances as orders: the first of each speaker is of a tall coffee, the second of a small tea."""
    drinks = [{"size": "tall", "drink": "coffee", "milk": "much"}, {"size": "small", "drink": "tea"}]
    return [
        replace(item, labels={**item.labels, "order": json.dumps(drinks[item.text == "second"])})
        for item in utterances
    ]


SLOTS = {"target": "slots", "slots": ["size", "drink", "milk"], "slots_column": "order"}


def test_every_slot_has_a_probe_and_frames_travel_once(commands: list[Utterance]) -> None:
    metrics = ("slot_accuracy", "slot_f1", "slot_chance")
    made = asked(*metrics, **SLOTS, views="all")
    assert made.tier is None
    found = summaries(made, Level(), commands)
    assert {found[name, "all"].value for name in metrics} == {1.0, 0.5}
    payload = made.measure(Bench(Level(), "f", None), commands[0], with_examples=False).payload
    assert payload is not None
    with open_arrays(payload) as file:
        assert len(file["lengths:tokens/all"]) == 1
        assert [tuple(row[:2]) for row in file["columns"]] == [
            ("tall", "size"),
            ("coffee", "drink"),
            ("much", "milk"),
        ]
    assert len(Collected([payload]).sequences["tokens/all"]) == 3


def test_slots_may_have_columns_of_their_own(utterances: list[Utterance]) -> None:
    arguments = ItemArguments(target="slots", slots=("part", "place"))
    labelled = replace(utterances[0], labels={"part": "one", "place": ""})
    assert [item.columns[:2] for item in items_of(labelled, 0.1, arguments)] == [("one", "part"), ("-", "place")]


def test_a_pattern_takes_a_part_of_a_column(utterances: list[Utterance]) -> None:
    arguments = ItemArguments(target="label", pattern="[aeiou].*")
    labelled = [replace(utterances[0], labels={"label": label}) for label in ("zhuang", "an", "m")]
    assert [[item.columns[0] for item in items_of(item, 0.1, arguments)] for item in labelled] == [
        ["uang"],
        ["an"],
        [],
    ]


def test_the_finals_of_syllables_are_those_that_sound_as_they_are_spelt(utterances: list[Utterance]) -> None:
    arguments = find_task("tone-vowels-syllables")[0].checked_arguments(ItemArguments)
    heard = {"zhang": "ang", "wei": "ei", "er": "er", "nv": "v", "ji": "i", "zhi": "zhi", "ci": "ci", "ju": "ju"}
    heard |= {"yan": "yan", "quan": "quan", "zu": "u", "she": "e", "re": "e", "si": "si"}
    for syllable, final in heard.items():
        items = items_of(replace(utterances[0], labels={"label": syllable}), 0.1, arguments)
        assert [item.columns[0] for item in items] == [final], syllable


@pytest.mark.parametrize(
    ("order", "reason"), [("{tall", "order: not JSON"), ("[1]", r"expected a JSON object, found \[1\]")]
)
def test_slots_that_cannot_be_read_are_told(order: str, reason: str, utterances: list[Utterance]) -> None:
    wrong = replace(utterances[0], labels={"order": order})
    with pytest.raises(CorpusError, match=reason):
        items_of(wrong, 0.1, ItemArguments(**SLOTS))


def test_codes_are_embedded(utterances: list[Utterance]) -> None:
    recipe = {**FAST, "embedding": 16, "head": "bilstm", "width": 8, "learning_rates": [0.03]}
    found = summaries(runner(features="codes", views="all", recipe=recipe), Level(), utterances)
    assert {group for _, group in found} == {"all"}
    value = found["probe_accuracy", "all"].value
    assert value is not None
    assert value > 0.9


def test_whole_utterances_are_told_apart_by_a_column(utterances: list[Utterance]) -> None:
    made = runner(target="text")
    assert made.tier is None
    found = summaries(made, Level(), utterances)
    assert found["probe_accuracy", "all"].value == 1.0
    assert found["probe_chance", "all"].value == 0.5


def test_a_column_may_tell_the_test(utterances: list[Utterance]) -> None:
    found = summaries(runner(target="text", split="column", num_folds=3), Level(), utterances)
    assert found["probe_accuracy", "all"].value == 1.0
    assert found["probe_accuracy", "all"].low is None  # one speaker in the test


def test_there_may_be_a_probe_for_each_language(utterances: list[Utterance]) -> None:
    recipe = {**FAST, "patience": 0}  # each utterance has half of the classes: none can be spared for validation
    together = summaries(runner(within="language", views="all", recipe=recipe), Level(), utterances)
    assert together["probe_accuracy", "all"].value == 1.0
    english = summaries(runner(languages=["en"], views="all", recipe=recipe), Level(), utterances)
    assert english["probe_accuracy", "all"].value == 1.0
    made = runner(languages=["en"])
    last = made.measure(Bench(Level(), "f", None), utterances[-1], with_examples=False)
    assert last.facts["num_items"] == 0


def test_vowels_alone(utterances: list[Utterance]) -> None:
    measured = runner(only="vowels").measure(Bench(Level(), "f", None), utterances[0], with_examples=False)
    assert measured.facts["num_items"] == 4


def test_an_item_without_a_frame_gets_the_one_around_its_middle(utterances: list[Utterance]) -> None:
    utterance = utterances[0]
    short = Utterance(
        id="x",
        path=utterance.path,
        speaker="s",
        intervals=(Interval(0.0301, 0.0302, "a0"), Interval(0.1, 0.9, "i0")),
    )
    payload = runner(features="latents").measure(Bench(Level(), "f", None), short, with_examples=False).payload
    collected = Collected([payload])
    levels = Level().latents(utterance.read()).values.numpy()
    first, second = collected.sequences["tokens/all"]
    np.testing.assert_array_equal(first, levels[3:4])
    np.testing.assert_allclose(second, levels[10:].mean(axis=0, keepdims=True))


def test_an_interval_may_be_encoded_alone(utterances: list[Utterance]) -> None:
    recipe = {**FAST, "head": "lstm"}
    made = runner(alone=True, features="latents", recipe=recipe)
    payload = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).payload
    whole = runner(features="latents", recipe=recipe).measure(
        Bench(Level(), "f", None), utterances[0], with_examples=False
    )
    for mine, theirs in zip(
        Collected([payload]).sequences["tokens/all"],
        Collected([whole.payload]).sequences["tokens/all"],
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)  # this tokenizer hears nothing of its neighbours


def test_what_failed_leaves_no_number(utterances: list[Utterance]) -> None:
    made = runner()
    payload = made.measure(Bench(Level(), "f", None), utterances[0], with_examples=False).payload
    found = made.summarise([payload, None])
    assert {(item.name, item.value, item.num_ok, item.num_total) for item in found} == {
        (name, None, 1, 2) for name in made.metrics
    }


def test_one_speaker_is_too_few(utterances: list[Utterance]) -> None:
    found = summaries(runner(min_items=1), Level(), utterances[:1])
    assert found["probe_accuracy", "all"].value is None
    assert found["probe_accuracy", "all"].reasons == {"one group by speaker is too few to set the test apart": 1}
    rare = summaries(runner(min_items=99), Level(), utterances)
    assert [*rare["probe_accuracy", "all"].reasons] == ["there are no two classes of 99 items or more"]


def test_codes_without_a_constant_rate_are_told(utterances: list[Utterance]) -> None:
    tokenizer = Level()
    tokenizer.info = TokenizerInfo(sample_rate_hz=RATE_HZ, streams=(StreamInfo(2, 10, None),), name="irregular")
    with pytest.raises(NotSupportedError, match="irregular"):
        runner().measure(Bench(tokenizer, "f", None), utterances[0], with_examples=False)


def columns(number: int, **others: list[str]) -> dict[str, list[str]]:
    names = [f"{place}" for place in range(number)]
    return {"group": names, "speaker": names, "utterance": names, "part": [""] * number, **others}


def test_every_item_is_tested_once_and_no_group_is_on_both_sides() -> None:
    groups = [f"g{place % 7}" for place in range(40)]
    made = parts_of(columns(40, group=groups), np.arange(40), ItemArguments(num_folds=5))
    assert np.array_equal(np.sort(np.concatenate([part.test for part in made])), np.arange(40))
    for part in made:
        sides = [{groups[item] for item in side} for side in (part.train, part.validation, part.test)]
        assert not sides[0] & (sides[1] | sides[2])
        assert not sides[1] & sides[2]
        assert sorted([*part.train, *part.validation, *part.test]) == list(range(40))


def test_two_groups_are_test_for_each_other() -> None:
    groups = ["x"] * 10 + ["y"] * 10
    made = parts_of(columns(20, group=groups, speaker=groups), np.arange(20), ItemArguments(num_folds=5))
    assert [{groups[item] for item in part.test} for part in made] in ([{"x"}, {"y"}], [{"y"}, {"x"}])
    for part in made:
        assert len(part.train) == 8
        assert len(part.validation) == 2
        assert not {groups[item] for item in part.test} & {groups[item] for item in [*part.train, *part.validation]}


def test_nothing_is_set_apart_where_nothing_is_chosen() -> None:
    recipe = ProbeRecipe(learning_rates=(0.1,), patience=0)
    made = parts_of(columns(20), np.arange(20), ItemArguments(split="item", num_folds=5, recipe=recipe))
    assert [(len(part.train), len(part.validation), len(part.test)) for part in made] == [(16, 0, 4)] * 5


def test_a_column_that_does_not_tell_the_test_is_told() -> None:
    with pytest.raises(UndefinedMetricError, match="'split' does not tell"):
        parts_of(columns(4, part=["train"] * 4), np.arange(4), ItemArguments(split="column"))


def test_a_split_depends_on_names_alone(utterances: list[Utterance]) -> None:
    arguments = ItemArguments(target="text", split="label", split_column="language")
    items = [item for utterance in utterances for item in items_of(utterance, 0.18, arguments)]
    assert [item.columns[2] for item in items] == ["en"] * 4 + ["de"] * 4


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match="expected names for the target slots, and for no other"):
        runner(target="slots")
    with pytest.raises(SpecError, match="pattern: expected for a target that is a column, not for interval"):
        runner(target="interval", pattern="a")
    with pytest.raises(SpecError, match="pattern: not a regular expression: unterminated character set"):
        runner(target="label", pattern="[a")
    with pytest.raises(SpecError, match=r"arguments.recipe.head"):
        runner(recipe={"head": "transformer"})


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith(("probe-", "tone"))])
def test_a_shipped_task_measures_what_its_runner_returns(name: str) -> None:
    task, _ = find_task(name)
    assert set(task.metrics) <= set(make_runner(task).corpus_metrics)


@pytest.mark.parametrize("name", ["probes", "tone"])
def test_their_leaderboards_show_what_their_tasks_measure(name: str) -> None:
    shown = find_leaderboard(name)
    for key, column in shown.columns.items():
        assert column.metric in find_task(shown.task_of[key])[0].metrics


def test_a_corpus_without_the_column_has_no_value(utterances: list[Utterance]) -> None:
    found = summaries(runner(target="emotion"), Level(), utterances)
    assert found["probe_accuracy", "all"].value is None
    assert [*found["probe_accuracy", "all"].reasons] == ["there are no two classes of 4 items or more"]
