"""What large splits promise: more of the same by the same people, nothing of the test, and the rest as it was."""

import hashlib
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tokbench.corpora import synth_commands, synth_events, synth_mixtures, synth_music, synth_parallel, synth_words
from tokbench.corpora.generated import Recipe, Row, text_hash
from tokbench.corpora.synth_recipe import speakers_of

RECIPES = [
    module.RECIPE
    for module in (synth_commands, synth_events, synth_mixtures, synth_music, synth_parallel, synth_words)
]
NUM_LARGE = {
    "synth-commands": {
        ("train-large", "command"): 24 * 3 * 8,
        ("train-large", "question"): 24 * 3 * 8,
        ("train-large", "digits"): 80 * 8,
        ("train-large", "manner"): 16 * 4 * 8,
        ("test-large", "manner"): 8 * 4 * 6,
    },
    "synth-events": {
        ("train-large", "single"): 64 * 8,
        ("train-large", "mixture"): 864,
        ("train-large", "edit"): 864,
        ("test-large", "mixture"): 96,
        ("test-large", "edit"): 96,
    },
    "synth-mixtures": dict.fromkeys(
        (("train-large", kind) for kind in ("noise", "room", "talkers", "edit", "voice")), 1152
    ),
    "synth-music": {("train-large", "melody"): 768, ("train-large", "stereo"): 648},
    "synth-parallel": {("train-large", ""): 960 * 3 * 2},
    "synth-words": {("train-large", "digit"): 10 * 16 * 8, ("train-large", "keyword"): 10 * 16 * 8},
}
USUAL = {
    "synth-commands": "8f7163733fb42a993303a08f7aa9c2eb7342ff6b4a333b5d97b5d6c7080d4edc",
    "synth-events": "6ecafc7750b074a067d31bdd38cb0f1e66b492b4d142b106dcb58719c0c6ad85",
    "synth-parallel": "b8ee659619933786b3fdba559e8a0567d3ae8016877261535a19dca353fa9a8c",
    "synth-words": "09bc0fddd6ad419de7cf90c3873a225608d025ece433022560f3c6515bdb1aa4",
}
"""Hashes over all that recordings of training and test are made from: there are records of probes and judges."""


@cache
def rows_of(recipe: Recipe) -> tuple[Row, ...]:
    return (*recipe.rows(), *recipe.large_rows())


def some(recipe: Recipe, split: str, **columns: str) -> list[Row]:
    asked = {"split": split, **columns}
    return [row for row in rows_of(recipe) if all(row.columns[name] == value for name, value in asked.items())]


def values(recipe: Recipe, split: str, column: str, **columns: str) -> set[str]:
    return {row.columns.get(column, "") for row in some(recipe, split, **columns)}


