"""What the corpora for language models promise: the same bytes in any order, splits apart, labels that are true."""

import csv
import random
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile

from tokbench.corpora import (
    synth_commands,
    synth_dialogue,
    synth_events,
    synth_mixtures,
    synth_music,
    synth_parallel,
    synth_sentences,
    synth_singing,
    synth_words,
)
from tokbench.corpora.espeak import Voice, speak
from tokbench.corpora.event_sounds import EVENTS, event
from tokbench.corpora.generated import Recipe, Row
from tokbench.corpora.instruments import INSTRUMENTS, Note, frequency_hz, played
from tokbench.corpora.registry import list_corpora
from tokbench.corpora.scripts import foreign_letters
from tokbench.corpora.synth_recipe import list_utterances
from tokbench.corpora.synth_sentences import list_stories
from tokbench.metrics.base import SignalPair
from tokbench.metrics.signal import si_sdr_db
from tokbench.specs.base import file_sha256

MODULES = (
    synth_commands,
    synth_dialogue,
    synth_events,
    synth_mixtures,
    synth_music,
    synth_parallel,
    synth_sentences,
    synth_singing,
    synth_words,
)
RECIPES = [module.RECIPE for module in MODULES]
NUM_ROWS = {
    "synth-commands": 1068,
    "synth-dialogue": 90,
    "synth-events": 784,
    "synth-mixtures": 2280,
    "synth-music": 504,
    "synth-parallel": 1620,
    "synth-sentences": 1788,
    "synth-singing": 312,
    "synth-words": 840,
}
UNITS = {
    "synth-commands": ("speaker",),
    "synth-dialogue": ("speaker", "text"),
    "synth-mixtures": ("speaker", "text"),
    "synth-music": ("notes",),
    "synth-parallel": ("speaker", "text"),
    "synth-sentences": ("speaker",),
    "synth-singing": ("speaker",),
    "synth-words": ("speaker",),
}
"""Columns of which training and test share no value."""


@cache
def rows_of(recipe: Recipe) -> tuple[Row, ...]:
    return tuple(recipe.rows())


def parts_of(recipe: Recipe) -> list[tuple[Row, ...]]:
    return [tuple(rows()) for rows in recipe.large.values()]


def some(recipe: Recipe, **columns: str) -> list[Row]:
    return [row for row in rows_of(recipe) if all(row.columns[name] == value for name, value in columns.items())]


def name_of(recipe: Recipe) -> str:
    return recipe.kind


def samples_of(row: Row, companion: str = "") -> np.ndarray:
    clip = row.companions[companion] if companion else row.clip
    return clip.make().samples / 32768.0


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_every_row_has_an_id_and_only_columns_that_are_listed(recipe: Recipe) -> None:
    rows = rows_of(recipe)
    assert len(rows) == NUM_ROWS[recipe.kind]
    assert len({row.id for row in rows}) == len(rows)
    found = {"id", "path", "duration_s", "licence", "sha256"}
    for row in rows:
        found |= set(row.columns)
        found |= {f"{name}_{fact}" for name in row.companions for fact in ("path", "sha256")}
    assert found == set(recipe.columns)
    assert Counter(row.columns["split"] for row in rows).keys() == {"train", "test"}
    assert list_corpora()[recipe.kind].is_available


