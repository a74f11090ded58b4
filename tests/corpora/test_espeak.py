# ruff: noqa: RUF001  (the letters of the phonetic alphabet are meant)
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from tokbench.corpora.espeak import EspeakError, Speech, Voice, speak, split_words

ENGLISH = Voice("en-us+f1")

# From pronouncing dictionaries (General American; standard German, French and Spanish), in espeak-ng's spelling.
DICTIONARY = [
    ("en-us", "the quick brown fox", "ð ə k w ɪ k b ɹ aʊ n f ɑː k s"),
    ("en-us", "choose a thin judge", "tʃ uː z ɐ θ ɪ n dʒ ʌ dʒ"),
    ("de", "zwölf schöne Tische", "ts v œ l f ʃ øː n ə t ɪ ʃ ə"),
    ("fr", "un bon vin blanc", "œ̃ b ɔ̃ v ɛ̃ b l ɑ̃"),
    ("es", "el niño come queso", "e l n i ɲ o k o m e k e s o"),
    ("cmn-latn-pinyin", "ma1", "m ɑ"),
    ("vi", "má", "m aː"),
    ("yue-latn-jyutping", "maa1", "m aa"),
]


def is_same(first: Speech, second: Speech) -> bool:
    return (
        np.array_equal(first.samples, second.samples)
        and first.phones == second.phones
        and first.words == second.words
    )


@pytest.mark.parametrize(("voice", "text", "expected"), DICTIONARY)
def test_the_phones_are_those_of_the_dictionary(voice: str, text: str, expected: str) -> None:
    assert [phone.label for phone in speak(text, Voice(voice)).phones] == expected.split()


def test_the_sound_is_where_the_phones_are() -> None:
    speech = speak("Yes, go, now.", ENGLISH)
    samples = speech.samples.astype(float)
    spoken = np.zeros(len(samples), dtype=bool)
    for phone in speech.phones:
        spoken[round(phone.start_s * 22050) : round(phone.end_s * 22050)] = True
    assert speech.sample_rate_hz == 22050
    assert np.square(samples[spoken]).sum() > 0.999 * np.square(samples).sum()
    assert 0.3 < spoken.mean() < 0.8


def test_a_foreign_word_has_phones_and_the_change_of_language_is_none() -> None:
    speech = speak("Das Update ist da.", Voice("de"))
    assert " ".join(phone.label for phone in speech.phones) == "d a s ʌ p d eɪ t ɪ s t d ɑː"
    assert [word.label for word in speech.words] == ["Das", "Update", "ist", "da"]
    update = speech.words[1]
    inside = [phone.label for phone in speech.phones if update.start_s <= phone.start_s < update.end_s]
    assert " ".join(inside) == "ʌ p d eɪ t"


def test_a_hissing_phone_is_where_it_hisses() -> None:
    speech = speak("a seat", ENGLISH)
    by_label = {phone.label: phone for phone in speech.phones}

    def crossings_per_s(label: str) -> float:
        phone = by_label[label]
        piece = speech.samples[round(phone.start_s * 22050) : round(phone.end_s * 22050)].astype(float)
        return np.count_nonzero(np.diff(np.signbit(piece))) / phone.duration_s

    assert crossings_per_s("s") > 3 * crossings_per_s("iː")


def test_intervals_follow_each_other_within_the_sound() -> None:
    speech = speak("Puis il s'est assis, et il a lu la lettre.", Voice("fr+m3", pitch=40, rate_wpm=150))
    for tier in (speech.phones, speech.words):
        assert all(first.end_s <= second.start_s for first, second in pairwise(tier))
        assert tier[-1].end_s <= len(speech.samples) / speech.sample_rate_hz
    assert speech.words[0].start_s == speech.phones[0].start_s
    assert speech.words[-1].end_s == speech.phones[-1].end_s


def test_words_are_as_they_are_written_also_where_two_are_one_breath() -> None:
    text = "Isn't it the end of the long road?"
    words = [word.label for word in speak(text, ENGLISH).words]
    assert " ".join(words) == "Isn't it the end of the long road"
    assert "of the" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("¿Dónde está el río?", ["Dónde", "está", "el", "río"]),
        ("ma1, ma2", ["ma1", "ma2"]),
        ("« Où ? » dit-il…", ["Où", "dit-il"]),
        (" ", []),
    ],
)
def test_words_stand_between_spaces_and_punctuation(text: str, words: list[str]) -> None:
    assert [word[0] for word in split_words(text)] == words


def test_a_repeated_sentence_is_the_same_whatever_came_between() -> None:
    first = speak("The pilot chose a longer route.", ENGLISH)
    speak("shu1, shu2", Voice("cmn-latn-pinyin+m1"))
    assert is_same(first, speak("The pilot chose a longer route.", ENGLISH))


def test_a_breathy_voice_is_not_seeded_by_the_clock() -> None:
    # The clock seeds in whole seconds: two processes that speak in different seconds tell.
    code = (
        "import hashlib, time; from tokbench.corpora.espeak import Voice, speak; time.sleep(1 - time.time() % 1);"
        "print(hashlib.sha256(speak('so it is', Voice('en-us+f2')).samples.tobytes()).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_threads_take_turns() -> None:
    texts = [f"Sentence number {number}." for number in ("one", "two", "three", "four")]
    alone = [speak(text, ENGLISH) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: speak(text, ENGLISH), texts))
    assert all(map(is_same, alone, together))


def test_pitch_and_rate_are_obeyed() -> None:
    text = "We waited outside all morning."
    slow, fast = (speak(text, Voice("en-us", rate_wpm=rate)) for rate in (120, 200))
    assert len(slow.samples) > 1.3 * len(fast.samples)
    low, high = (speak(text, Voice("en-us", pitch=pitch)) for pitch in (20, 90))
    assert not np.array_equal(low.samples, high.samples)


def test_what_espeak_does_not_have_is_told() -> None:
    with pytest.raises(EspeakError, match="espeak-ng: no voice named 'xx-klingon'"):
        speak("nuqneH", Voice("xx-klingon"))
    with pytest.raises(EspeakError, match="espeak-ng: nothing to say in '…'"):
        speak("…", ENGLISH)


def test_another_user_of_the_library_in_this_process_is_told() -> None:
    code = (
        "import ctypes, espeakng_loader; held = ctypes.CDLL(espeakng_loader.get_library_path());"
        "from tokbench.corpora.espeak import EspeakError, Voice, speak\n"
        "try: speak('a', Voice('en-us'))\n"
        "except EspeakError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "in use by another package in this process" in done.stdout


def test_the_library_is_let_go_after_an_error() -> None:
    with pytest.raises(EspeakError, match="no voice named"):
        speak("a", Voice("xx-klingon"))
    assert speak("a", ENGLISH).phones  # it would say that the library is in use
