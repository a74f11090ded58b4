from collections import Counter

import pytest

from tokbench.corpora.espeak import split_words
from tokbench.corpora.synth_recipe import LANGUAGES, list_speakers, list_utterances
from tokbench.corpora.tones import is_tonal, tone_of

UTTERANCES = list_utterances()
TONES = {"cmn": {"1", "2", "3", "4"}, "yue": set("123456"), "vi": {"ngang", "huyen", "sac", "hoi", "nga", "nang"}}


def test_training_and_test_share_neither_speakers_nor_texts() -> None:
    speakers, texts = (
        {
            split: {value(utterance) for utterance in UTTERANCES if utterance.split == split}
            for split in ("train", "test")
        }
        for value in (lambda utterance: utterance.speaker.name, lambda utterance: utterance.text)
    )
    assert not speakers["train"] & speakers["test"]
    assert not texts["train"] & texts["test"]


def test_every_speaker_reads_every_language_as_much_as_any_other() -> None:
    assert len({utterance.id for utterance in UTTERANCES}) == len(UTTERANCES) == 360
    for split, num_speakers in (("train", 8), ("test", 6)):
        counts = Counter(
            (utterance.speaker.name, utterance.language)
            for utterance in UTTERANCES
            if utterance.split == split and utterance.kind == "sentence"
        )
        assert len(counts) == num_speakers * len(LANGUAGES)
        assert set(counts.values()) == {3}


def test_every_text_of_the_files_is_read() -> None:
    for language in LANGUAGES:
        texts = {u.text for u in UTTERANCES if u.language == language and u.kind == "sentence"}
        assert len(texts) == 24 + 9


def test_half_of_the_speakers_sound_female_and_no_two_are_alike() -> None:
    speakers = list_speakers()
    assert len({(speaker.variant, speaker.pitch, speaker.rate_wpm) for speaker in speakers}) == len(speakers) == 14
    assert len({speaker.variant for speaker in speakers}) == 14
    assert Counter((speaker.split, speaker.gender) for speaker in speakers) == {
        ("train", "f"): 4,
        ("train", "m"): 4,
        ("test", "f"): 3,
        ("test", "m"): 3,
    }


@pytest.mark.parametrize("language", TONES)
def test_a_minimal_set_has_every_tone_of_one_syllable_and_no_fixed_first(language: str) -> None:
    sets = [u for u in UTTERANCES if u.language == language and u.kind == "tones"]
    assert len(sets) == 8 * 2 + 6
    spoken = [[tone_of(language, word[0]) for word in split_words(u.text)] for u in sets]
    assert all(sorted(tones) == sorted(TONES[language]) for tones in spoken)
    assert len({tones[0] for tones in spoken}) == len(TONES[language])


@pytest.mark.parametrize("language", TONES)
def test_the_sentences_of_each_split_hold_every_tone(language: str) -> None:
    for split in ("train", "test"):
        found = {
            tone_of(language, word[0])
            for u in UTTERANCES
            if u.language == language and u.kind == "sentence" and u.split == split
            for word in split_words(u.text)
        }
        assert found >= TONES[language]


def test_the_demo_is_a_small_part_of_the_test_with_everything_in_it() -> None:
    demo = [utterance for utterance in UTTERANCES if utterance.is_demo]
    assert len(demo) == 24
    assert {utterance.split for utterance in demo} == {"test"}
    assert {utterance.speaker.name for utterance in demo} == {f"spk{i:02d}" for i in range(9, 15)}
    assert Counter(u.language for u in demo if u.kind == "sentence") == dict.fromkeys(LANGUAGES, 3)
    assert Counter(u.language for u in demo if u.kind == "tones") == dict.fromkeys(filter(is_tonal, LANGUAGES), 1)