def name_of(recipe: Recipe) -> str:
    return recipe.kind


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_there_is_as_much_as_is_said_and_of_every_kind_more_than_in_training(recipe: Recipe) -> None:
    counts = Counter((row.columns["split"], row.columns.get("kind", "")) for row in rows_of(recipe))
    assert {key: count for key, count in counts.items() if key[0].endswith("-large")} == NUM_LARGE[recipe.kind]
    for (split, kind), count in counts.items():
        if split == "train":
            assert counts["train-large", kind] >= 3 * count


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_ids_and_recordings_are_of_one_split(recipe: Recipe) -> None:
    rows = rows_of(recipe)
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        for clip in (row.clip, *row.companions.values()):
            assert clip.name.startswith(f"{row.columns['split']}/")
    assert {name for row in rows for name in row.columns} <= set(recipe.columns)


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "speaker" in recipe.columns], ids=name_of)
def test_speakers_are_those_of_training_and_test(recipe: Recipe) -> None:
    for split in recipe.large:
        expected = {speaker.name for speaker in speakers_of("train" if split == "train-large" else "test")}
        assert values(recipe, split, "speaker") == expected


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe.kind in USUAL], ids=name_of)
def test_the_usual_splits_are_those_of_the_records(recipe: Recipe) -> None:
    told = [
        [row.id, row.clip.name, dict(row.columns), {name: clip.name for name, clip in row.companions.items()}]
        for row in sorted(recipe.rows(), key=lambda row: row.id)
    ]
    assert hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() == USUAL[recipe.kind]


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_the_bytes_are_the_same_in_any_order(recipe: Recipe, tmp_path: Path) -> None:
    rows = recipe.large_rows()
    rows = rows[:: len(rows) // 3]
    manifests = []
    for name, mine in (("one", rows), ("two", rows[::-1])):
        recipe.build(tmp_path / name, mine)
        manifests.append((tmp_path / name / "manifest.csv").read_bytes())
    assert manifests[0] == manifests[1]


def test_a_word_is_said_at_every_pitch_and_rate_by_everybody_in_training() -> None:
    rows = some(synth_words.RECIPE, "train-large", text="stop", speaker="spk03")
    sounds = [row.clip.make() for row in rows]
    assert len(rows) == 16
    assert len({sound.samples.tobytes() for sound in sounds}) == 16
    # Four rates, within which the pitch changes little in the length.
    lengths = sorted(sound.duration_s for sound in sounds)
    assert lengths[-1] > 1.2 * lengths[0]
    usual = some(synth_words.RECIPE, "train", text="stop", speaker="spk03")[0].clip.make()
    assert lengths[0] < usual.duration_s < lengths[-1]


def test_every_intent_is_said_in_every_phrase_by_everybody() -> None:
    for split, num_texts in (("train", 24), ("train-large", 72)):
        rows = some(synth_commands.RECIPE, split, kind="command")
        assert set(Counter(row.columns["speaker"] for row in rows).values()) == {num_texts}
        assert len({(row.columns["speaker"], row.columns["text"]) for row in rows}) == len(rows)
    commands = {row.clip.name: row for row in some(synth_commands.RECIPE, "train-large", kind="command")}
    questions = some(synth_commands.RECIPE, "train-large", kind="question")
    assert {row.clip.name for row in questions} == set(commands)
    assert {row.columns["answer"] for row in questions} == values(
        synth_commands.RECIPE, "train", "answer", kind="question"
    )


def test_no_string_of_digits_is_said_twice_and_none_of_the_test() -> None:
    large = [row.columns["text"] for row in some(synth_commands.RECIPE, "train-large", kind="digits")]
    assert len(set(large)) == len(large)
    assert values(synth_commands.RECIPE, "train", "text", kind="digits") <= set(large)
    assert values(synth_commands.RECIPE, "test", "text", kind="digits").isdisjoint(large)


@pytest.mark.parametrize(("split", "number"), [("train-large", 16), ("test-large", 8)])
def test_everybody_says_so_many_commands_in_every_manner(split: str, number: int) -> None:
    rows = some(synth_commands.RECIPE, split, kind="manner")
    said = Counter((row.columns["speaker"], row.columns["intent"]) for row in rows)
    assert set(said.values()) == {4}
    assert set(Counter(speaker for speaker, _ in said).values()) == {number}
    assert set(Counter(row.columns["manner"] for row in rows).values()) == {len(rows) // 4}
    for row in rows:
        assert row.companions["enrolment"].name.startswith(f"{split}/{row.columns['speaker']}-")
        assert row.companions["enrolment"].name not in row.clip.name


@pytest.mark.parametrize("split", ["train-large", "test-large"])
def test_orders_and_edits_of_events_are_equally_frequent(split: str) -> None:
    for kind, column, num_values in (("mixture", "order", 2), ("edit", "edit", 3)):
        counts = Counter(row.columns[column] for row in some(synth_events.RECIPE, split, kind=kind))
        assert len(counts) == num_values
        assert len(set(counts.values())) == 1
    assert values(synth_events.RECIPE, split, "events", kind="edit") <= values(
        synth_events.RECIPE, "train-large", "events"
    )


def test_another_draw_of_an_event_sounds_otherwise() -> None:
    rows = [some(synth_events.RECIPE, split, kind="single", events="rain")[0] for split in ("train", "train-large")]
    sounds = [row.clip.make().samples for row in rows]
    assert (sounds[0] != sounds[1]).mean() > 0.9


def test_no_melody_of_the_test_is_learnt_from() -> None:
    tested = values(synth_music.RECIPE, "test", "notes")
    assert tested.isdisjoint(values(synth_music.RECIPE, "train-large", "notes"))
    assert tested.isdisjoint(values(synth_music.RECIPE, "train", "notes"))


def test_each_pair_of_instruments_is_at_each_pair_of_places_equally_often() -> None:
    columns = ("instrument", "bass", "pan", "bass_pan")
    rows = some(synth_music.RECIPE, "train-large", kind="stereo")
    counts = Counter(tuple(row.columns[column] for column in columns) for row in rows)
    assert len(counts) == 4 * 3 * 3 * 3
    assert set(counts.values()) == {6}


def test_melodies_of_training_are_those_of_version_3() -> None:
    """Of which the audio is made from these, and from nothing else."""
    kept = some(synth_music.RECIPE, "train") + some(synth_music.RECIPE, "test", kind="melody")
    told = [[row.id, row.clip.name, dict(row.columns)] for row in sorted(kept, key=lambda row: row.id)]
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    assert found == "f587b2e1665281b85ce7faaecce636baa9523feac3e7828b0363cfe0b779a4b7"


@pytest.mark.parametrize("split", ["train", "test", "train-large"])
def test_of_mixtures_everybody_meets_everybody_and_says_nothing_twice(split: str) -> None:
    num_speakers = len(values(synth_mixtures.RECIPE, split, "speaker"))
    for kind in ("talkers", "voice"):
        rows = some(synth_mixtures.RECIPE, split, kind=kind)
        met = Counter((row.columns["speaker"], row.columns["source_speaker"]) for row in rows)
        assert len(met) == num_speakers * (num_speakers - 1)
        assert max(met.values()) - min(met.values()) <= 1
    said = Counter(
        (row.columns["speaker"], row.columns["text"]) for row in some(synth_mixtures.RECIPE, split, kind="noise")
    )
    assert set(said.values()) == {1}


def test_no_sentence_of_mixtures_is_in_training_and_test() -> None:
    for column in ("text", "source_text"):
        tested = values(synth_mixtures.RECIPE, "test", column) - {""}
        assert tested.isdisjoint(values(synth_mixtures.RECIPE, "train-large", column))
        assert tested.isdisjoint(values(synth_mixtures.RECIPE, "train", column))


def test_no_sentence_of_the_test_is_translated_in_training() -> None:
    for column in ("text", "target_text"):
        tested = values(synth_parallel.RECIPE, "test", column)
        usual, large = (values(synth_parallel.RECIPE, split, column) for split in ("train", "train-large"))
        assert tested.isdisjoint(large)
        assert usual <= large


def test_an_enrolment_of_mixtures_is_another_sentence_of_the_voice_that_is_meant() -> None:
    for row in some(synth_mixtures.RECIPE, "train-large"):
        enrolment = row.companions["enrolment"].name
        assert enrolment.startswith(f"train-large/{row.columns['speaker']}-")
        assert enrolment not in {row.clip.name, row.companions["target"].name}
        assert not enrolment.endswith(text_hash(row.columns["text"])[:12])


def test_noises_rooms_and_levels_come_to_every_speaker_equally_often() -> None:
    for kind, column, num_values in (
        ("noise", "noise", 4),
        ("noise", "snr_db", 5),
        ("room", "rt60_s", 4),
        ("talkers", "level_db", 3),
    ):
        rows = some(synth_mixtures.RECIPE, "train-large", kind=kind)
        counts = Counter((row.columns["speaker"], row.columns[column]) for row in rows)
        assert len(counts) == 8 * num_values
        assert max(counts.values()) - min(counts.values()) <= 1
