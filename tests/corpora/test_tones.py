import unicodedata

import pytest

from tokbench.corpora.tones import is_tonal, tone_of, with_tone, without_tone

VIETNAMESE = {
    "ngang": "ma bi đu tô lê cư sơ nha",
    "huyen": "mà bì đù tồ lề cừ sờ nhà",
    "sac": "má bí đú tố lế cứ sớ nhá",
    "hoi": "mả bỉ đủ tổ lể cử sở nhả",
    "nga": "mã bĩ đũ tỗ lễ cữ sỡ nhã",
    "nang": "mạ bị đụ tộ lệ cự sợ nhạ",
}


@pytest.mark.parametrize("tone", VIETNAMESE)
def test_vietnamese_syllables_take_and_show_their_mark(tone: str) -> None:
    for plain, written in zip(VIETNAMESE["ngang"].split(), VIETNAMESE[tone].split(), strict=True):
        assert with_tone("vi", plain, tone) == written
        assert without_tone("vi", written) == plain
        assert tone_of("vi", written) == tone_of("vi", unicodedata.normalize("NFD", written)) == tone


def test_digits_are_the_tones_of_pinyin_and_jyutping() -> None:
    assert [tone_of("cmn", with_tone("cmn", "lv", tone)) for tone in "12345"] == list("12345")
    assert {without_tone("cmn", with_tone("cmn", "lv", tone)) for tone in "12345"} == {"lv"}
    assert [tone_of("yue", with_tone("yue", "gwong", tone)) for tone in "123456"] == list("123456")


@pytest.mark.parametrize(("language", "syllable"), [("cmn", "ma"), ("cmn", "ma6"), ("yue", "si0")])
def test_a_syllable_without_a_tone_of_its_language_is_refused(language: str, syllable: str) -> None:
    with pytest.raises(ValueError, match=f"{syllable!r} does not end with a tone of {language}"):
        tone_of(language, syllable)


def test_the_languages_with_tones_are_three() -> None:
    assert [language for language in ("en-us", "de", "fr", "es", "cmn", "yue", "vi") if is_tonal(language)] == [
        "cmn",
        "yue",
        "vi",
    ]
