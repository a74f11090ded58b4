"""The phones of a text are those that the embedded corpus would have been given."""

import pytest

from tokbench.corpora.espeak import Voice, speak
from tokbench.corpora.pronunciation import pronounce
from tokbench.errors import NotApplicableError


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("The ferry left.", "en-us", "en-us"),
        ("The ferry left.", "en", "en-us"),
        ("Guten Tag", "de", "de"),
        ("ma1", "cmn", "cmn-latn-pinyin"),
        ("maa1", "yue", "yue-latn-jyutping"),
        ("buongiorno", "it", "it"),
        ("gente de noite tudo bem", "pt-br", "pt-br"),
        ("cinco zapatos", "es-419", "es-419"),
        ("the car park is hot", "en-gb", "en"),
        ("Guten Tag", "de-ch", "de"),
        ("ma1", "cmn-tw", "cmn-latn-pinyin"),
    ],
)
def test_a_text_has_the_phones_of_its_speech(text: str, language: str, voice: str) -> None:
    spoken = tuple(phone.label for phone in speak(text, Voice(voice, 30, 120)).phones)
    assert pronounce(text, language) == spoken
    assert len(spoken) > 1


def test_regions_are_told_apart() -> None:
    assert pronounce("gente de noite", "pt-br") != pronounce("gente de noite", "pt")
    assert pronounce("the car park", "en-gb") != pronounce("the car park", "en-us")


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("  ", "en", "no text to pronounce"),
        ("yes", "", "no known language"),
        ("你好", "cmn", "Chinese characters"),
        ("…", "en", "nothing to say"),
        ("yes", "tlh-x", "no voice named 'tlh'"),
    ],
)
def test_what_cannot_be_pronounced_is_told(text: str, language: str, reason: str) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        pronounce(text, language)
