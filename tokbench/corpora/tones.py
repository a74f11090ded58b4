"""Lexical tones, read from how a syllable is written and written onto it.

Pinyin and Jyutping end a syllable with the digit of its tone (ISO 7098; LSHK 1993).
Vietnamese marks the vowel; its tones carry their Vietnamese names without diacritics.
"""

import unicodedata

__all__ = ["is_tonal", "tone_of", "with_tone", "without_tone"]

_DIGITS = {"cmn": "12345", "yue": "123456"}
"""Tone digits by language; 5 is the neutral tone of Mandarin."""

_MARKS = {"huyen": "\u0300", "sac": "\u0301", "nga": "\u0303", "hoi": "\u0309", "nang": "\u0323"}
"""Combining marks of the Vietnamese tones; ``ngang``, the level tone, has none."""

_LEVEL = "ngang"
_VOWELS = "aăâeêioôơuưy"


def is_tonal(language: str) -> bool:
    """Say whether the syllables of ``language`` have tones here.

    >>> is_tonal("vi"), is_tonal("de")
    (True, False)
    """
    return language in _DIGITS or language == "vi"


def tone_of(language: str, syllable: str) -> str:
    """Return the tone of a written syllable; raises :class:`ValueError` where it carries none.

    >>> tone_of("cmn", "zhuang4"), tone_of("vi", "ngữ"), tone_of("vi", "trăng")
    ('4', 'nga', 'ngang')
    """
    if language == "vi":
        marks = set(unicodedata.normalize("NFD", syllable))
        return next((tone for tone, mark in _MARKS.items() if mark in marks), _LEVEL)
    if not syllable.endswith(tuple(_DIGITS[language])):
        msg = f"{syllable!r} does not end with a tone of {language}: {_DIGITS[language]}"
        raise ValueError(msg)
    return syllable[-1]


def with_tone(language: str, syllable: str, tone: str) -> str:
    """Return ``syllable``, written without a tone, with ``tone``.

    In Vietnamese the first vowel takes the mark, which is right for syllables with one vowel letter.

    >>> with_tone("cmn", "ma", "3"), with_tone("vi", "tô", "nang"), with_tone("vi", "nha", "ngang")
    ('ma3', 'tộ', 'nha')
    """
    if language != "vi":
        return syllable + tone
    if tone == _LEVEL:
        return syllable
    place = 1 + next(index for index, letter in enumerate(syllable) if letter in _VOWELS)
    return unicodedata.normalize("NFC", syllable[:place] + _MARKS[tone] + syllable[place:])


def without_tone(language: str, syllable: str) -> str:
    """Return a written syllable without its tone, in small letters; raises as :func:`tone_of` does.

    >>> without_tone("cmn", "Zhuang4"), without_tone("vi", "ngữ"), without_tone("vi", "Trăng")
    ('zhuang', 'ngư', 'trăng')
    """
    if language != "vi":
        return syllable.removesuffix(tone_of(language, syllable)).lower()
    letters = unicodedata.normalize("NFD", syllable.lower())
    return unicodedata.normalize("NFC", "".join(letter for letter in letters if letter not in _MARKS.values()))