def test_every_text_is_in_letters_of_its_language() -> None:
    said = {(each.text, each.language) for each in list_utterances()}
    for row in (row for recipe in RECIPES for part in (rows_of(recipe), *parts_of(recipe)) for row in part):
        if text := row.columns.get("text"):
            said.add((text, row.columns.get("language", "en-us")))
    assert len(said) > 1000
    assert {language for _, language in said} == {"en-us", "de", "fr", "es", "cmn", "yue", "vi"}
    for text, language in said:
        assert not foreign_letters(text, language), text
        assert any(map(str.isalpha, text)), text


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe.kind in UNITS], ids=name_of)
def test_training_and_test_share_neither_people_nor_content(recipe: Recipe) -> None:
    for column in UNITS[recipe.kind]:
        values = defaultdict(set)
        for row in rows_of(recipe):
            values[row.columns["split"]] |= set(row.columns[column].split("+"))
        assert values["train"].isdisjoint(values["test"]), column


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_the_bytes_are_the_same_in_any_order(recipe: Recipe, tmp_path: Path) -> None:
    rows = list(rows_of(recipe)[:: NUM_ROWS[recipe.kind] // 3])
    recipe.build(tmp_path / "one", rows)
    random.Random(0).shuffle(rows)
    recipe.build(tmp_path / "two", rows)
    files = [sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two")]
    assert [file_sha256(path) for path in files[0]] == [file_sha256(path) for path in files[1]]
    with (tmp_path / "one" / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            info = soundfile.info(tmp_path / "one" / row["path"])
            assert 0.4 < info.duration < 9.0
            assert soundfile.read(tmp_path / "one" / row["path"], dtype="int16")[0].any(axis=-1).mean() > 0.8


def test_a_word_is_said_by_everybody_and_never_twice_alike() -> None:
    rows = some(synth_words.RECIPE, text="seven")
    assert Counter(row.columns["speaker"] for row in rows) == {f"spk{number:02d}": 3 for number in range(1, 15)}
    takes = [samples_of(row) for row in rows if row.columns["speaker"] == "spk09"]
    assert len({len(take) for take in takes}) == 3
    assert {row.columns["kind"] for row in rows} == {"digit"}
    assert len({row.columns["text"] for row in some(synth_words.RECIPE, kind="keyword")}) == 10


def test_a_sentence_says_the_same_in_every_language_and_one_voice() -> None:
    rows = some(synth_parallel.RECIPE, split="test")
    assert len(rows) == 30 * 6
    pairs = {(row.columns["language"], row.columns["target_language"]) for row in rows}
    assert pairs == {pair for other in ("de", "fr", "es") for pair in (("en-us", other), (other, "en-us"))}
    said = {(row.columns["language"], row.columns["text"]) for row in rows}
    for row in rows:
        assert (row.columns["target_language"], row.columns["target_text"]) in said
    (row,) = [row for row in rows if row.id == "test-003-de-en-us"]
    back = next(other for other in rows if other.id == "test-003-en-us-de")
    assert row.clip.name == back.companions["target"].name
    assert (row.columns["text"], row.columns["target_text"]) == (back.columns["target_text"], back.columns["text"])
    words = {"Paris": ("Paris", "París"), "Rome": ("Rom", "Rome", "Roma"), "London": ("London", "Londres")}
    for row in some(synth_parallel.RECIPE, language="en-us"):
        for place, names in words.items():
            said_here = set(row.columns["target_text"].split())
            assert (place in row.columns["text"]) == any(name in said_here for name in names)


def test_no_intent_is_missing_and_questions_have_their_answers() -> None:
    commands = some(synth_commands.RECIPE, kind="command")
    assert {len(group) for group in by(commands, "speaker").values()} == {24}
    assert len(by(commands, "intent")) == 24
    for row in commands:
        assert {row.columns[slot] for slot in ("action", "object", "room")} <= set(row.columns["text"].split())
    questions = some(synth_commands.RECIPE, kind="question")
    for row in questions:
        answer = row.columns["answer"]
        assert (
            answer in row.columns["intent"].split() or answer == {"f": "woman", "m": "man"}[row.columns["gender"]]
        )
    assert set(by(questions, "answer")) == {
        *("on", "off", "light", "heater", "radio", "fan", "kitchen", "bedroom", "garage", "man", "woman")
    }
    digits = {
        split: set(by(some(synth_commands.RECIPE, kind="digits", split=split), "text"))
        for split in ("train", "test")
    }
    assert digits["train"].isdisjoint(digits["test"])
    assert len(digits["train"]) == 160


def by(rows: list[Row], column: str) -> dict[str, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row.columns[column]].append(row)
    return groups


def test_manners_differ_in_pitch_pace_and_loudness_as_they_should() -> None:
    facts = defaultdict(list)
    for row in some(synth_commands.RECIPE, kind="manner", split="test")[:16]:
        samples = samples_of(row)
        f0_hz, _ = pyworld.dio(samples, 22050)
        rms = float(np.sqrt(np.square(samples).mean()))
        facts[row.columns["manner"]].append((np.median(f0_hz[f0_hz > 0]), len(samples) / 22050, rms))
    pitch, pace, loudness = np.array(
        [np.mean(facts[name], axis=0) for name in ("happy", "neutral", "sad", "angry")]
    ).T
    assert pitch[0] > 1.2 * pitch[1] > 1.4 * pitch[2]
    assert pace[2] > 1.2 * pace[1] > 1.3 * pace[3]
    assert loudness[3] > 1.3 * loudness[1] > 1.8 * loudness[2]


def test_wrong_words_differ_by_one_phone_and_are_no_words_of_the_world() -> None:
    voice = Voice("en-us")
    rows = some(synth_sentences.RECIPE, kind="word", split="test")
    pairs = {(row.columns["text"], row.columns["wrong_text"]) for row in rows}
    assert len(pairs) == 18
    texts = [story.text for split in ("train", "test") for story in list_stories(split)]
    world = {word.strip(".") for text in texts for word in text.split()}
    for real, wrong in pairs:
        phones = [[phone.label for phone in speak(word, voice).phones] for word in (real, wrong)]
        assert len(phones[0]) == len(phones[1])
        assert sum(one != other for one, other in zip(*phones, strict=True)) == 1
        assert real in world
        assert wrong not in world


@pytest.mark.parametrize("number", [0, 3])
def test_noise_is_as_far_below_the_speech_as_the_label_says(number: int) -> None:
    row = some(synth_mixtures.RECIPE, kind="noise", split="test")[number]
    noisy, clean, noise = (samples_of(row, name) for name in ("", "target", "noise"))
    np.testing.assert_allclose(noisy, clean + noise, atol=1.1 / 32768)
    snr_db = 10 * np.log10(np.square(clean).sum() / np.square(noise).sum())
    assert snr_db == pytest.approx(float(row.columns["snr_db"]), abs=0.05)


def test_a_room_adds_a_tail_as_strong_as_what_comes_straight_and_no_delay() -> None:
    for row in some(synth_mixtures.RECIPE, kind="room", split="test")[:4]:
        wet, dry = (samples_of(row, name) for name in ("", "target"))
        assert len(wet) == len(dry)
        spectra = [np.fft.rfft(signal, 2 * len(dry)) for signal in (wet, dry)]
        assert int(np.fft.irfft(spectra[0] * spectra[1].conj()).argmax()) == 0
        tail_db = 10 * np.log10(np.square(wet - dry).sum() / np.square(dry).sum())
        assert tail_db == pytest.approx(0.0, abs=4.0)


def test_another_talker_is_mixed_in_and_the_enrolment_is_another_sentence_of_the_first() -> None:
    rows = some(synth_mixtures.RECIPE, kind="talkers", split="test")
    for row in rows:
        assert row.columns["source_speaker"] != row.columns["speaker"]
        assert row.companions["enrolment"].name.split("-")[0] == f"test/{row.columns['speaker']}"
        assert row.companions["enrolment"].name != row.companions["target"].name
    row = rows[1]
    mixed, clean = (samples_of(row, name).astype(np.float32) for name in ("", "target"))
    found = si_sdr_db(SignalPair(clean, mixed, 22050)).value()
    assert found == pytest.approx(float(row.columns["level_db"]), abs=0.5)


@pytest.mark.parametrize("split", ["train", "test"])
def test_neither_who_is_meant_nor_what_is_done_follows_from_the_voices(split: str) -> None:
    for kind in ("talkers", "voice"):
        pairs = {
            (row.columns["speaker"], row.columns["source_speaker"])
            for row in some(synth_mixtures.RECIPE, kind=kind, split=split)
        }
        assert len(pairs) == {"train": 8 * 7, "test": 6 * 5}[split]
        assert {(other, one) for one, other in pairs} == pairs
    for kind, column, num_values in (
        ("noise", "noise", 4),
        ("noise", "snr_db", 5),
        ("room", "rt60_s", 4),
        ("talkers", "level_db", 3),
    ):
        for rows in by(some(synth_mixtures.RECIPE, kind=kind, split=split), "speaker").values():
            assert len(by(rows, column)) == num_values
    for rows in by(some(synth_mixtures.RECIPE, kind="noise", split=split), "noise").values():
        assert np.mean([int(row.columns["snr_db"]) for row in rows]) == pytest.approx(5.0, abs=1.0)


def test_an_edit_changes_one_word_and_a_conversion_the_voice_alone() -> None:
    for row in some(synth_mixtures.RECIPE, kind="edit", split="test"):
        before, after = row.columns["source_text"].split(), row.columns["text"].split()
        changed = [place for place, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
        assert changed == [int(row.columns["edited_word"])]
    for row in some(synth_mixtures.RECIPE, kind="voice", split="test"):
        assert row.columns["source_speaker"] != row.columns["speaker"]
        assert row.clip.name.rpartition("-")[2] == row.companions["target"].name.rpartition("-")[2]
        assert row.clip.name != row.companions["target"].name


@pytest.mark.parametrize("kind", ["edit", "voice"])
def test_the_enrolment_is_neither_what_is_heard_nor_what_is_asked_for(kind: str) -> None:
    for row in some(synth_mixtures.RECIPE, kind=kind):
        assert row.companions["enrolment"].name not in {row.clip.name, row.companions["target"].name}


def test_events_of_a_kind_vary_and_kinds_are_told_apart_by_their_spectra() -> None:
    means = {}
    for kind in EVENTS:
        spectra = []
        for seed in range(3):
            samples = event(kind, 16000, 16000, np.random.default_rng(seed))
            assert np.abs(samples).max() == pytest.approx(1.0)
            spectra.append(np.abs(np.fft.rfft(samples.reshape(20, 800), axis=1)))
        assert not np.allclose(spectra[0], spectra[1])
        shape = np.stack([np.concatenate([s.mean(axis=0)[::40], s.sum(axis=1) / 8]) for s in spectra])
        means[kind] = np.log(shape + 1e-2).mean(axis=0)
    distances = [np.linalg.norm(means[a] - means[b]) for a in means for b in means if a < b]
    assert min(distances) > 1.0


def test_an_edit_of_events_leaves_the_others_as_they_were() -> None:
    rows = some(synth_events.RECIPE, kind="edit", split="test")
    assert set(by(rows, "edit")) == {"add", "drop", "replace"}
    for edit, size in (("add", (1, 2)), ("drop", (2, 1)), ("replace", (2, 2))):
        for row in by(rows, "edit")[edit][:2]:
            before, after = (set(row.columns[name].split("|")) for name in ("events", "target_events"))
            assert (len(before), len(after)) == size
            assert len(before & after) == 1
            change = samples_of(row, "target") - samples_of(row)
            assert np.abs(change).max() > 0.1
            assert row.columns["instruction"]
    row = by(rows, "edit")["add"][0]
    (added,) = set(row.columns["target_events"].split("|")) - {row.columns["events"]}
    added_alone = samples_of(row, "target") - samples_of(row)
    assert np.abs(added_alone).max() == pytest.approx(0.4, abs=0.01), added


def test_a_score_is_what_is_heard() -> None:
    for row in some(synth_music.RECIPE, kind="melody", instrument="organ", split="test")[:2]:
        samples, start_s = samples_of(row), 0.0
        pitches = []
        for note in row.columns["notes"].split():
            pitch, length = (int(part) for part in note.split(":"))
            middle = samples[round((start_s + 0.08) * 24000) : round((start_s + length / 50 - 0.02) * 24000)]
            if len(middle) > 2000:
                spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**16))
                assert spectrum.argmax() * 24000 / 2**16 == pytest.approx(float(frequency_hz(pitch)), rel=0.03)
            pitches.append(pitch)
            start_s += length / 50
        assert start_s == pytest.approx(len(samples) / 24000)
        tonic = synth_music.TONICS.index(row.columns["key"])
        assert {(pitch - tonic) % 12 for pitch in pitches} <= set(synth_music.MODES[row.columns["mode"]])


def test_an_instrument_is_as_loud_on_each_side_as_its_place_says() -> None:
    row = next(
        row
        for row in some(synth_music.RECIPE, kind="stereo")
        if (row.columns["pan"], row.columns["bass_pan"]) == ("left", "left")
    )
    left, right = np.square(samples_of(row)).sum(axis=1)
    share = synth_music.PANS["left"]
    assert 10 * np.log10(left / right) == pytest.approx(-20 * np.log10(np.tan(share * np.pi / 2)), abs=0.1)


def test_a_caption_tells_everything_and_no_place_follows_from_the_instruments() -> None:
    told = {"melody": ("key", "mode", "tempo", "instrument")}
    told["stereo"] = (*told["melody"], "pan", "bass", "bass_pan")
    for row in rows_of(synth_music.RECIPE):
        for caption in row.columns["captions"].split(" | "):
            assert all(row.columns[column] in caption for column in told[row.columns["kind"]]), caption
    pairs = defaultdict(list)
    for row in some(synth_music.RECIPE, kind="stereo", split="train"):
        pairs[row.columns["instrument"], row.columns["bass"]].append(row)
    assert len(pairs) == 4 * 3
    for rows in pairs.values():
        assert {len(by(rows, place)) for place in ("pan", "bass_pan")} == {3}
    for instrument in ("instrument", "bass"):
        for rows in by(some(synth_music.RECIPE, kind="stereo", split="train"), instrument).values():
            for place in ("pan", "bass_pan"):
                assert set(map(len, by(rows, place).values())) == {18}


def test_notes_add_up_and_what_is_too_late_is_cut_off() -> None:
    organ = INSTRUMENTS["organ"]
    notes = [Note(60, 0.0, 0.5), Note(67, 0.25, 0.5)]
    both = played(notes, organ, duration_s=0.6, rate_hz=8000)
    parts = [played([note], organ, duration_s=0.6, rate_hz=8000) for note in notes]
    assert both.shape == (4800,)
    np.testing.assert_allclose(both, parts[0] + parts[1])
    assert not played([Note(60, 0.7, 0.1)], organ, duration_s=0.6, rate_hz=8000).any()


def test_what_is_sung_has_the_pitch_and_the_length_of_its_notes() -> None:
    errors = []
    for row in some(synth_singing.RECIPE, split="test")[:4]:
        sound = row.clip.make()
        f0_hz, times_s = pyworld.dio(sound.samples / 32768.0, sound.sample_rate_hz)
        words = [span for tier, span in sound.intervals if tier == "word"]
        phones = [span for tier, span in sound.intervals if tier == "phone"]
        assert [word.label for word in words] == row.columns["text"].split()
        assert len(phones) == 2 * len(words)
        assert words[-1].end_s == pytest.approx(sound.duration_s - 0.1, abs=0.01)
        for note, word, vowel in zip(row.columns["notes"].split(), words, phones[1::2], strict=True):
            pitch, length = (int(part) for part in note.split(":"))
            assert word.duration_s == pytest.approx(length / 50, abs=1e-9)
            inside = f0_hz[(times_s > vowel.start_s + 0.02) & (times_s < vowel.end_s - 0.02) & (f0_hz > 0)]
            errors.append(12 * np.log2(np.median(inside) / float(frequency_hz(pitch))))
    assert np.mean(np.abs(errors) < 0.3) > 0.9


def test_two_people_talk_in_turns_each_in_a_channel() -> None:
    row = rows_of(synth_dialogue.RECIPE)[0]
    assert row.columns["turns"] == "A B B A B B"
    samples = samples_of(row)
    assert samples.shape[0] == 2
    frames = samples[:, : samples.shape[1] // 441 * 441].reshape(2, -1, 441)
    loud = np.square(frames).mean(axis=2) > 1e-5
    assert 0.15 < loud[0].mean() < 0.7
    assert 0.15 < loud[1].mean() < 0.8
    assert (loud[0] & loud[1]).mean() < 0.15
    assert int(np.argmax(loud[0])) < int(np.argmax(loud[1]))
